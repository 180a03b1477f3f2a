"""Raw text and images over HTTP, as each protocol carries them."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
from input_bundles import PIXELS, TEXT, WORDS, mean_of_pixels, mean_of_words, objects, png, seal

from maas_jupyter.serving.servable import Servable


@pytest.fixture
def texts(publish, tmp_path):
    """A model of raw text, published as texts/1."""
    files = ["model.onnx", "tokenizer.json"]
    bundle = seal(tmp_path / "texts", mean_of_words(), preprocessing={"text": TEXT}, files=files)
    assert publish("texts", "1", bundle.folder).status_code == 200
    return Servable.load(bundle)


@pytest.fixture
def images(publish, tmp_path):
    """A model of pictures, published as images/1; it answers with the means of their channels."""
    bundle = seal(tmp_path / "images", mean_of_pixels(), preprocessing={"image": PIXELS})
    (bundle.folder / "tokenizer.json").unlink()
    assert publish("images", "1", bundle.folder).status_code == 200


def infer(client, model, name, *values):
    tensor = {"name": name, "shape": [len(values)], "datatype": "BYTES", "data": list(values)}
    return client.post(f"/v2/models/{model}/infer", json={"inputs": [tensor]})


def test_v2_text(client, texts):
    answer = infer(client, "texts", "text", "the dog", WORDS).json()["outputs"][0]
    expected = texts.run({"text": objects("the dog", WORDS)})["output"]
    assert answer["shape"] == [2, 3]
    np.testing.assert_allclose(np.reshape(answer["data"], (2, 3)), expected, atol=1e-6)


def test_v1_text(client, texts):
    expected = texts.run({"text": objects("the dog", WORDS)})["output"]
    for instances in (["the dog", WORDS], [{"text": "the dog"}, {"text": WORDS}]):
        answer = client.post("/v1/models/texts:predict", json={"instances": instances})
        np.testing.assert_allclose(answer.json()["predictions"], expected, atol=1e-6)


def test_v2_image_in_base64(client, images):
    answer = infer(client, "images", "image", base64.b64encode(png(10)).decode())
    assert answer.json()["outputs"][0]["data"] == [10, 0, 255]


def test_v2_image_in_binary(client, images):
    files = [png(10), png(20)]
    data = b"".join(struct.pack("<I", len(file)) + file for file in files)
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = client.post("/v2/models/images/infer", content=head + data, headers=headers)
    assert answer.json()["outputs"][0]["data"] == [10, 0, 255, 20, 0, 255]


def test_v1_image_in_b64(client, images):
    value = {"b64": base64.b64encode(png(10)).decode()}
    for instances in ([value], [{"image": value}]):
        answer = client.post("/v1/models/images:predict", json={"instances": instances})
        assert answer.json() == {"predictions": [[10, 0, 255]]}


@pytest.mark.parametrize(
    "value", ["hello", base64.b64encode(b"GIF89a").decode(), base64.b64encode(png(1)[:40]).decode()]
)
def test_what_is_no_image_is_a_wrong_request(client, images, value):
    answer = infer(client, "images", "image", value)
    assert answer.status_code == 400
    assert "Row 0 of input 'image'" in answer.json()["error"]
