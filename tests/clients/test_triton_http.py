from __future__ import annotations

import asyncio

import numpy as np
import pytest
import tritonclient.http as client
import tritonclient.http.aio as aio_client
from rest_server import picture
from triton_models import SCORES, X, digits_input, plugin, words_inputs
from tritonclient.utils import InferenceServerException


@pytest.fixture
def triton(address):
    with client.InferenceServerClient(address.http, concurrency=4) as made:
        made.register_plugin(plugin(client.InferenceServerClientPlugin, address.token))
        yield made


def test_the_server_and_its_models(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("digits")
    assert triton.is_model_ready("digits", "1")
    assert not triton.is_model_ready("digits", "2")
    assert not triton.is_model_ready("nothing")
    assert triton.get_server_metadata()["name"] == "maas-jupyter"
    assert triton.get_model_metadata("digits") == {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1, 3]},
        ],
    }
    config = triton.get_model_config("digits")
    assert config["max_batch_size"] == 64
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [4]}]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_numbers(triton, binary_in, binary_out):
    outputs = None
    if binary_out is not None:
        outputs = [client.InferRequestedOutput(name, binary_data=binary_out) for name in ("scores", "label")]
    result = triton.infer("digits", digits_input(client, binary_data=binary_in), outputs=outputs, request_id="r-1")
    np.testing.assert_allclose(result.as_numpy("scores"), SCORES, rtol=1e-5)
    assert result.as_numpy("label").tolist() == [2, 2]
    response = result.get_response()
    assert (response["model_name"], response["model_version"], response["id"]) == ("digits", "1", "r-1")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_texts(triton, binary_in, binary_out):
    outputs = [client.InferRequestedOutput(name, binary_data=binary_out) for name in ("label", "number")]
    result = triton.infer("words", words_inputs(client, binary_data=binary_in), outputs=outputs)
    texts = [value.decode() if isinstance(value, bytes) else value for value in result.as_numpy("label")]
    assert texts == ["a", "ü"]
    assert result.as_numpy("number").tolist() == [1, 2]


def test_a_picture_as_bytes(triton):
    tensor = client.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([picture()], dtype=object))
    assert triton.infer("picture", [tensor]).as_numpy("pixels").ravel().tolist() == [0, 100, 200, 255]


def test_classes(triton):
    output = client.InferRequestedOutput("scores", class_count=1)
    result = triton.infer("digits", digits_input(client), outputs=[output]).as_numpy("scores")
    assert [text.decode().split(":")[1:] for text in result.ravel()] == [["2", "high"]] * 2


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed(triton, encoding):
    result = triton.infer(
        "digits",
        digits_input(client),
        request_compression_algorithm=encoding,
        response_compression_algorithm=encoding,
    )
    np.testing.assert_allclose(result.as_numpy("scores"), SCORES, rtol=1e-5)


def test_many_at_once(triton):
    waiting = [triton.async_infer("digits", digits_input(client), request_id=str(number)) for number in range(50)]
    assert [each.get_result().get_response()["id"] for each in waiting] == [str(number) for number in range(50)]


def test_the_asyncio_client(address):
    async def ask():
        async with aio_client.InferenceServerClient(address.http) as made:
            made.register_plugin(plugin(aio_client.InferenceServerClientPlugin, address.token))
            assert await made.is_model_ready("digits")
            results = await asyncio.gather(*(made.infer("digits", digits_input(aio_client)) for _ in range(20)))
            return [result.as_numpy("scores") for result in results]

    for scores in asyncio.run(ask()):
        np.testing.assert_allclose(scores, SCORES, rtol=1e-5)


def test_the_repository(triton):
    def state():
        return next(row["state"] for row in triton.get_model_repository_index() if row["name"] == "pair")

    assert state() == "READY"
    triton.unload_model("pair")
    assert state() == "UNAVAILABLE"
    assert not triton.is_model_ready("pair")
    triton.load_model("pair")
    assert state() == "READY"
    assert triton.is_model_ready("pair")


def test_statistics_count_every_worker(triton):
    def count():
        (row,) = triton.get_inference_statistics("echo")["model_stats"]
        assert (row["name"], row["version"]) == ("echo", "1")
        return row["inference_stats"]["success"]["count"], row["inference_count"]

    before = count()
    tensor = client.InferInput("text", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(["a", "b", "c"], dtype=object))
    for waiting in [triton.async_infer("echo", [tensor]) for _ in range(10)]:
        waiting.get_result()
    assert count() == (before[0] + 10, before[1] + 30)


def test_errors_are_in_words(triton, address):
    wrong = client.InferInput("x", [2, 3], "FP32")
    wrong.set_data_from_numpy(X[:, :3].copy())
    with pytest.raises(InferenceServerException, match=r"must have the shape \[-1, 4\]") as caught:
        triton.infer("digits", [wrong])
    assert caught.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no model 'nothing'"):
        triton.infer("nothing", digits_input(client))
    with pytest.raises(InferenceServerException, match="no version '9'"):
        triton.infer("digits", digits_input(client), model_version="9")
    with pytest.raises(InferenceServerException, match="as it was published"):
        triton.load_model("pair", config="{}")
    with client.InferenceServerClient(address.http) as anonymous:
        assert anonymous.is_server_ready()
        with pytest.raises(InferenceServerException, match="token"):
            anonymous.infer("digits", digits_input(client))
