"""V2 and V1 over the whole application: what clients send, and what they get when it is wrong."""

from __future__ import annotations

from contextlib import asynccontextmanager

import numpy as np
import pytest
from bundles import WEIGHTS
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from maas_jupyter.serving.app import create_app

X = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def tensor(name="x", shape=(2, 4), datatype="FP32", data=X):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": data}


def infer(client, *inputs, model="digits", **body):
    return client.post(f"/v2/models/{model}/infer", json={"inputs": list(inputs), **body})


# -- V2 ---------------------------------------------------------------------------------------------------------------


def test_v2_server_and_health(client):
    assert client.get("/v2").json()["name"] == "maas-jupyter"
    assert client.get("/v2/health/live").json()["live"] is True
    answer = client.get("/v2/health/ready")
    assert answer.status_code == 200
    assert answer.json()["ready"] is True
    assert answer.json()["live"] is True


@pytest.mark.parametrize("path", ["/v2/models/digits", "/v2/models/digits/versions/1"])
def test_v2_metadata(client, digits, path):
    assert client.get(path).json() == {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
        ],
    }
    assert client.get(f"{path}/ready").json() == {"name": "digits", "ready": True}


@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v2/models/digits/versions/1/infer"])
@pytest.mark.parametrize("data", [X, [1, 0, 0, 0, 0, 0, 0, 1]])
def test_v2_infer(client, digits, path, data):
    answer = client.post(path, json={"id": "42", "inputs": [tensor(data=data)]}).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("digits", "1", "42")
    label, scores = answer["outputs"]
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "INT64", [2])
    assert (scores["name"], scores["datatype"], scores["shape"]) == ("scores", "FP32", [2, 3])
    expected = softmax(np.array(X, dtype=np.float32) @ WEIGHTS)
    np.testing.assert_allclose(np.reshape(scores["data"], (2, 3)), expected, rtol=1e-5)
    assert label["data"] == expected.argmax(-1).tolist()


def test_v2_selects_outputs_in_the_order_asked_for(client, digits):
    answer = infer(client, tensor(), outputs=[{"name": "scores"}]).json()
    assert [output["name"] for output in answer["outputs"]] == ["scores"]
    assert "id" not in answer


def test_v2_integers_and_text(client, words):
    answer = infer(
        client, tensor("n", [2], "INT64", [2**53 + 1, -3]), tensor("text", [2], "BYTES", ["ä", "z"]), model="words"
    ).json()
    assert {output["name"]: output["data"] for output in answer["outputs"]} == {
        "label": ["ä", "z"],
        "number": [2**53 + 1, -3],
    }


@pytest.mark.parametrize(
    ("wrong", "words_of_the_error"),
    [
        (tensor(name="y"), ["'x'", "'y'"]),
        (tensor(shape=[2, 5], data=[0] * 10), ["'x'", "[-1, 4]", "[2, 5]"]),
        (tensor(shape=[4], data=[0] * 4), ["[-1, 4]", "[4]", "[1, 4]"]),
        (tensor(datatype="FP64"), ["FP32", "FP64"]),
        (tensor(datatype="FLOAT"), ["FLOAT", "FP32"]),
        (tensor(data=X[:1]), ["8 values", "4"]),
        (tensor(data=[[1, 2, 3], [1, 2, 3, 4, 5]]), ["unequal"]),
        (tensor(data=[[X]]), ["nested 2 deep", "4 deep"]),
        (tensor(data=[[1, 2, 3, "abc"], X[1]]), ["float", "str"]),
        (tensor(data=[[1, 2, 3, None], X[1]]), ["float", "null"]),
        (tensor(data=[[1, 2, 3, True], X[1]]), ["float", "bool"]),
        (tensor(data=[[1, 2, 3, 1e39], X[1]]), ["range of FP32"]),
        (tensor(shape=[-1, 4]), ["shape"]),
        (tensor(shape=[0, 4], data=[]), ["no values"]),
        ({"name": "x", "shape": [2, 4], "datatype": "FP32"}, ["data"]),
        ("x", ["object"]),
    ],
)
def test_v2_wrong_tensors_are_refused_in_words(client, digits, wrong, words_of_the_error):
    answer = infer(client, wrong)
    assert answer.status_code == 400
    for word in words_of_the_error:
        assert word in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"inputs": 3}', b'{"parameters":' + b"[" * 5000])
def test_v2_wrong_json_is_answered_with_the_form_expected(client, digits, body):
    answer = client.post("/v2/models/digits/infer", content=body)
    assert answer.status_code == 400
    assert '"datatype"' in answer.json()["error"]


def test_v2_the_same_input_twice(client, digits):
    assert infer(client, tensor(), tensor()).status_code == 400


def test_v2_unknown_output(client, digits):
    answer = infer(client, tensor(), outputs=[{"name": "score"}])
    assert answer.status_code == 400
    assert "Did you mean 'scores'" in answer.json()["error"]


def test_v2_values_that_the_graph_refuses(client, pair):
    a, i = tensor("a", [1], "FP32", [1]), tensor("i", [1], "INT64", [2])
    assert infer(client, a, i, model="pair").json()["outputs"][0]["data"] == [31]
    answer = infer(client, a, {**i, "data": [3]}, model="pair")
    assert answer.status_code == 400
    assert "refuses" in answer.json()["error"]


def test_v2_an_answer_that_json_cannot_carry(client, digits):
    answer = infer(client, tensor(data=[[3e38] * 4, [0] * 4]))
    assert answer.status_code == 400
    assert "NaN" in answer.json()["error"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/{}"),
        ("GET", "/v2/models/{}/ready"),
        ("POST", "/v2/models/{}/infer"),
        ("GET", "/v1/models/{}"),
        ("POST", "/v1/models/{}:predict"),
    ],
)
def test_unknown_models_and_versions_are_404_with_the_nearest_name(client, digits, method, path):
    answer = client.request(method, path.format("digit"), json={"inputs": [tensor()]})
    assert answer.status_code == 404
    assert "Did you mean 'digits'?" in answer.json()["error"]
    answer = client.request(method, path.format("digits/versions/2"), json={"inputs": [tensor()]})
    assert answer.status_code == 404
    assert "version '2'" in answer.json()["error"]


