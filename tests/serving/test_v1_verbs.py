"""V1 beyond numbers in rows and columns: binary values, classify, regress, metadata, versions and labels."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from bundles import WEIGHTS, linear_softmax
from onnx import TensorProto, helper
from rest_server import RestServer, picture

from maas_jupyter.schema import Signature, TensorSpec

X = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def b64(value):
    return {"b64": base64.b64encode(value).decode()}


def post(rest, path, body):
    return rest.http.post(f"/v1/models/{path}", json=body)


def scores_of(x):
    powers = np.exp(np.array(x) @ WEIGHTS)
    return powers / powers.sum(axis=-1, keepdims=True)


# -- binary values ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"instances": [b64(picture())]},
        {"instances": [{"image": b64(picture())}]},
        {"instances": [base64.b64encode(picture()).decode()]},
        {"inputs": [b64(picture())]},
        {"inputs": {"image": [b64(picture())]}},
    ],
)
def test_a_picture(rest, body):
    answer = post(rest, "picture:predict", body)
    assert answer.status_code == 200, answer.text
    pixels = next(iter(answer.json().values()))
    assert np.ravel(pixels).tolist() == [0, 100, 200, 255]


def test_texts_may_come_in_base64_and_outputs_named_bytes_go_so(rest):
    answer = post(rest, "echo:predict", {"instances": ["a", b64("ä".encode())]})
    assert answer.json() == {"predictions": [b64(b"a"), b64("ä".encode())]}
    answer = post(rest, "echo:predict", {"inputs": {"text": [b64(b"a")]}})
    assert answer.json() == {"outputs": [b64(b"a")]}
    answer = post(rest, "words:predict", {"instances": [{"n": 1, "text": b64(b"a")}, {"n": 2, "text": "b"}]})
    assert answer.json() == {"predictions": [{"label": "a", "number": 1}, {"label": "b", "number": 2}]}


@pytest.mark.parametrize(
    "value", [{"b64": "a"}, {"b64": "YQ=="}, {"b64": 1}, {"b64": "YQ==", "more": 1}, {"c64": "YQ=="}, 1, None, ["YQ=="]]
)
def test_values_that_are_no_text(rest, value):
    answer = post(rest, "words:predict", {"instances": [{"n": 1, "text": value}]})
    assert answer.status_code == (200 if value == {"b64": "YQ=="} else 400)


@pytest.mark.parametrize("values", [[b64(b"\xff")], {"b64": base64.b64encode(b"a").decode()}])
def test_binary_values_where_texts_or_lists_are_expected(rest, values):
    assert post(rest, "echo:predict", {"instances": values}).status_code == 400


# -- classify and regress ---------------------------------------------------------------------------------------------


def test_classify_gives_label_and_score_of_every_class(rest):
    results = post(rest, "digits:classify", {"examples": [{"x": row} for row in X]}).json()["results"]
    assert [[label for label, _ in row] for row in results] == [["low", "middle", "high"]] * 2
    np.testing.assert_allclose([[score for _, score in row] for row in results], scores_of(X), rtol=1e-5)


def test_regress_gives_one_number_for_each_example(rest):
    examples = [{"a": 1.0, "i": [0]}, {"a": [2.5], "i": 1}]
    assert post(rest, "pair:regress", {"examples": examples}).json() == {"results": [11.0, 22.5]}
    body = {"context": {"i": 2}, "examples": [{"a": 1.0}, {"a": 1.0, "i": 0}], "signature_name": "serving_default"}
    assert post(rest, "pair:regress", body).json() == {"results": [31.0, 11.0]}


@pytest.mark.parametrize(
    ("path", "body", "words_of_the_error"),
    [
        ("digits:classify", {}, ["examples"]),
        ("digits:classify", {"examples": []}, ["empty"]),
        ("digits:classify", {"examples": [{}]}, ["'x'"]),
        ("digits:classify", {"examples": [{"y": 1}]}, ["'x'", "'y'"]),
        ("digits:classify", {"examples": [{"x": [1, 2]}]}, ["2 values", "predict"]),
        ("digits:classify", {"examples": [{"x": [[1, 2, 3, 4]]}]}, ["float"]),
        ("digits:classify", {"examples": [{"x": "a"}]}, ["'x'"]),
        ("digits:classify", {"examples": [{"x": X[0]}], "signature_name": "other"}, ["signature"]),
        ("digits:regress", {"examples": [{"x": X[0]}]}, ["regression", "classification"]),
        ("pair:classify", {"examples": [{"a": 1, "i": 0}]}, ["classification", "regression"]),
        ("words:classify", {"examples": [{"n": 1, "text": "a"}]}, ["classification", "tensor"]),
        ("pair:regress", {"examples": [{"a": 1, "i": 5}]}, ["refuses"]),
        ("pair:regress", {"examples": [{"a": 1, "i": [0, 1]}]}, ["2 values"]),
    ],
)
def test_wrong_examples_are_refused_in_words(rest, path, body, words_of_the_error):
    answer = post(rest, path, body)
    assert answer.status_code == 400
    for word in words_of_the_error:
        assert word in answer.json()["error"]


def price(*names, datatype=TensorProto.FLOAT, shape=("rows", 1)):
    """Hand x through to each of these outputs: x [-1, 1] -> outputs of the same."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [name]) for name in names],
        "graph",
        [helper.make_tensor_value_info("x", datatype, shape)],
        [helper.make_tensor_value_info(name, datatype, shape) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    kind = "FP32" if datatype == TensorProto.FLOAT else "INT64"
    sizes = [-1, *shape[1:]]
    return model, Signature([TensorSpec("x", kind, sizes)], [TensorSpec(name, kind, sizes) for name in names])


def test_regress_answers_with_the_only_number_whatever_its_name(rest):
    rest.publish("price", "1", price("price"), task="regression")
    assert post(rest, "price:regress", {"examples": [{"x": 1.5}, {"x": [2]}]}).json() == {"results": [1.5, 2.0]}
    rest.publish("price", "2", price("other", "prediction"), task="regression")
    assert post(rest, "price:regress", {"examples": [{"x": 1.5}]}).json() == {"results": [1.5]}


@pytest.mark.parametrize(
    ("made", "task", "verb"),
    [
        (price("low", "high"), "regression", "regress"),
        (price("count", datatype=TensorProto.INT64), "regression", "regress"),
        (price("curve", shape=("rows", 3)), "regression", "regress"),
        (price("logits", shape=("rows", 3)), "classification", "classify"),
    ],
)
def test_a_model_of_the_task_without_such_an_output_is_told_so(rest, made, task, verb):
    rest.publish("odd", "1", made, task=task)
    answer = post(rest, f"odd:{verb}", {"examples": [{"x": 1}]})
    assert answer.status_code == 400
    assert f"no output for :{verb}" in answer.json()["error"]
    assert made[1].outputs[0].name in answer.json()["error"]


def filled():
    """Fill a table's missing ages with 40, as a fitted preprocessing does: age FP32[-1], kind BYTES[-1]."""
    nodes = [
        helper.make_node("IsNaN", ["age"], ["missing"]),
        helper.make_node("Constant", [], ["fill"], value_float=40.0),
        helper.make_node("Where", ["missing", "fill", "age"], ["prediction"]),
        helper.make_node("Identity", ["kind"], ["same"]),
    ]
    kinds = {"age": TensorProto.FLOAT, "kind": TensorProto.STRING, "prediction": TensorProto.FLOAT}
    kinds["same"] = TensorProto.STRING
    values = {name: helper.make_tensor_value_info(name, kind, ["rows"]) for name, kind in kinds.items()}
    graph = helper.make_graph(nodes, "graph", [values["age"], values["kind"]], [values["prediction"], values["same"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model, Signature(
        [TensorSpec("age", "FP32", [-1]), TensorSpec("kind", "BYTES", [-1])],
        [TensorSpec("prediction", "FP32", [-1]), TensorSpec("same", "BYTES", [-1])],
    )


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/people:predict", {"instances": [{"age": None, "kind": "a"}, {"age": 3, "kind": ""}]}),
        ("/v1/models/people:predict", {"inputs": {"age": [None, 3], "kind": ["a", ""]}}),
        ("/v1/models/people:regress", {"examples": [{"age": None, "kind": "a"}, {"age": [3], "kind": ""}]}),
        ("/v1/models/people:regress", {"context": {"age": None}, "examples": [{"kind": "a"}, {"age": 3, "kind": ""}]}),
        ("/invocations", {"dataframe_records": [{"age": None, "kind": "a"}, {"age": 3, "kind": ""}]}),
        ("/invocations", {"dataframe_split": {"columns": ["age", "kind"], "data": [[None, "a"], [3, ""]]}}),
        ("/invocations", {"inputs": {"age": [None, 3], "kind": ["a", ""]}}),
        (
            "/v2/models/people/infer",
            {
                "inputs": [
                    {"name": "age", "shape": [2], "datatype": "FP32", "data": [None, 3]},
                    {"name": "kind", "shape": [2], "datatype": "BYTES", "data": ["a", ""]},
                ]
            },
        ),
    ],
)
def test_a_row_of_a_table_may_miss_a_number(rest, path, body):
    rest.publish("people", "1", filled(), task="regression")
    route = "/models/people/invocations" if path == "/invocations" else path
    answer = rest.http.post(route, json=body)
    assert answer.status_code == 200, answer.text
    assert "40.0" in answer.text
    assert "3.0" in answer.text


# -- metadata, versions and labels ------------------------------------------------------------------------------------


def test_metadata_is_a_signature_def(rest):
    answer = rest.http.get("/v1/models/digits/metadata").json()
    assert answer["model_spec"] == {"name": "digits", "signature_name": "", "version": "1"}
    definition = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    dims = [{"size": "-1", "name": ""}, {"size": "4", "name": ""}]
    assert definition["inputs"]["x"] == {
        "dtype": "DT_FLOAT",
        "tensor_shape": {"dim": dims, "unknown_rank": False},
        "name": "x",
    }
    assert definition["outputs"]["label"]["dtype"] == "DT_INT64"
    words = rest.http.get("/v1/models/words/versions/7/metadata").json()["metadata"]["signature_def"]["signature_def"]
    assert words["serving_default"]["inputs"]["text"]["dtype"] == "DT_STRING"


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory):
    server = RestServer(tmp_path_factory.mktemp("labels"))
    try:
        server.publish("digits", "1", linear_softmax())
        server.publish("digits", "2", linear_softmax(scale=-1), canary=10)
        yield server
    finally:
        server.close()


@pytest.mark.parametrize(("where", "version"), [("labels/stable", "1"), ("labels/canary", "2"), ("versions/2", "2")])
def test_every_route_takes_versions_and_labels(two_versions, where, version):
    path = f"/v1/models/digits/{where}"
    status = two_versions.http.get(path).json()
    assert [row["version"] for row in status["model_version_status"]] == [version]
    assert two_versions.http.get(f"{path}/metadata").json()["model_spec"]["version"] == version
    scores = two_versions.http.post(f"{path}:predict", json={"inputs": X}).json()["outputs"]["scores"]
    expected = scores_of(X if version == "1" else np.negative(X))
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    rows = two_versions.http.post(f"{path}:classify", json={"examples": [{"x": row} for row in X]}).json()["results"]
    np.testing.assert_allclose([[score for _, score in row] for row in rows], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("method", "end"),
    [("GET", ""), ("GET", "/metadata"), ("POST", ":predict"), ("POST", ":classify"), ("POST", ":regress")],
)
def test_an_unknown_label_is_400_and_an_unknown_model_404(two_versions, method, end):
    answer = two_versions.http.request(
        method, f"/v1/models/digits/labels/canari{end}", json={"inputs": X} if method == "POST" else None
    )
    assert answer.status_code == 400
    assert "Did you mean 'canary'" in answer.json()["error"]
    answer = two_versions.http.request(method, f"/v1/models/digit/labels/stable{end}")
    assert answer.status_code == 404
    assert "'digits'" in answer.json()["error"]


def test_refused_labels_are_counted(two_versions):
    two_versions.http.post("/v1/models/digits/labels/none:predict", json={})
    text = two_versions.http.get("/metrics").text
    assert 'maas_requests_total{code="400",model="",protocol="v1-rest",version=""}' in text


@pytest.mark.parametrize("verb", ["predict", "classify", "regress"])
@pytest.mark.parametrize("where", ["", "/versions/1", "/labels/stable"])
def test_verbs_take_post_only(two_versions, verb, where):
    answer = two_versions.http.get(f"/v1/models/digits{where}:{verb}")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_what_curl_sends_by_itself(rest):
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = rest.http.post("/v1/models/pair:predict", content=b'{"instances": [{"a": 1.0, "i": 0}]}', headers=kind)
    assert answer.json() == {"predictions": [11.0]}
