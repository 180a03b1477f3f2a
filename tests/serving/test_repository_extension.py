"""Triton's model repository extension, with its own client."""

from __future__ import annotations

import pytest
from bundles import linear_softmax, two_inputs
from rest_server import RestServer
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

HEADERS = {"Authorization": "Bearer the-token-of-an-admin"}


@pytest.fixture
def server(tmp_path):
    server = RestServer(tmp_path)
    try:
        server.publish("digits", "1", linear_softmax())
        server.publish("pair", "1", two_inputs())
        yield server
    finally:
        server.close()


@pytest.fixture
def triton(server):
    with InferenceServerClient(server.address) as client:
        yield client


def test_unload_and_load(server, triton):
    def index(ready=False):
        rows = server.http.post("/v2/repository/index", json={"ready": ready}).json()
        return {row["name"]: row["state"] for row in rows}

    assert triton.get_model_repository_index(headers={**HEADERS}) == [
        {"name": "digits", "version": "1", "state": "READY", "reason": ""},
        {"name": "pair", "version": "1", "state": "READY", "reason": ""},
    ]
    triton.unload_model("digits", headers={**HEADERS})
    assert index() == {"digits": "UNAVAILABLE", "pair": "READY"}
    assert index(ready=True) == {"pair": "READY"}
    assert not triton.is_model_ready("digits", headers={**HEADERS})
    answer = server.http.post("/v2/models/digits/infer", json={"inputs": []})
    assert answer.status_code == 503
    assert "/v2/repository/models/digits/load" in answer.json()["error"]
    assert server.http.get("/v1/models/digits").json()["model_version_status"][0]["state"] == "END"
    assert server.http.get("/v1/models/digits/versions/2").status_code == 404
    triton.load_model("digits", headers={**HEADERS})
    assert index(ready=True) == {"digits": "READY", "pair": "READY"}
    assert triton.is_model_ready("digits", headers={**HEADERS})
    with pytest.raises(InferenceServerException, match="Did you mean 'digits'"):
        triton.load_model("digit", headers={**HEADERS})


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"ready": 1}', b'{"ready": null}'])
def test_wrong_bodies(rest, body):
    answer = rest.http.post("/v2/repository/index", content=body)
    assert answer.status_code == 400
    assert "ready" in answer.json()["error"]


def test_what_would_change_the_model_is_refused(rest):
    body = {"parameters": {"config": "{}", "file:1/model.onnx": "AAAA"}}
    answer = rest.http.post("/v2/repository/models/digits/load", json=body)
    assert answer.status_code == 400
    assert "config" in answer.json()["error"]


def test_who_may_do_what(rest):
    with rest.client("the-token-of-a-reader") as reader:
        assert reader.post("/v2/repository/index").status_code == 200
        for verb in ("load", "unload"):
            assert reader.post(f"/v2/repository/models/digits/{verb}").status_code == 403


def test_the_history_says_who_it_was(server):
    assert server.http.post("/v2/repository/models/pair/unload").status_code == 200
    last = server.http.get("/maas/v1/models/pair/history").json()[-1]
    assert (last["action"], last["by"]) == ("unload", "ann")