# -- V1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/models/digits:predict", "/v1/models/digits/versions/1:predict"])
def test_v1_rows(client, digits, path):
    rows = client.post(path, json={"instances": X}).json()["predictions"]
    assert [set(row) for row in rows] == [{"label", "scores"}] * 2
    expected = softmax(np.array(X, dtype=np.float32) @ WEIGHTS)
    np.testing.assert_allclose([row["scores"] for row in rows], expected, rtol=1e-5)
    named = client.post(path, json={"instances": [{"x": row} for row in X], "signature_name": "serving_default"})
    assert named.json()["predictions"] == rows


def test_v1_columns(client, digits):
    outputs = client.post("/v1/models/digits:predict", json={"inputs": X}).json()["outputs"]
    assert np.shape(outputs["scores"]) == (2, 3)
    assert client.post("/v1/models/digits:predict", json={"inputs": {"x": X}}).json()["outputs"] == outputs


def test_v1_a_single_output_is_unnamed(client, pair):
    rows = [{"a": 1, "i": 0}, {"a": 2.5, "i": 1}]
    assert client.post("/v1/models/pair:predict", json={"instances": rows}).json() == {"predictions": [11, 22.5]}
    columns = {"a": [1, 2.5], "i": [0, 1]}
    assert client.post("/v1/models/pair:predict", json={"inputs": columns}).json() == {"outputs": [11, 22.5]}


def test_v1_text(client, words):
    answer = client.post("/v1/models/words:predict", json={"instances": [{"n": 1, "text": "a"}]})
    assert answer.json() == {"predictions": [{"label": "a", "number": 1}]}


@pytest.mark.parametrize(
    ("body", "words_of_the_error"),
    [
        ({}, ["instances", "inputs"]),
        ({"instances": X, "inputs": X}, ["either"]),
        ({"instances": X[0]}, ["'x'", "FP32[-1, 4]"]),
        ({"instances": [X]}, ["'x'", "FP32[-1, 4]"]),
        ({"instances": [[1, 2, 3]]}, ["[-1, 4]", "[1, 3]"]),
        ({"instances": [[1, 2, 3, 4], [1]]}, ["unequal"]),
        ({"instances": [["a", 2, 3, 4]]}, ["float", "str"]),
        ({"instances": [{"y": X[0]}]}, ["'x'", "'y'"]),
        ({"instances": [{"x": X[0]}, X[1]]}, ["object"]),
        ({"instances": [{"x": X[0]}, {"x": [1]}]}, ["unequal lengths"]),
        ({"instances": []}, ["FP32[-1, 4]"]),
        ({"instances": 3}, ["'x'"]),
        ({"inputs": {"y": X}}, ["'x'", "'y'"]),
        ({"instances": X, "signature_name": "other"}, ["signature"]),
    ],
)
def test_v1_wrong_bodies_are_refused_in_words(client, digits, body, words_of_the_error):
    answer = client.post("/v1/models/digits:predict", json=body)
    assert answer.status_code == 400
    for word in words_of_the_error:
        assert word in answer.json()["error"]


