"""What MLflow's own client of its scoring server sends and reads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import requests
from mlflow.deployments import PredictionsResponse
from mlflow.pyfunc import scoring_server
from mlflow.utils.proto_json_utils import dump_input_data
from triton_models import SCORES, X


@pytest.fixture
def invoke(address):
    """Ask a model as ``ScoringServerClient.invoke`` does, with a token, for which that has no room."""

    def ask(data, model="digits", content_type=scoring_server.CONTENT_TYPE_JSON, **fields):
        headers = {"Content-Type": content_type, **address.headers}
        body = data if isinstance(data, str) else dump_input_data(data, **fields)
        return requests.post(f"{address.url}/models/{model}/invocations", data=body, headers=headers, timeout=60)

    return ask


def test_the_server_is_there(address):
    assert requests.get(f"{address.url}/ping", headers=address.headers, timeout=60).status_code == 200
    assert requests.get(f"{address.url}/health", headers=address.headers, timeout=60).status_code == 200
    assert requests.get(f"{address.url}/version", headers=address.headers, timeout=60).text


@pytest.mark.parametrize("data", [pd.DataFrame(X, columns=list("abcd")), X], ids=["frame", "array"])
def test_predictions(invoke, data):
    answer = invoke(data)
    assert answer.status_code == 200, answer.text
    predictions = PredictionsResponse.from_json(answer.text).get_predictions("ndarray")
    scores = [row["scores"] for row in predictions.ravel()]
    np.testing.assert_allclose(scores, SCORES, rtol=1e-5)


def test_predictions_as_a_frame(invoke):
    answer = PredictionsResponse.from_json(invoke(np.array([1, 2, 5], np.float32), model="half_plus_two").text)
    assert answer.get_predictions().to_numpy().ravel().tolist() == [2.5, 3.0, 4.5]


def test_comma_separated_values(invoke):
    body = pd.DataFrame(X, columns=list("abcd")).to_csv(index=False)
    answer = invoke(body, content_type=scoring_server.CONTENT_TYPE_CSV)
    assert answer.status_code == 200, answer.text
    scores = [row["scores"] for row in answer.json()["predictions"]]
    np.testing.assert_allclose(scores, SCORES, rtol=1e-5)


def test_errors_have_mlflows_form(invoke):
    for answer, status in (
        (invoke('{"rows": []}'), 400),
        (invoke("x", content_type="text/plain"), 415),
        (invoke(X, model="nothing"), 404),
    ):
        assert answer.status_code == status
        assert set(answer.json()) == {"error_code", "message"}
