"""The panel's snapshot of servers that are connected."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from test_extension import ask, look_until, snapshot_of

from maas_jupyter.targets.connections import Connections, new_connection
from maas_jupyter.targets.remote import RemoteTarget

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from remote_server import ADMIN, RemoteServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RemoteServer(tmp_path_factory.mktemp("remote"))
    yield server
    server.stop()


@pytest.fixture
def connection(server, monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    return new_connection("gpu", server.url, "GPU_TOKEN", str(server.ca_file), insecure=False)


@pytest.fixture
def connections(maas_home):
    return Connections(maas_home)


def rows(snapshot):
    return {row["name"]: row for row in snapshot["endpoints"]}


async def test_a_server_is_watched_from_when_it_is_connected(jp_fetch, connection, connections, bundle):
    assert (await snapshot_of(jp_fetch))["endpoints"] == []
    endpoint = RemoteTarget(connection).publish("square", "1", bundle.folder)
    connections.add(connection)
    row = rows(await look_until(jp_fetch, rows))["square"]
    assert (row["target"], row["state"], row["url"]) == ("gpu", "ready", endpoint.url)
    assert [(traffic["version"], traffic["weight"]) for traffic in row["traffic"]] == [("1", 100)]
    before = row["requests_total"]
    ask(endpoint, 3)
    await look_until(jp_fetch, lambda snapshot: rows(snapshot)["square"]["requests_total"] == before + 3)
    connections.remove("gpu")
    await look_until(jp_fetch, lambda snapshot: not snapshot["endpoints"])


async def test_a_missing_variable_is_named(jp_fetch, connection, connections, monkeypatch):
    monkeypatch.delenv("GPU_TOKEN")
    connections.add(connection)
    row = rows(await look_until(jp_fetch, rows))["*"]
    assert (row["target"], row["state"]) == ("gpu", "unavailable")
    said = "The token of 'gpu' is missing: GPU_TOKEN is not set here. Set GPU_TOKEN before JupyterLab starts."
    assert row["reason"] == said


async def test_a_wrong_token_is_explained_for_the_panel(jp_fetch, connection, connections, monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", "w" * 20)
    connections.add(connection)
    row = rows(await look_until(jp_fetch, rows))["*"]
    assert "does not know the token that GPU_TOKEN holds" in row["reason"]
    assert row["reason"].endswith("Set GPU_TOKEN before JupyterLab starts.")


async def test_a_server_that_is_gone_keeps_its_rows(jp_fetch, connection, connections, bundle, monkeypatch):
    RemoteTarget(connection).publish("kept", "1", bundle.folder)
    connections.add(connection)
    await look_until(jp_fetch, lambda snapshot: "kept" in rows(snapshot))
    monkeypatch.delenv("GPU_TOKEN")
    gone = await look_until(jp_fetch, lambda snapshot: rows(snapshot)["kept"]["state"] == "unavailable")
    assert "GPU_TOKEN" in rows(gone)["kept"]["reason"]
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    await look_until(jp_fetch, lambda snapshot: rows(snapshot)["kept"]["state"] == "ready")


async def test_a_damaged_list_does_not_hide_this_machine(jp_fetch, maas_home):
    maas_home.mkdir(exist_ok=True)
    (maas_home / "targets.json").write_text("{")
    assert (await snapshot_of(jp_fetch))["endpoints"] == []
