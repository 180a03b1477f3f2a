from __future__ import annotations

import asyncio
import queue

import numpy as np
import pytest
import tritonclient.grpc as client
import tritonclient.grpc.aio as aio_client
from rest_server import picture
from triton_models import SCORES, X, digits_input, plugin, words_inputs
from tritonclient.utils import InferenceServerException


@pytest.fixture
def triton(address):
    with client.InferenceServerClient(address.grpc) as made:
        made.register_plugin(plugin(client.InferenceServerClientPlugin, address.token))
        yield made


def test_the_server_and_its_models(triton):
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("digits")
    assert triton.is_model_ready("digits", "1")
    assert not triton.is_model_ready("digits", "2")
    assert not triton.is_model_ready("nothing")
    assert triton.get_server_metadata().name == "maas-jupyter"
    metadata = triton.get_model_metadata("digits", as_json=True)
    assert metadata["inputs"] == [{"name": "x", "datatype": "FP32", "shape": ["-1", "4"]}]
    config = triton.get_model_config("digits", as_json=True)["config"]
    assert config["max_batch_size"] == 64
    assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": ["4"]}]


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
def test_numbers(triton, compression):
    outputs = [client.InferRequestedOutput(name) for name in ("scores", "label")]
    result = triton.infer(
        "digits", digits_input(client), outputs=outputs, request_id="r-1", compression_algorithm=compression
    )
    np.testing.assert_allclose(result.as_numpy("scores"), SCORES, rtol=1e-5)
    assert result.as_numpy("label").tolist() == [2, 2]
    response = result.get_response()
    assert (response.model_name, response.model_version, response.id) == ("digits", "1", "r-1")


def test_texts(triton):
    result = triton.infer("words", words_inputs(client))
    assert [value.decode() for value in result.as_numpy("label")] == ["a", "ü"]
    assert result.as_numpy("number").tolist() == [1, 2]


def test_a_picture_as_bytes(triton):
    tensor = client.InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([picture()], dtype=object))
    assert triton.infer("picture", [tensor]).as_numpy("pixels").ravel().tolist() == [0, 100, 200, 255]


def test_classes(triton):
    output = client.InferRequestedOutput("scores", class_count=1)
    result = triton.infer("digits", digits_input(client), outputs=[output]).as_numpy("scores")
    assert [text.decode().split(":")[1:] for text in result.ravel()] == [["2", "high"]] * 2


def test_many_at_once(triton):
    answers = queue.Queue()
    for number in range(50):
        triton.async_infer(
            "digits",
            digits_input(client),
            callback=lambda result, error: answers.put(error or result.get_response().id),
            request_id=str(number),
        )
    assert {answers.get(timeout=60) for _ in range(50)} == {str(number) for number in range(50)}


def test_a_stream(triton, address):
    answers = queue.Queue()
    triton.start_stream(lambda result, error: answers.put((result, error)), headers=address.headers)
    for number in range(10):
        triton.async_stream_infer("digits", digits_input(client), request_id=str(number))
    triton.async_stream_infer("nothing", digits_input(client))
    for number in range(10):
        result, error = answers.get(timeout=60)
        assert error is None
        assert result.get_response().id == str(number)
        np.testing.assert_allclose(result.as_numpy("scores"), SCORES, rtol=1e-5)
    _, error = answers.get(timeout=60)
    assert "no model 'nothing'" in error.message()
    triton.stop_stream()


def test_the_asyncio_client(address):
    async def ask():
        async with aio_client.InferenceServerClient(address.grpc) as made:
            made.register_plugin(plugin(aio_client.InferenceServerClientPlugin, address.token))
            assert await made.is_model_ready("digits")
            results = await asyncio.gather(*(made.infer("digits", digits_input(aio_client)) for _ in range(20)))

            async def requests():
                for _ in range(5):
                    yield {"model_name": "digits", "inputs": digits_input(aio_client)}

            async for result, error in made.stream_infer(requests(), headers=address.headers):
                assert error is None
                results.append(result)
            return [result.as_numpy("scores") for result in results]

    scores = asyncio.run(ask())
    assert len(scores) == 25
    for each in scores:
        np.testing.assert_allclose(each, SCORES, rtol=1e-5)


def test_the_repository(triton):
    def state():
        models = triton.get_model_repository_index().models
        return next(row.state for row in models if row.name == "pair")

    assert state() == "READY"
    triton.unload_model("pair")
    assert state() == "UNAVAILABLE"
    assert not triton.is_model_ready("pair")
    triton.load_model("pair")
    assert state() == "READY"
    assert triton.is_model_ready("pair")


def test_statistics_count_every_worker(triton, address):
    def count():
        (row,) = triton.get_inference_statistics("echo").model_stats
        assert (row.name, row.version) == ("echo", "1")
        return row.inference_stats.success.count, row.inference_count

    before = count()
    tensor = client.InferInput("text", [3], "BYTES")
    tensor.set_data_from_numpy(np.array(["a", "b", "c"], dtype=object))
    for _ in range(10):
        # Connections, not calls, are what the workers share out among them.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with client.InferenceServerClient(address.grpc, channel_args=options) as other:
            other.infer("echo", [tensor], headers=address.headers)
    assert count() == (before[0] + 10, before[1] + 30)


def test_errors_are_in_words(triton, address):
    wrong = client.InferInput("x", [2, 3], "FP32")
    wrong.set_data_from_numpy(X[:, :3].copy())
    with pytest.raises(InferenceServerException, match=r"must have the shape \[-1, 4\]") as caught:
        triton.infer("digits", [wrong])
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match="no model 'nothing'"):
        triton.infer("nothing", digits_input(client))
    with pytest.raises(InferenceServerException, match="no version '9'"):
        triton.infer("digits", digits_input(client), model_version="9")
    with pytest.raises(InferenceServerException, match="as it was published"):
        triton.load_model("pair", config="{}")
    with client.InferenceServerClient(address.grpc) as anonymous:
        assert anonymous.is_server_ready()
        with pytest.raises(InferenceServerException, match="token"):
            anonymous.infer("digits", digits_input(client))
