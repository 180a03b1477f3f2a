"""Uploads over HTTP: pieces, offsets, cuts, and what is refused."""

from __future__ import annotations

import asyncio
import os
import socket
import time

import pytest
from bundles import Bundles, linear_softmax
from rest_server import RestServer
from starlette.applications import Starlette
from starlette.testclient import TestClient
from test_store import write_bundle

from maas_jupyter.serving.control.plane import ControlPlane
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols import admin
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.store import BundleStore


@pytest.fixture
def model(bundles):
    """A bundle: its route, its manifest and its graph."""
    folder = bundles.make(linear_softmax())
    base = f"/maas/v1/bundles/{Bundles.digest(folder)}"
    return base, (folder / "maas.json").read_bytes(), (folder / "model.onnx").read_bytes()


def patch(client, path, content, offset=0):
    return client.patch(path, content=content, headers={"Upload-Offset": str(offset)})


def test_a_bundle_is_sent_in_pieces(client, model):
    base, manifest, graph = model
    path = f"{base}/files/model.onnx"
    assert client.get(base).status_code == 404
    assert client.get(path).status_code == 400
    assert patch(client, f"{base}/files/maas.json", manifest).json() == {
        "offset": len(manifest),
        "size": len(manifest),
        "complete": True,
    }
    assert client.head(path).headers["Upload-Offset"] == "0"
    answer = patch(client, path, graph[:50])
    assert answer.json() == {"offset": 50, "size": len(graph), "complete": False}
    assert answer.headers["Upload-Offset"] == "50"
    assert client.get(path).json() == answer.json()
    for offset in (0, 49, 51):
        refused = patch(client, path, graph[offset:], offset)
        assert (refused.status_code, refused.headers["Upload-Offset"]) == (409, "50")
        assert "50 bytes" in refused.json()["error"]
    assert client.post(f"{base}/commit").status_code == 422
    assert patch(client, path, graph[50:], 50).json()["complete"]
    assert client.post(f"{base}/commit").status_code == 200
    assert client.get(base).status_code == 200
    assert client.get(path).json() == {"offset": len(graph), "size": len(graph), "complete": True}
    assert client.post(f"{base}/commit").status_code == 200


def test_wrong_and_superfluous_bytes(client, model):
    base, manifest, graph = model
    patch(client, f"{base}/files/maas.json", manifest)
    longer = patch(client, f"{base}/files/model.onnx", graph + b"x")
    assert longer.status_code == 422
    assert "longer" in longer.json()["error"]
    wrong = patch(client, f"{base}/files/model.onnx", b"X" + graph[1:])
    assert wrong.status_code == 422
    for word in ("model.onnx", f"{len(graph)} bytes", "sha256"):
        assert word in wrong.json()["error"]
    assert client.get(f"{base}/files/model.onnx").json()["offset"] == 0


def test_files_beyond_the_manifest(client, model):
    base, manifest, _ = model
    assert client.post(f"{base}/commit").status_code == 400
    assert patch(client, f"{base}/files/model.onnx", b"x").status_code == 400
    assert patch(client, f"{base}/files/maas.json", b"{}").status_code == 422
    patch(client, f"{base}/files/maas.json", manifest)
    for name in ("other.bin", "..%2f..%2fx", "%2fetc%2fpasswd", "a/../../x"):
        assert patch(client, f"{base}/files/{name}", b"x").status_code in (400, 404)
    assert patch(client, "/maas/v1/bundles/nonsense/files/maas.json", b"x").status_code == 400


def test_a_bundle_of_a_newer_format(client, bundles):
    folder = bundles.make(linear_softmax(), format_version=99)
    path = f"/maas/v1/bundles/{Bundles.digest(folder)}/files/maas.json"
    answer = patch(client, path, (folder / "maas.json").read_bytes())
    assert answer.status_code == 422
    assert "format 99" in answer.json()["error"]


@pytest.mark.parametrize("offset", [None, "", "-1", "x", "1.0", "9" * 30, "١"])
def test_an_offset_that_is_none(client, model, offset):
    headers = {} if offset is None else {"Upload-Offset": offset.encode()}
    answer = client.patch(f"{model[0]}/files/maas.json", content=model[1], headers=headers)
    assert answer.status_code == 400
    assert "Upload-Offset" in answer.json()["error"]


def test_what_arrived_before_a_cut_stays(tmp_path):
    data = os.urandom(300_000)
    digest = write_bundle(tmp_path / "bundle", {"weights.bin": data})
    server = RestServer(tmp_path)
    try:
        base = f"/maas/v1/bundles/{digest}/files"
        patch(server.http, f"{base}/maas.json", (tmp_path / "bundle/maas.json").read_bytes())
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                f"PATCH {base}/weights.bin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer the-token-of-an-admin\r\n"
                f"Upload-Offset: 0\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                + data[:200_000]
            )
        while (there := server.http.get(f"{base}/weights.bin").json()["offset"]) == 0:
            time.sleep(0.01)
        assert 0 < there <= 200_000
        while (answer := patch(server.http, f"{base}/weights.bin", data[there:], there)).status_code == 409:
            there = int(answer.headers["Upload-Offset"])  # what came before the cut is still being written
        assert answer.json()["complete"]
    finally:
        server.close()


def test_a_sender_that_stalls_is_let_go(tmp_path):
    """Its file is not locked for longer than the next bytes may take."""
    store = BundleStore(tmp_path / "home")
    digest = write_bundle(tmp_path / "bundle", {"weights.bin": b"0123456789"})
    control = ControlPlane(tmp_path / "home", ModelRepository(tmp_path / "home", Metrics()))
    app = Starlette(routes=admin.routes(control, store, None, Limits(), chunk_seconds=0.05))
    messages = [{"type": "http.request", "body": b"01234", "more_body": True}]

    async def stalled(scope, receive, send):
        async def sends_no_more():
            return messages.pop() if messages else await asyncio.Event().wait()

        stalls = scope["type"] == "http" and scope["method"] == "PATCH" and scope["path"].endswith("weights.bin")
        await app(scope, sends_no_more if stalls else receive, send)

    with TestClient(stalled) as client:
        base = f"/maas/v1/bundles/{digest}/files"
        patch(client, f"{base}/maas.json", (tmp_path / "bundle/maas.json").read_bytes())
        answer = patch(client, f"{base}/weights.bin", b"")
        assert answer.status_code == 408
        assert client.get(f"{base}/weights.bin").json()["offset"] == 5
    with TestClient(app) as client:
        assert patch(client, f"{base}/weights.bin", b"56789", 5).json()["complete"]
