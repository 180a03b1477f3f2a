"""A server on another machine as a target: the real program, over TLS, with tokens of its own."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import ssl
import stat
import subprocess
import sys
import threading
from datetime import datetime

import numpy as np
import pytest
import trustme
from bundles import linear_softmax, two_inputs
from remote_server import ADMIN, READER, RemoteServer

from maas_jupyter.errors import (
    BundleError,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Unauthorized,
    Unavailable,
    UsageError,
)
from maas_jupyter.targets.connections import Connection, Connections, new_connection
from maas_jupyter.targets.endpoint import Endpoint
from maas_jupyter.targets.remote import RemoteTarget

X = np.array([[1, 0, 0, 0], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RemoteServer(tmp_path_factory.mktemp("remote"))
    yield server
    server.stop()


@pytest.fixture
def gpu(server, monkeypatch):
    """The server as an admin has it connected."""
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    return RemoteTarget(new_connection("gpu", server.url, "GPU_TOKEN", str(server.ca_file), insecure=False))


@pytest.fixture
def reader(server, monkeypatch):
    """The server as it is connected by one who may only predict."""
    monkeypatch.setenv("READER_TOKEN", READER)
    return RemoteTarget(new_connection("read", server.url, "READER_TOKEN", str(server.ca_file), insecure=False))


def test_the_whole_way_of_a_version(gpu, bundles):
    gpu.prepare()
    endpoint = gpu.publish("way", "1", bundles.make(linear_softmax()), reason="first")
    assert (endpoint.name, endpoint.target, endpoint.state) == ("way", "gpu", "ready")
    assert endpoint.predict(X).labels.tolist() == endpoint.predict(X).scores.argmax(-1).tolist()

    canary = gpu.publish("way", "2", bundles.make(linear_softmax(2)), canary=10, reason="try")
    assert [(row.version, row.weight) for row in canary.traffic] == [("1", 90), ("2", 10)]
    assert canary.labels == {"1": "stable", "2": "canary"}
    assert "stable version 1 90%, canary version 2 10%" in repr(canary)
    assert canary.predict(X, version="2").version == "2"

    assert canary.promote(reason="good") is canary
    assert [(row.version, row.weight) for row in canary.traffic] == [("2", 100)]
    canary.rollback()
    assert [(row.version, row.weight) for row in canary.traffic] == [("1", 90), ("2", 10)]

    shadow = gpu.publish("way", "3", bundles.make(linear_softmax(3)), shadow=True)
    assert shadow.labels["3"] == "shadow"
    assert "shadow version 3" in repr(shadow)

    history = endpoint.history()
    assert [entry.action for entry in history] == ["publish", "canary", "promote", "rollback", "shadow"]
    assert [entry.reason for entry in history] == ["first", "try", "good", "", ""]
    assert {entry.by for entry in history} == {"ann"}
    assert all(entry.user for entry in history)
    assert "canary" in repr(history)
    assert "1 90%, 2 10%" in repr(history)

    gpu.unpublish("way", reason="old")
    with pytest.raises(NotFound, match="no endpoint 'way' on gpu"):
        gpu.endpoint("way")
    assert gpu.history("way")[-1].action == "unpublish"
    assert "nothing" in repr(gpu.history("way"))


def test_an_endpoint_shows_how_it_is_now(gpu, bundles):
    endpoint = gpu.publish("shown", "1", bundles.make(linear_softmax()))
    gpu.publish("shown", "2", bundles.make(linear_softmax(2)))
    assert "version 1" in repr(endpoint)
    endpoint.seen -= 60
    shown = endpoint._repr_mimebundle_()
    assert "version 2" in shown["text/plain"]
    assert "version 2" in shown["text/html"]
    gpu.unpublish("shown")
    assert endpoint.refresh().state == "stopped"
    assert "not published" in repr(endpoint)


def test_awaited_predictions(gpu, bundles):
    endpoint = gpu.publish("awaited", "1", bundles.make(two_inputs()))

    async def ask():
        rows = [{"a": [number, 2.0], "i": [0, 2]} for number in range(20)]
        return await asyncio.gather(*(endpoint.apredict(row) for row in rows))

    for _ in range(2):  # each with an event loop of its own
        found = asyncio.run(ask())
        assert [each.outputs["prediction"].tolist() for each in found] == [[number + 10, 32] for number in range(20)]
    with pytest.raises(InvalidInput):
        asyncio.run(endpoint.apredict([1, 2]))


def test_names_that_are_not_there(gpu, bundles):
    gpu.publish("digits", "1", bundles.make(linear_softmax()))
    with pytest.raises(NotFound) as caught:
        gpu.endpoint("digit")
    assert "'digits'" in caught.value.hint
    for attempt in (gpu.promote, gpu.rollback, gpu.unpublish, gpu.history):
        with pytest.raises(NotFound):
            attempt("nothing")
    with pytest.raises(Conflict):
        gpu.promote("digits")


def test_what_was_withdrawn_says_how_it_comes_back(gpu, reader, bundles):
    gpu.publish("left", "3", bundles.make(linear_softmax()))
    gpu.unpublish("left")
    for attempt in (gpu.rollback, gpu.promote, gpu.unpublish, gpu.endpoint):
        with pytest.raises(NotFound, match="no endpoint 'left' on gpu") as caught:
            attempt("left")
        assert "Serve it again: %maas publish left/3 --to gpu" in caught.value.hint
    with pytest.raises(NotFound) as caught:  # the history is not for those who may only predict
        reader.endpoint("left")
    assert "unpublished" not in caught.value.hint


def test_a_bundle_that_does_not_load(gpu, bundles):
    gpu.publish("sound", "1", bundles.make(linear_softmax()))
    with pytest.raises(BundleError, match="cannot be loaded"):
        gpu.publish("sound", "2", bundles.write(b"nothing", linear_softmax()[1]))
    assert gpu.endpoint("sound").predict(X).version == "1"


def test_only_models_are_stopped_from_here(gpu, bundles):
    gpu.publish("stopped", "1", bundles.make(linear_softmax()))
    assert "stopped is no longer published on gpu" in repr(gpu.stop("stopped"))
    with pytest.raises(UsageError, match="where it was started"):
        gpu.stop()
    assert gpu.status().state == "ready"


def test_logs_and_metrics(gpu, bundles):
    endpoint = gpu.publish("logged", "1", bundles.make(linear_softmax()))
    endpoint.predict(X)
    assert any("logged" in line for line in endpoint.logs(50))
    assert 'maas_requests_total{code="200",model="logged"' in endpoint.metrics_text()


def test_a_token_that_may_only_predict(gpu, reader, bundles):
    gpu.publish("read", "1", bundles.make(linear_softmax()))
    assert (reader.status().state, reader.status().role) == ("ready", "predict")
    assert "only predict" in repr(reader.status())
    endpoint = reader.endpoint("read")
    assert endpoint.state == "ready"
    assert endpoint.predict(X).version == "1"
    assert "read" in [each.name for each in reader.endpoints()]
    assert "version 1" in repr(endpoint)
    assert "%" not in repr(endpoint)
    for attempt in (lambda: reader.promote("read"), lambda: reader.history("read"), reader.prepare, reader.logs):
        with pytest.raises(Forbidden) as caught:
            attempt()
        assert "token of 'read' that READER_TOKEN holds" in caught.value.message
        assert "admin's token" in caught.value.hint
    with pytest.raises(NotFound):
        reader.endpoint("nothing")


def test_the_curl_line_and_the_python_client_work(gpu, bundles):
    gpu.publish("called", "1", bundles.make(linear_softmax()))
    endpoint = gpu.endpoint("called")
    shell = subprocess.run(["bash", "-c", endpoint.curl], capture_output=True, text=True, check=True)
    program = subprocess.run([sys.executable, "-c", endpoint.python_client], capture_output=True, text=True, check=True)
    answer = json.loads(shell.stdout)
    assert answer["outputs"][0]["data"] == [0]
    assert "'data': [0]" in program.stdout


def test_the_token_shows_nowhere(gpu, bundles, server, tmp_path):
    endpoint = gpu.publish("secret", "1", bundles.make(linear_softmax()))
    endpoint.predict(X)
    connections = Connections(tmp_path / "settings")
    connections.add(gpu._connection)
    path = tmp_path / "settings/targets.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    places = [
        path.read_text(),
        repr(gpu),
        repr(gpu.status()),
        repr(gpu.connection()),
        repr(endpoint),
        *endpoint._repr_mimebundle_().values(),
        endpoint.curl,
        endpoint.python_client,
        server.log(),
        *endpoint.logs(1000),
    ]
    assert not any(token in place for place in places for token in (ADMIN, READER))


def test_a_wrong_and_a_missing_token(gpu, bundles, monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", "another-token-that-is-wrong")
    endpoint = Endpoint("digits", "gpu", "", "ready", _target=gpu)
    for attempt in (
        gpu.check,
        gpu.prepare,
        gpu.logs,
        lambda: gpu.endpoint("x"),
        lambda: gpu.publish("x", "1", bundles.make(linear_softmax())),
        lambda: endpoint.predict(X),
        lambda: asyncio.run(endpoint.apredict(X)),
    ):
        with pytest.raises(
            Unauthorized, match=r"gpu \(https://.*does not know the token that GPU_TOKEN holds"
        ) as caught:
            attempt()
        assert "GPU_TOKEN" in caught.value.hint
        assert "another-token" not in str(caught.value)
    assert gpu.status().state == "unavailable"
    monkeypatch.delenv("GPU_TOKEN")
    assert {(each.state, "GPU_TOKEN" in each.reason) for each in gpu.endpoints()} == {("unavailable", True)}
    for attempt in (gpu.check, lambda: gpu.endpoint("x"), gpu.connection):
        with pytest.raises(Unauthorized, match="GPU_TOKEN") as caught:
            attempt()
        assert "getpass" in caught.value.hint
    monkeypatch.setenv("GPU_TOKEN", "no token has spaces")
    with pytest.raises(Unauthorized, match="token of 'gpu' cannot be what GPU_TOKEN holds") as caught:
        gpu.check()
    assert "no token has" not in caught.value.message.partition("holds")[0]
    monkeypatch.setenv("GPU_TOKEN", f" {ADMIN}\n")
    assert gpu.check().role == "admin"


def test_without_its_authority_a_certificate_is_not_trusted(server, monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    with pytest.raises(Unavailable, match="not safe") as caught:
        RemoteTarget(new_connection("gpu", server.url, "GPU_TOKEN", None, insecure=False)).check()
    assert "--ca-file" in caught.value.hint


def test_a_server_that_goes_and_comes_back(tmp_path, monkeypatch, bundles):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    server = RemoteServer(tmp_path / "other")
    try:
        target = RemoteTarget(new_connection("gpu", server.url, "GPU_TOKEN", str(server.ca_file), insecure=False))
        endpoint = target.publish("digits", "1", bundles.make(linear_softmax()))
        assert server.stop() == 0
        for attempt in (target.prepare, lambda: target.endpoint("digits"), lambda: endpoint.predict(X)):
            with pytest.raises(Unavailable, match="does not answer") as caught:
                attempt()
            assert "Nothing listens at this port" in caught.value.hint
        assert target.status().state == "unavailable"
        assert [(each.name, each.state) for each in target.endpoints()] == [("*", "unavailable")]
        assert endpoint.refresh().state == "unavailable"
        assert "Last seen" in endpoint.reason
        assert [row.version for row in endpoint.traffic] == ["1"]
        server.start()
        assert endpoint.predict(X).version == "1"
        assert endpoint.refresh().state == "ready"
        assert [(each.name, each.state) for each in target.endpoints()] == [("digits", "ready")]
        server.stop()
        assert [(each.name, each.state) for each in target.endpoints()] == [("digits", "unavailable")]
    finally:
        server.stop()


# -- what is typed ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gpu-box:8443", "not an address"),
        ("gpu-box", "not an address"),
        ("ftp://gpu-box", "not an address"),
        ("https://", "not an address"),
        ("https://gpu-box?x=1", "not an address"),
        ("https://gpu-box:port", "not an address"),
        ("https://ann:secret@gpu-box", "user or a password"),
        ("http://gpu-box:8080", "Others on the way"),
        ("http://192.0.2.7:8080", "Others on the way"),
    ],
)
def test_addresses_that_are_refused(monkeypatch, url, said):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    with pytest.raises(UsageError, match=said) as caught:
        new_connection("gpu", url, "GPU_TOKEN", None, insecure=False)
    assert caught.value.hint
    assert "secret@" not in str(caught.value)


def test_an_address_without_tls_where_it_is_said_so(monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    assert new_connection("gpu", "http://gpu-box:80/", "GPU_TOKEN", None, insecure=True).url == "http://gpu-box"
    assert (
        new_connection("gpu", "http://localhost:8/a/", "GPU_TOKEN", None, insecure=False).url == "http://localhost:8/a"
    )


@pytest.mark.parametrize("word", [ADMIN, "aTokenThatCouldBeAName", "", "A B", "NOT_SET_ANYWHERE"])
def test_a_token_typed_for_the_variable_is_not_shown(word):
    with pytest.raises(UsageError) as caught:
        new_connection("gpu", "https://gpu-box", word, None, insecure=False)
    assert word in ("", "NOT_SET_ANYWHERE") or word not in str(caught.value)
    assert "getpass" in caught.value.hint


@pytest.mark.parametrize("name", ["", "a/b", ".hidden", "x" * 129])
def test_names_that_no_target_can_have(monkeypatch, name):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    with pytest.raises(InvalidInput, match="name of a target"):
        new_connection(name, "https://gpu-box", "GPU_TOKEN", None, insecure=False)


def test_an_authority_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    with pytest.raises(UsageError, match="no file"):
        new_connection("gpu", "https://gpu-box", "GPU_TOKEN", str(tmp_path / "none.pem"), insecure=False)


# -- what is kept -----------------------------------------------------------------------------------------------------


def kept(name, **changes):
    return Connection(name=name, **{"url": "https://gpu-box", "token_env": "GPU_TOKEN", **changes})


def test_connections_are_kept_in_their_order(tmp_path):
    connections = Connections(tmp_path / "home")
    assert connections.read() == {}
    for name in ("b", "a", "c"):
        connections.add(kept(name))
    connections.add(kept("a", url="https://other"))
    assert list(Connections(tmp_path / "home").read()) == ["b", "a", "c"]
    assert connections.read()["a"].url == "https://other"
    assert connections.remove("b").name == "b"
    assert list(connections.read()) == ["a", "c"]
    with pytest.raises(NotFound, match="'b'"):
        connections.remove("b")
    assert stat.S_IMODE((tmp_path / "home/targets.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"targets": [{"name": "gpu"}]}'])
def test_a_damaged_file_is_named(tmp_path, text):
    (tmp_path / "targets.json").write_text(text)
    with pytest.raises(BundleError, match=r"targets\.json"):
        Connections(tmp_path).read()


def test_processes_that_connect_at_once_lose_nothing(tmp_path):
    program = """
