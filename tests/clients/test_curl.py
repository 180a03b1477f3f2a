"""The command lines of TensorFlow Serving's manual, with the model that it uses, and V2's in the same manner."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture
def curl(address):
    """Return a function that runs curl with the token and returns the answer's JSON."""

    def run(*arguments, path):
        words = ["curl", "--silent", "--show-error", "-H", f"Authorization: Bearer {address.token}", *arguments]
        done = subprocess.run([*words, address.url + path], capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    return run


def test_predict_in_rows(curl):
    body = '{"instances": [1.0, 2.0, 5.0]}'
    assert curl("-d", body, "-X", "POST", path="/v1/models/half_plus_two:predict") == {"predictions": [2.5, 3.0, 4.5]}


def test_predict_in_columns_by_signature(curl):
    body = '{"signature_name": "serving_default", "inputs": {"x": [1.0, 2.0, 5.0]}}'
    assert curl("-d", body, path="/v1/models/half_plus_two/versions/123:predict") == {"outputs": [2.5, 3.0, 4.5]}


def test_predict_by_label(curl):
    body = '{"instances": [{"x": 2.0}]}'
    assert curl("-d", body, path="/v1/models/half_plus_two/labels/stable:predict") == {"predictions": [3.0]}


def test_regress(curl):
    body = '{"examples": [{"x": 1.0}, {"x": 2.0}]}'
    assert curl("-d", body, path="/v1/models/half_plus_two:regress") == {"results": [2.5, 3.0]}


def test_classify(curl):
    answer = curl("-d", '{"examples": [{"x": [1, 2, 3, 4]}]}', path="/v1/models/digits:classify")
    assert [label for label, _ in answer["results"][0]] == ["low", "middle", "high"]


def test_status(curl):
    expected = [{"version": "123", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]
    for path in ("/v1/models/half_plus_two", "/v1/models/half_plus_two/versions/123"):
        assert curl(path=path)["model_version_status"] == expected


def test_metadata(curl):
    answer = curl("-X", "GET", path="/v1/models/half_plus_two/metadata")
    assert answer["model_spec"] == {"name": "half_plus_two", "signature_name": "", "version": "123"}
    (signature,) = answer["metadata"]["signature_def"]["signature_def"].values()
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"


def test_errors(curl):
    assert "either" in curl("-d", "{}", path="/v1/models/half_plus_two:predict")["error"]
    assert "no model 'nothing'" in curl("-d", '{"instances": [1]}', path="/v1/models/nothing:predict")["error"]


def test_v2(curl):
    body = '{"inputs": [{"name": "x", "shape": [3], "datatype": "FP32", "data": [1.0, 2.0, 5.0]}]}'
    answer = curl("--json", body, path="/v2/models/half_plus_two/infer")
    assert answer["outputs"] == [{"name": "prediction", "shape": [3], "datatype": "FP32", "data": [2.5, 3.0, 4.5]}]
