"""The remote journey between two network namespaces, with the link between them cut and restored."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid

import pytest
import trustme

SERVER, CLIENT = "10.77.0.1", "10.77.0.2"


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@pytest.fixture
def hosts():
    """Two network namespaces with one link; gives their names and that of the server's end of the link."""
    if shutil.which("ip") is None:
        pytest.skip("The command ip (package iproute2) is not installed, so no second host can be made.")
    mark = uuid.uuid4().hex[:6]
    server, client = f"maas-s-{mark}", f"maas-c-{mark}"
    near, far = f"ms{mark}", f"mc{mark}"
    try:
        ip("netns", "add", server)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"This machine does not allow network namespaces: {error.stderr.strip()}")
    try:
        ip("netns", "add", client)
        ip("link", "add", near, "netns", server, "type", "veth", "peer", "name", far, "netns", client)
        for host, link, address in ((server, near, SERVER), (client, far, CLIENT)):
            ip("-n", host, "addr", "add", f"{address}/24", "dev", link)
            ip("-n", host, "link", "set", link, "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield server, client, near
    finally:
        for host in (server, client):
            subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)


JOURNEY = """
import os, subprocess, sys
import numpy as np
import torch
from torch import nn
import maas_jupyter as maas
from maas_jupyter.errors import MaasError

host, link, url, ca = sys.argv[1:]

def link_is(state):
    subprocess.run(["ip", "-n", host, "link", "set", link, state], check=True)

torch.manual_seed(0)
X = np.random.default_rng(0).random((60, 4), dtype=np.float32)
net = nn.Sequential(nn.Linear(4, 3))
maas.register(net, name="flowers", data=(X, (X.sum(1) > 2).astype("int64") + (X.sum(1) > 2.5)))
maas.register(net, name="flowers", data=(X, (X.sum(1) > 2).astype("int64") + (X.sum(1) > 2.5)))
maas.connect("box", url, token_env="BOX_TOKEN", ca_file=ca)
endpoint = maas.publish("flowers/1", to="box")
assert endpoint.state == "ready", endpoint
first = endpoint.predict(X[:3])
assert first.version == "1"

link_is("down")
try:
    maas.publish("flowers/2", to="box", canary=50)
except MaasError as error:
    print("cut:", type(error).__name__, error.message)
else:
    raise SystemExit("a publish over a cut link did not fail")
listed = {each.target: each.state for each in maas.endpoints()}
assert listed["box"] == "unavailable", listed

link_is("up")
endpoint = maas.publish("flowers/2", to="box", canary=50)
assert sorted((row.version, row.weight) for row in endpoint.traffic) == [("1", 50), ("2", 50)], endpoint
maas.promote("flowers", on="box")
assert endpoint.predict(X[:3]).version == "2"
maas.rollback("flowers", on="box")
assert [entry.action for entry in maas.history("flowers", on="box")][-1] == "rollback"
print("journey done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="network namespaces are Linux's")
def test_publish_to_another_host_survives_a_cut_link(hosts, tmp_path):
    server, client, link = hosts
    authority = trustme.CA()
    issued = authority.issue_cert(SERVER)
    issued.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    issued.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(0o600)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    words = ["--home", tmp_path / "server", "--host", SERVER, "--port", "8443", "--workers", "2"]
    words += [
        "--token-file",
        tmp_path / "tokens",
        "--tls-cert",
        tmp_path / "cert.pem",
        "--tls-key",
        tmp_path / "key.pem",
    ]
    log = (tmp_path / "log").open("wb")
    url, authority_file = f"https://{SERVER}:8443", str(tmp_path / "ca.pem")
    serve = ["ip", "netns", "exec", server, sys.executable, "-m", "maas_jupyter.serving", *map(str, words)]
    process = subprocess.Popen(serve, stdout=log, stderr=log)
    try:
        while not (tmp_path / "server" / "server.json").exists():
            assert process.poll() is None, (tmp_path / "log").read_text()
            subprocess.run(["sleep", "0.05"], check=True)
        rows = [line.split() for line in (tmp_path / "tokens").read_text().splitlines() if line[:5] == "admin"]
        token = rows[0][2]
        done = subprocess.run(
            ["ip", "netns", "exec", client, sys.executable, "-c", JOURNEY, server, link, url, authority_file],
            env={**os.environ, "MAAS_HOME": str(tmp_path / "home"), "BOX_TOKEN": token},
            capture_output=True,
            text=True,
            timeout=170,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "journey done" in done.stdout
        assert token not in done.stdout + done.stderr + (tmp_path / "log").read_text()
        assert token not in "".join(path.read_text() for path in (tmp_path / "home").glob("*.json"))
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()
