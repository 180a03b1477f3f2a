"""MLflow's scoring protocol over the whole application, with requests as MLflow's own users send them."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from bundles import WEIGHTS, linear_softmax
from hypothesis import given
from hypothesis import strategies as st
from mlflow.deployments import PredictionsResponse
from mlflow.utils.proto_json_utils import dump_input_data
from rest_server import RestServer

from maas_jupyter._version import __version__

X = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float32)


def scores_of(x):
    powers = np.exp(np.asarray(x) @ WEIGHTS)
    return powers / powers.sum(axis=-1, keepdims=True)


def post(rest, body, model="digits", **headers):
    return rest.http.post(f"/models/{model}/invocations", json=body, headers=headers)


def frame():
    return pd.DataFrame(X, columns=list("abcd"))


FORMS = [
    {"dataframe_split": json.loads(frame().to_json(orient="split"))},
    {"dataframe_split": {"data": X.tolist()}},
    {"dataframe_records": json.loads(frame().to_json(orient="records"))},
    {"dataframe_records": [{"x": row} for row in X.tolist()]},
    {"instances": X.tolist()},
    {"instances": [{"x": row} for row in X.tolist()]},
    {"inputs": X.tolist()},
    {"inputs": {"x": X.tolist()}, "params": {"temperature": 1}},
]


@pytest.mark.parametrize("body", FORMS)
def test_every_form(rest, body):
    answer = post(rest, body)
    assert answer.status_code == 200, answer.text
    rows = answer.json()["predictions"]
    np.testing.assert_allclose([row["scores"] for row in rows], scores_of(X), rtol=1e-5)
    assert [row["label"] for row in rows] == scores_of(X).argmax(-1).tolist()


def test_a_single_output_is_a_plain_list(rest):
    table = pd.DataFrame({"i": [0, 1], "unused": [9, 9], "a": [1, 2.5]})
    for body in (
        {"dataframe_split": json.loads(table.to_json(orient="split"))},
        {"dataframe_records": json.loads(table.to_json(orient="records"))},
        {"inputs": {"a": [1, 2.5], "i": [0, 1]}},
    ):
        assert post(rest, body, "pair").json() == {"predictions": [11.0, 22.5]}


def test_mlflows_own_client_and_its_reading_of_the_answer(rest):
    answer = rest.http.post(
        "/models/digits/invocations",
        content=dump_input_data(frame(), params={"temperature": 1}),
        headers={"Content-Type": "application/json"},
    )
    table = PredictionsResponse.from_json(answer.text).get_predictions("dataframe")
    assert table["label"].tolist() == scores_of(X).argmax(-1).tolist()
    np.testing.assert_allclose(table["scores"].tolist(), scores_of(X), rtol=1e-5)


def test_numbers_of_csv(rest):
    csv = "a,i\n+1.5,+01\n.5e1, 2 \n-0,0\n"
    answer = rest.http.post("/models/pair/invocations", content=csv, headers={"Content-Type": "text/csv"})
    assert answer.json() == {"predictions": [21.5, 35.0, 10.0]}


def test_csv(rest):
    kind = {"Content-Type": "text/csv; charset=utf-8"}
    pair = pd.DataFrame({"i": [0, 1], "a": [1, 2.5]}).to_csv(index=False)
    answer = rest.http.post("/models/pair/invocations", content=pair, headers=kind)
    assert answer.json() == {"predictions": [11.0, 22.5]}
    answer = rest.http.post("/models/digits/invocations", content=frame().to_csv(index=False), headers=kind)
    assert len(answer.json()["predictions"]) == 2
    words = 'text,n\r\n"a, ""b""",1\r\n,-2\r\n'
    answer = rest.http.post("/models/words/invocations", content="\ufeff" + words, headers=kind)
    assert answer.json() == {"predictions": [{"label": 'a, "b"', "number": 1}, {"label": "", "number": -2}]}


@given(st.data())
def test_csv_texts_come_back_as_they_were(rest, data):
    texts = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8)
    table = pd.DataFrame(
        data.draw(st.lists(st.tuples(st.integers(-(2**62), 2**62), texts), min_size=1, max_size=4)),
        columns=["n", "text"],
    )
    answer = rest.http.post(
        "/models/words/invocations", content=table.to_csv(index=False).encode(), headers={"Content-Type": "text/csv"}
    )
    expected = [{"label": text, "number": n} for n, text in table.itertuples(index=False)]
    assert answer.json() == {"predictions": expected}


def test_a_missing_number_is_nan_where_the_input_is_of_floating_point(rest):
    # the sum with NaN is NaN, which JSON cannot carry
    for body in ({"dataframe_records": [{"a": None, "i": 0}]}, {"dataframe_records": [{"i": 0}, {"a": 1, "i": 0}]}):
        answer = post(rest, body, "pair")
        assert answer.status_code == 400
        assert "NaN" in answer.json()["message"]
    for body in (
        {"dataframe_records": [{"a": 1, "i": None}]},
        {"dataframe_split": {"columns": ["a", "i"], "data": [[1, None]]}},
    ):
        answer = post(rest, body, "pair")
        assert answer.status_code == 400
        assert "row 0 has no value" in answer.json()["message"]