@pytest.mark.parametrize(
    "body", [{"instances": [[1, 0]]}, {"inputs": [1]}, {"instances": [{"a": 1}]}, {"instances": [{"a": 1, "i": 1.5}]}]
)
def test_v1_wrong_bodies_for_several_inputs(client, pair, body):
    answer = client.post("/v1/models/pair:predict", json=body)
    assert answer.status_code == 400
    assert "i" in answer.json()["error"]


def test_v1_malformed_json(client, digits):
    answer = client.post("/v1/models/digits:predict", content=b'{"instances": [[1,')
    assert answer.status_code == 400
    assert "instances" in answer.json()["error"]


def test_v1_status_suits_the_readers_of_three_protocols(client, digits):
    for path in ("/v1/models/digits", "/v1/models/digits/versions/1"):
        answer = client.get(path).json()
        assert answer["model_version_status"] == [
            {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
        ]
        assert (answer["name"], answer["ready"]) == ("digits", True)
        assert (answer["id"], answer["object"]) == ("digits", "model")
    listed = client.get("/v1/models").json()
    assert listed["models"] == ["digits"]
    assert [model["id"] for model in listed["data"]] == ["digits"]


# -- around both ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2"),
        ("GET", "/v2/models/digits"),
        ("POST", "/v2/models/digits/infer"),
        ("POST", "/v1/models/digits:predict"),
        ("GET", "/v1/models"),
        ("GET", "/metrics"),
        ("GET", "/maas/v1/status"),
        ("PUT", f"/maas/v1/bundles/{'0' * 64}/files/maas.json"),
        ("POST", "/maas/v1/models/digits/publish"),
        ("DELETE", "/maas/v1/models/digits"),
        ("GET", "/nothing"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic YTpi", "Bearer", b"Bearer \xff"])
def test_without_the_token_there_is_nothing(raw_client, method, path, authorization):
    headers = {"Authorization": authorization} if authorization else {}
    answer = raw_client.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "token" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready"])
def test_probes_need_no_token(raw_client, path):
    assert raw_client.get(path).status_code == 200


def test_request_ids_come_in_and_go_out(client):
    assert client.get("/v2", headers={"X-Request-Id": "abc-1"}).headers["x-request-id"] == "abc-1"
    made = client.get("/nothing").headers["x-request-id"]
    assert made
    assert client.get("/nothing", headers={"X-Request-Id": "x" * 129}).headers["x-request-id"] not in ("x" * 129, made)


def test_unknown_routes_and_methods_are_json_too(client):
    assert "GET /nothing" in client.get("/nothing").json()["error"]
    answer = client.get("/v2/models/digits/infer")
    assert answer.status_code == 405
    assert "error" in answer.json()


def test_a_body_over_the_limit(client, digits):
    answer = client.post("/v2/models/digits/infer", content=b" " * 100_001)
    assert answer.status_code == 413
    assert "100,000" in answer.json()["error"]

    def chunks():
        for _ in range(11):
            yield b" " * 10_000

    assert client.post("/v2/models/digits/infer", content=chunks()).status_code == 413


def test_what_nobody_foresaw_is_500_without_details(client, digits, monkeypatch, caplog):
    from maas_jupyter.serving.runtimes.onnx import OnnxRuntime

    def explode(self, inputs):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(OnnxRuntime, "run", explode)
    answer = client.post(
        "/v2/models/digits/infer", json={"inputs": [tensor()]}, headers={"X-Request-Id": "the-request"}
    )
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error (request the-request)"}
    assert "secret detail" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/v2/models//infer",
        "/v2/models/digits/versions//infer",
        "/v2/models/digits/versions/1/2/infer",
        "/v2/models/a/b/infer",
        "/v2/models/digits/inferx",
        "/v1/models/a/b:predict",
    ],
)
def test_paths_near_those_of_inference_are_not_found(client, digits, path):
    assert client.post(path, json={}).status_code == 404


@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v1/models/digits:predict"])
def test_inference_takes_post_only(client, digits, path):
    answer = client.get(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_the_application_can_be_mounted_by_another(server_home, bundles):
    inner = create_app(server_home, "a-token-for-tests")

    @asynccontextmanager
    async def lifespan(_):
        async with inner.router.lifespan_context(inner):
            yield

    with TestClient(Starlette(routes=[Mount("/models", inner)], lifespan=lifespan)) as host:
        host.headers["Authorization"] = "Bearer a-token-for-tests"
        assert host.get("/models/v2/health/live").json() == {"live": True}
        answer = host.post("/models/v2/models/nothing/infer", json={"inputs": []})
        assert answer.status_code == 404
        assert "no model 'nothing'" in answer.json()["error"]
