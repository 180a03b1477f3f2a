"""V2's binary tensors, classification, compression and time limit, over real HTTP and with Triton's own client."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import numpy as np
import pytest
from bundles import WEIGHTS
from hypothesis import given
from hypothesis import strategies as st
from rest_server import BODY_BYTES, picture
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

X = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float32)
HEADERS = {"Authorization": "Bearer the-token-of-an-admin"}  # a copy for each call: the client writes into it


def scores_of(x):
    powers = np.exp(x @ WEIGHTS)
    return powers / powers.sum(axis=-1, keepdims=True)


def tensor(size, shape=(2, 4), datatype="FP32", name="x"):
    return {"name": name, "shape": list(shape), "datatype": datatype, "parameters": {"binary_data_size": size}}


def post(rest, head, *parts, model="digits", length=None, **headers):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    sent = {"Inference-Header-Content-Length": str(len(text) if length is None else length), **headers}
    return rest.http.post(f"/v2/models/{model}/infer", content=b"".join((text, *parts)), headers=sent)


@pytest.fixture(scope="module")
def triton(rest):
    with InferenceServerClient(rest.address) as client:
        yield client


def given_input(array, name="x", datatype="FP32", **options):
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, **options)
    return made


# -- Triton's client --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent_binary", [True, False])
@pytest.mark.parametrize("outputs", [None, True, False])
@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_triton_infers(triton, sent_binary, outputs, compression):
    wanted = outputs if outputs is None else [InferRequestedOutput("scores", binary_data=outputs)]
    result = triton.infer(
        "digits",
        [given_input(X, binary_data=sent_binary)],
        outputs=wanted,
        request_id="7",
        headers={**HEADERS},
        request_compression_algorithm=compression,
        response_compression_algorithm=compression,
        timeout=10_000_000,
    )
    np.testing.assert_allclose(result.as_numpy("scores"), scores_of(X), rtol=1e-5)
    assert result.get_response()["id"] == "7"
    if outputs is None:
        assert result.as_numpy("label").tolist() == scores_of(X).argmax(-1).tolist()


def test_triton_sends_texts(triton):
    numbers = np.array([1, 2**60], dtype=np.int64)
    texts = np.array(["ä".encode(), b""], dtype=object)
    result = triton.infer(
        "words", [given_input(numbers, "n", "INT64"), given_input(texts, "text", "BYTES")], headers={**HEADERS}
    )
    assert result.as_numpy("label").tolist() == texts.tolist()
    assert result.as_numpy("number").tolist() == numbers.tolist()


def test_triton_sends_one_input_in_json_and_the_other_in_binary(triton):
    numbers, texts = np.array([5], dtype=np.int64), np.array([b"x"], dtype=object)
    inputs = [given_input(texts, "text", "BYTES"), given_input(numbers, "n", "INT64", binary_data=False)]
    result = triton.infer(
        "words",
        inputs,
        outputs=[InferRequestedOutput("label", binary_data=False), InferRequestedOutput("number")],
        headers={**HEADERS},
    )
    assert (result.as_numpy("label").tolist(), result.as_numpy("number").tolist()) == (["x"], [5])


@pytest.mark.parametrize("binary", [True, False])
def test_triton_asks_for_classes(triton, binary):
    outputs = [InferRequestedOutput("scores", binary_data=binary, class_count=2)]
    rows = triton.infer("digits", [given_input(X)], outputs=outputs, headers={**HEADERS}).as_numpy("scores")
    assert rows.shape == (2, 2)
    for row, expected in zip(rows, scores_of(X), strict=True):
        for text, index in zip(row, np.argsort(-expected), strict=False):
            value, number, label = (text.decode() if binary else text).split(":")
            assert (int(number), label) == (index, ["low", "middle", "high"][index])
            assert float(value) == pytest.approx(expected[index], rel=1e-5)


def test_triton_sends_a_picture(triton):
    array = np.array([picture()], dtype=object)
    result = triton.infer("picture", [given_input(array, "image", "BYTES")], headers={**HEADERS})
    assert result.as_numpy("pixels").ravel().tolist() == [0, 100, 200, 255]


def test_triton_is_told_what_is_wrong(triton):
    with pytest.raises(InferenceServerException, match=r"\[-1, 4\]"):
        triton.infer("digits", [given_input(X[:, :3].copy())], headers={**HEADERS})
    region = InferInput("x", [2, 4], "FP32")
    region.set_shared_memory("region", 32)
    with pytest.raises(InferenceServerException, match="shared memory"):
        triton.infer("digits", [region], headers={**HEADERS})


def test_triton_looks_around(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("digits", "1", headers={**HEADERS})
    assert not triton.is_model_ready("nothing", headers={**HEADERS})
    assert "binary_tensor_data" in triton.get_server_metadata(headers={**HEADERS})["extensions"]
    assert triton.get_model_metadata("digits", headers={**HEADERS})["inputs"][0]["shape"] == [-1, 4]
    config = triton.get_model_config("digits", headers={**HEADERS})
    assert (config["name"], config["max_batch_size"]) == ("digits", 64)
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]
    assert [output["data_type"] for output in config["output"]] == ["TYPE_INT64", "TYPE_FP32"]
    assert triton.get_model_config("words", "7", headers={**HEADERS})["input"][1]["data_type"] == "TYPE_STRING"


# -- the bytes --------------------------------------------------------------------------------------------------------


def test_the_answer_is_json_and_then_the_tensors(rest):
    head = {"inputs": [tensor(32)], "parameters": {"binary_data_output": True}, "id": "a"}
    answer = post(rest, head, X.tobytes())
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    message = json.loads(answer.content[:length])
    assert (message["model_name"], message["model_version"], message["id"]) == ("digits", "1", "a")
    label, scores = message["outputs"]
    assert label == {"name": "label", "shape": [2], "datatype": "INT64", "parameters": {"binary_data_size": 16}}
    assert scores["parameters"] == {"binary_data_size": 24}
    assert np.frombuffer(answer.content[length : length + 16], "<i8").tolist() == scores_of(X).argmax(-1).tolist()
    np.testing.assert_allclose(
        np.frombuffer(answer.content[length + 16 :], "<f4").reshape(2, 3), scores_of(X), rtol=1e-5
    )


def test_each_output_in_its_own_form(rest):
    outputs = [{"name": "scores"}, {"name": "label", "parameters": {"binary_data": False}}]
    head = {"inputs": [tensor(32)], "parameters": {"binary_data_output": True}, "outputs": outputs}
    answer = post(rest, head, X.tobytes())
    message = json.loads(answer.content[: int(answer.headers["inference-header-content-length"])])
    assert ["data" in output for output in message["outputs"]] == [False, True]


def test_bfloat16_is_widened(rest):
    data = (X.view(np.uint32) >> 16).astype("<u2").tobytes()
    answer = post(rest, {"inputs": [tensor(16, datatype="BF16")], "outputs": [{"name": "scores"}]}, data)
    np.testing.assert_allclose(np.reshape(answer.json()["outputs"][0]["data"], (2, 3)), scores_of(X), rtol=1e-5)


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1), st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=9)
        ),
        min_size=1,
        max_size=5,
    ),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
def test_what_goes_in_comes_out_in_every_mixture(rest, rows, number_binary, text_binary, out_binary):
    numbers, texts = zip(*rows, strict=True)
    raw = {"n": np.array(numbers, "<i8").tobytes()}
    raw["text"] = b"".join(len(text.encode()).to_bytes(4, "little") + text.encode() for text in texts)
    inputs, parts = [], []
    for name, datatype, values, binary in (
        ("text", "BYTES", texts, text_binary),
        ("n", "INT64", numbers, number_binary),
    ):
        described = {"name": name, "shape": [len(rows)], "datatype": datatype}
        if binary:
            inputs.append({**described, "parameters": {"binary_data_size": len(raw[name])}})
            parts.append(raw[name])
        else:
            inputs.append({**described, "data": values})
    answer = post(rest, {"inputs": inputs, "parameters": {"binary_data_output": out_binary}}, *parts, model="words")
    assert answer.status_code == 200, answer.text
    if out_binary:
        length = int(answer.headers["inference-header-content-length"])
        assert answer.content[length:] == raw["text"] + raw["n"]
    else:
        assert [output["data"] for output in answer.json()["outputs"]] == [list(texts), list(numbers)]


def test_a_body_of_nothing_but_the_tensor(rest):
    answer = post(rest, b"", X.tobytes(), length=0)
    length = int(answer.headers["inference-header-content-length"])
    assert [output["shape"] for output in json.loads(answer.content[:length])["outputs"]] == [[2], [2, 3]]
    answer = post(rest, b"", picture(), length=0, model="picture")
    assert np.frombuffer(answer.content[-16:], "<f4").tolist() == [0, 100, 200, 255]
    assert post(rest, b"", b"abc", length=0, model="words").status_code == 400
    wrong = post(rest, b"", X.tobytes()[:-1], length=0)
    assert wrong.status_code == 400
    assert "'x'" in wrong.json()["error"]


def test_a_picture_in_json_is_base64(rest):
    data = [base64.b64encode(picture()).decode()]
    body = {"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": data}]}
    answer = rest.http.post("/v2/models/picture/infer", json=body)
    assert answer.json()["outputs"][0]["data"] == [0, 100, 200, 255]


WHOLE = X.tobytes()


@pytest.mark.parametrize(
    ("inputs", "tail", "length", "words_of_the_error"),
    [
        ([tensor(32)], WHOLE[:-1], None, ["32", "31 bytes are left"]),
        ([tensor(31)], WHOLE[:-1], None, ["takes 32 bytes", "31"]),
        ([tensor(32)], WHOLE + b"x", None, ["1 bytes are left"]),
        ([tensor(-1)], WHOLE, None, ["binary_data_size"]),
        ([tensor("32")], WHOLE, None, ["binary_data_size"]),
        ([tensor(True)], WHOLE, None, ["binary_data_size"]),
        ([{**tensor(32), "data": [1]}], WHOLE, None, ["data in JSON"]),
        ([{"name": "x", "shape": [2, 4], "datatype": "FP32"}], b"", None, ["no data"]),
        ([tensor(32), tensor(0)], WHOLE, None, ["takes 32 bytes"]),
        ([tensor(32, datatype="FP33")], WHOLE, None, ["FP33", "BF16"]),
        ([tensor(32)], WHOLE, 10**9, ["Inference-Header-Content-Length"]),
        ([tensor(32)], WHOLE, "-1", ["Inference-Header-Content-Length"]),
        ([tensor(32)], WHOLE, "4x", ["Inference-Header-Content-Length"]),
        ([tensor(32)], WHOLE, 5, ["expected"]),
    ],
)
def test_lengths_that_do_not_add_up(rest, inputs, tail, length, words_of_the_error):
    answer = post(rest, {"inputs": inputs}, tail, length=length)
    assert answer.status_code == 400, answer.text
    for word in words_of_the_error:
        assert word in answer.json()["error"]


def test_binary_tensors_need_the_header(rest):
    answer = rest.http.post("/v2/models/digits/infer", json={"inputs": [tensor(32)]})
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"binary_data_output": 1}},
        {"parameters": {"timeout": "1"}},
        {"parameters": {"timeout": -1}},
        {"outputs": [{"name": "scores", "parameters": {"binary_data": "yes"}}]},
        {"outputs": [{"name": "scores", "parameters": {"classification": -1}}]},
        {"outputs": [{"name": "scores", "parameters": {"classification": "2"}}]},
        {"outputs": [{"name": "scores", "parameters": {"shared_memory_region": "r"}}]},
        {"outputs": [{"name": "scores"}, {"name": "scores"}]},
    ],
)
def test_parameters_of_another_kind(rest, fields):
    assert post(rest, {"inputs": [tensor(32)], **fields}, WHOLE).status_code == 400


def test_more_classes_than_there_are(rest):
    outputs = [{"name": "scores", "parameters": {"classification": 100}}]
    answer = post(rest, {"inputs": [tensor(32)], "outputs": outputs}, WHOLE)
    assert answer.json()["outputs"][0]["shape"] == [2, 3]


def test_a_time_that_has_passed(rest):
    answer = post(rest, {"inputs": [tensor(32)], "parameters": {"timeout": 1}}, WHOLE)
    assert answer.status_code in (503, 504)


# -- compression ------------------------------------------------------------------------------------------------------


def test_large_answers_are_compressed_where_the_client_asks(rest):
    rows = np.zeros((200, 4), np.float32)
    for accepted, expected in [("gzip", "gzip"), ("deflate;q=0.5", "deflate"), ("gzip;q=0, br", None), ("", None)]:
        headers = {"Accept-Encoding": accepted}
        answer = post(rest, {"inputs": [tensor(3200, (200, 4))]}, rows.tobytes(), **headers)
        assert answer.headers.get("content-encoding") == expected
        assert len(answer.json()["outputs"][1]["data"]) == 600


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies(rest, encoding, compress):
    head = json.dumps({"inputs": [tensor(32)]}).encode()
    whole = compress(head + WHOLE)

    def send(body):
        headers = {"Content-Encoding": encoding, "Inference-Header-Content-Length": str(len(head))}
        return rest.http.post("/v2/models/digits/infer", content=body, headers=headers)

    assert send(whole).status_code == 200
    for wrong in (whole[:-3], whole + b"x", whole + whole, head + WHOLE, b""):
        answer = send(wrong)
        assert answer.status_code == 400
        assert encoding in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2/models/digits/infer", "/v1/models/digits:predict", "/invocations?model=digits"])
def test_the_limit_is_of_what_comes_out_of_a_compressed_body(rest, path):
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answer = rest.http.post(path, content=gzip.compress(b" " * (BODY_BYTES * 50)), headers=headers)
    assert answer.status_code == 413
    assert f"{BODY_BYTES:,}" in answer.text


def test_an_encoding_that_is_unknown_here(rest):
    answer = rest.http.post("/v2/models/digits/infer", content=b"{}", headers={"Content-Encoding": "br"})
    assert answer.status_code == 415
    assert "gzip" in answer.json()["error"]


@pytest.mark.parametrize("timeout", ["1" + "0" * 400, str(2**63), "-1", "1.5", "true", '"1"'])
def test_a_timeout_that_is_none(rest, timeout):
    tensor = '{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 0, 0, 0]}'
    body = f'{{"parameters": {{"timeout": {timeout}}}, "inputs": [{tensor}]}}'
    answer = rest.http.post("/v2/models/digits/infer", content=body)
    assert answer.status_code == 400
    assert "timeout" in answer.json()["error"]