@pytest.mark.parametrize(
    ("body", "words_of_the_error"),
    [
        ({}, ["exactly one", "none"]),
        ({"inputs": [1], "instances": [1]}, ["exactly one", "instances, inputs"]),
        ({"dataframe_split": {"columns": ["a"], "data": []}}, ["no rows"]),
        ({"dataframe_split": {"columns": ["a"]}}, ["data"]),
        ({"dataframe_split": {"columns": ["a", "b"], "data": [[1]]}}, ["Row 0", "1 cells"]),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, ["same name"]),
        ({"dataframe_split": {"data": [[1, 2], [1]]}}, ["Row 1"]),
        ({"dataframe_split": {"columns": ["i", "b"], "data": [[1, 2]]}}, ["'a'"]),
        ({"dataframe_split": {"data": [[1, 2]]}}, ["'a'"]),
        ({"dataframe_records": []}, ["no rows"]),
        ({"dataframe_records": [1]}, ["object"]),
        ({"dataframe_records": [{"a": "x", "i": 1}]}, ["'a'", "str"]),
        ({"dataframe_records": [{"a": True, "i": 1}]}, ["'a'", "bool"]),
        ({"dataframe_records": [{"a": 1, "i": 1.5}]}, ["'i'"]),
        ({"dataframe_records": [{"a": [1], "i": 1}]}, ["'a'"]),
        ({"dataframe_records": [{"a": 1, "i": 7}]}, ["refuses"]),
        ({"params": 3, "inputs": {}}, ["params"]),
        ([1], ["object"]),
    ],
)
def test_wrong_bodies_are_refused_in_words(rest, body, words_of_the_error):
    answer = post(rest, body, "pair")
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"
    for word in words_of_the_error:
        assert word in answer.json()["message"]


@pytest.mark.parametrize(
    "csv",
    [
        b"",
        b"\n\n",
        b"a,i\n",
        b"a,i\n1\n",
        b"a,i\nx,1\n",
        b"a,i\n1,1_0\n",
        b"a,i\n1,\n",
        b"a,i\ninf,1\n",
        b"a,i\n1e999,1\n",
        b"a,i\n1," + b"9" * 400,
        b"a,i\n1," + b"9" * 5000,
        "a,i\n1,\u0661\n".encode(),
        b"\xff",
        b"a\n1\n",
        b'a,i\n"1,2',
    ],
)
def test_wrong_csv(rest, csv):
    answer = rest.http.post("/models/pair/invocations", content=csv, headers={"Content-Type": "text/csv"})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "BAD_REQUEST"


def test_the_number_of_columns(rest):
    answer = post(rest, {"dataframe_split": {"columns": ["a", "b"], "data": [[1, 2]]}})
    assert answer.status_code == 400
    assert "2 columns, the model takes 4" in answer.json()["message"]


def test_a_table_of_holes_is_refused_like_a_full_one(rest):
    answer = post(rest, {"dataframe_records": [{str(n): 1} for n in range(3000)]})
    assert answer.status_code == 400
    assert "1,000,000" in answer.json()["message"]


@pytest.mark.parametrize(
    "kind", ["", "text/plain", "application/json; charset=latin-1", "application/vnd.apache.parquet"]
)
def test_other_content_types(rest, kind):
    answer = rest.http.post("/models/digits/invocations", content=b"{}", headers={"Content-Type": kind})
    assert answer.status_code == 415
    assert "text/csv" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/invocations?model=digits", {}),
        ("/invocations", {"X-Model": "digits"}),
        ("/models/digits/invocations", {}),
        ("/models/digits/versions/1/invocations", {}),
    ],
)
def test_ways_to_name_the_model(rest, path, headers):
    assert rest.http.post(path, json=FORMS[0], headers=headers).status_code == 200


def test_without_a_name_the_choices_are_listed(rest):
    answer = rest.http.post("/invocations", json=FORMS[0])
    assert answer.status_code == 400
    for word in ("digits", "words", "X-Model"):
        assert word in answer.json()["message"]


@pytest.mark.parametrize(
    "path", ["/invocations?model=digit", "/models/digit/invocations", "/models/digits/versions/9/invocations"]
)
def test_unknown_models_and_versions(rest, path):
    answer = rest.http.post(path, json=FORMS[0])
    assert answer.status_code == 404
    assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_without_a_token(rest):
    with rest.client("wrong") as stranger:
        answer = stranger.post("/invocations", json=FORMS[0])
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
        assert stranger.get("/ping").status_code == stranger.get("/health").status_code == 200


def test_probes_and_version(rest):
    assert rest.http.get("/ping").text == rest.http.get("/health").text == "\n"
    assert rest.http.get("/version").text == __version__


def test_the_only_model_needs_no_name(tmp_path):
    server = RestServer(tmp_path)
    try:
        answer = server.http.post("/invocations", json=FORMS[0])
        assert (answer.status_code, answer.json()["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
        server.publish("digits", "1", linear_softmax())
        assert len(server.http.post("/invocations", json=FORMS[0]).json()["predictions"]) == 2
    finally:
        server.close()