import sys
from pathlib import Path
from maas_jupyter.targets.connections import Connection, Connections
sys.stdin.readline()
for number in range(10):
    Connections(Path(sys.argv[1])).add(Connection(name=f"{sys.argv[2]}-{number}", url="https://x", token_env="T"))
"""
    writers = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path, str(name)], stdin=subprocess.PIPE, text=True)
        for name in range(3)
    ]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert len(Connections(tmp_path).read()) == 30


def test_a_server_that_accepts_and_never_answers(monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    monkeypatch.setattr("maas_jupyter.serving.client.core.STATUS_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        target = RemoteTarget(new_connection("gpu", url, "GPU_TOKEN", None, insecure=False))
        status = target.status()
    assert status.state == "unavailable"
    assert "in time" in status.reason
    assert os.environ["GPU_TOKEN"] not in repr(status)


# -- what is no model server -------------------------------------------------------------------------------------------


@pytest.fixture
def at(monkeypatch):
    """Make a target of an address."""
    monkeypatch.setenv("GPU_TOKEN", ADMIN)

    def at(url, ca_file=None):
        return RemoteTarget(new_connection("gpu", url, "GPU_TOKEN", ca_file and str(ca_file), insecure=True))

    return at


@pytest.fixture
def site():
    """Start web sites that are not ours; each answers everything with one status."""
    sites = []

    def start(status, context=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Type", "text/html")
                self.send_header("Connection", "close")
                self.end_headers()
                self.wfile.write(b"<html>hello</html>")

            do_POST = do_GET

            def log_message(self, *_):
                pass

        found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        found.handle_error = lambda *_: None
        if context is not None:
            found.socket = context.wrap_socket(found.socket, server_side=True)
        threading.Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        sites.append(found)
        return f"{'http' if context is None else 'https'}://127.0.0.1:{found.server_port}"

    yield start
    for found in sites:
        found.shutdown()
        found.server_close()


@pytest.mark.parametrize("status", [200, 301, 400, 403, 404, 405, 500, 502])
def test_a_web_site_that_is_not_ours(at, site, status):
    with pytest.raises(Unavailable, match="no model server") as caught:
        at(site(status)).check()
    assert "address" in caught.value.hint


def test_an_address_with_a_path(at, site, server):
    url = site(404)
    with pytest.raises(Unavailable, match="no model server") as caught:
        at(f"{url}/docs").check()
    assert caught.value.hint.endswith(f": {url}")
    with pytest.raises(Unavailable, match="no model server") as caught:
        at(f"{server.url}/v2/models", server.ca_file).check()
    assert caught.value.hint.endswith(f": {server.url}")


def test_a_path_that_a_proxy_passes_on(at, server):
    """The client keeps a path in front of its own."""
    target = at("http://localhost:8/team/maas")
    assert target.connection()._http._merge_url("/v2").path == "/team/maas/v2"


@pytest.mark.parametrize(
    ("url", "why", "hint"),
    [
        ("http://127.0.0.1:1", "refused", "Nothing listens"),
        ("http://no-such-host.invalid", "no address is known for the name 'no-such-host.invalid'", "name"),
    ],
)
def test_why_nothing_answers(at, url, why, hint):
    with pytest.raises(Unavailable, match=why) as caught:
        at(url).check()
    assert "does not answer" in caught.value.message
    assert hint in caught.value.hint


def test_a_server_that_hangs_up(at):
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def hang_up():
            with listening.accept()[0] as accepted:
                accepted.recv(1)

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unavailable, match="does not answer: it closed the connection") as caught:
            at(f"http://127.0.0.1:{listening.getsockname()[1]}").check()
        thread.join()
    assert "https" in caught.value.hint


@pytest.mark.parametrize(
    ("issued", "trusted", "why", "hint"),
    [
        ({"identities": ("127.0.0.1",)}, False, "certificate is refused", "--ca-file"),
        ({"identities": ("gpu-box",)}, True, "IP address mismatch", "issued for"),
        (
            {"identities": ("127.0.0.1",), "not_before": datetime(2019, 1, 1), "not_after": datetime(2020, 1, 1)},
            True,
            "expired",
            "renewed",
        ),
    ],
)
def test_why_a_certificate_is_refused(at, site, tmp_path, issued, trusted, why, hint):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    options = dict(issued)
    authority.issue_cert(*options.pop("identities"), **options).configure_cert(context)
    with pytest.raises(Unavailable, match=why) as caught:
        at(site(200, context), tmp_path / "ca.pem" if trusted else None).check()
    assert hint in caught.value.hint


def test_https_where_only_http_is_spoken(at, site):
    with pytest.raises(Unavailable, match="does not speak TLS"):
        at(site(200).replace("http:", "https:")).check()
