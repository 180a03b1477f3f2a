"""Manifests that no honest client sends."""

from __future__ import annotations

import hashlib
import json

import pytest


def manifest(**fields):
    signature = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 3]}],
    }
    kinds = {"task": "tensor", "runtime": "onnx", "precision": "fp32", "signature": signature, **fields}
    return json.dumps(kinds).encode()


def file(**fields):
    return {"model.onnx": {"sha256": "0" * 64, "size": 1, **fields}}


HOSTILE = {
    "a byte that is not UTF-8": manifest(created_by="ada").replace(b"ada", b"\xff\xfe"),
    "nested too deeply": manifest()[:-1] + b',"training_data":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "half of a surrogate pair": manifest(files={"\ud800": {"sha256": "0" * 64, "size": 1}}),
    "no rows": manifest(max_batch=0),
    "negative rows": manifest(max_batch=-1),
    "more rows than a message can say": manifest(max_batch=2**31),
    "a negative size": manifest(files=file(size=-1)),
    "a size beyond all numbers": manifest(files=file(size=10**30)),
    "nothing": b"",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_manifest_that_cannot_be_is_refused(client, data):
    url = f"/maas/v1/bundles/{hashlib.sha256(data).hexdigest()}/files/maas.json"
    answer = client.patch(url, content=data, headers={"Upload-Offset": "0"})
    assert answer.status_code == 422, answer.text
    assert client.get(url).json()["offset"] == 0
