from __future__ import annotations

import contextlib

import fake_runtimes
import pytest
from bundles import Bundles, labelled, linear_softmax, two_inputs
from rest_server import RestServer
from starlette.testclient import TestClient

from maas_jupyter import plugins
from maas_jupyter.serving.app import create_app
from maas_jupyter.serving.options import Limits

TOKEN = "a-token-for-tests"


@pytest.fixture(scope="module")
def rest(tmp_path_factory):
    """A real HTTP server with one model of each kind."""
    server = RestServer(tmp_path_factory.mktemp("rest"))
    try:
        server.publish_all()
        yield server
    finally:
        server.close()


@pytest.fixture
def fake_runtime(monkeypatch):
    """Return a function that says what the runtime ``fake`` is made by."""
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "fake", plugins.Plugin("fake_runtimes:make"))
    return lambda make: monkeypatch.setattr(fake_runtimes, "make", make)


@pytest.fixture
def bundles(tmp_path):
    return Bundles(tmp_path / "made")


@pytest.fixture
def server_home(tmp_path):
    return tmp_path / "server"


@pytest.fixture
def open_client():
    """Return a function that runs another application, on a home of its own choice, and gives its client."""
    with contextlib.ExitStack() as stack:
        yield lambda home: stack.enter_context(
            TestClient(create_app(home, TOKEN), headers={"Authorization": f"Bearer {TOKEN}"})
        )


@pytest.fixture
def raw_client(server_home):
    """The whole application, without a token."""
    with TestClient(
        create_app(server_home, TOKEN, limits=Limits(body_bytes=100_000)), raise_server_exceptions=False
    ) as client:
        yield client


@pytest.fixture
def client(raw_client):
    raw_client.headers["Authorization"] = f"Bearer {TOKEN}"
    return raw_client


@pytest.fixture
def upload(client):
    """Send a bundle as a client of the admin API does; returns its digest."""

    def send(folder):
        digest = Bundles.digest(folder)
        base = f"/maas/v1/bundles/{digest}"
        names = sorted((path.name for path in folder.iterdir()), key=lambda name: name != "maas.json")
        for name in names:
            content = (folder / name).read_bytes()
            answer = client.patch(f"{base}/files/{name}", content=content, headers={"Upload-Offset": "0"})
            assert answer.status_code == 200, answer.text
        assert client.post(f"{base}/commit").status_code == 200
        return digest

    return send


@pytest.fixture
def publish(client, upload):
    def send(name, version, folder):
        digest = upload(folder)
        return client.post(f"/maas/v1/models/{name}/publish", json={"version": version, "digest": digest})

    return send


@pytest.fixture
def digits(publish, bundles):
    """A classifier with 4 features and 3 classes, published as digits/1."""
    assert publish("digits", "1", bundles.make(linear_softmax())).status_code == 200


@pytest.fixture
def words(publish, bundles):
    """A model with INT64 and BYTES inputs and outputs, published as words/7."""
    assert publish("words", "7", bundles.make(labelled())).status_code == 200


@pytest.fixture
def pair(publish, bundles):
    """A model with two inputs and one output, published as pair/1."""
    assert publish("pair", "1", bundles.make(two_inputs())).status_code == 200
