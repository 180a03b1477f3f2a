"""Tables: what is inferred from the training rows, done to others, and refused."""

from __future__ import annotations

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from maas_jupyter.data import as_source, decode_preprocessing, encode_preprocessing, prepare, telling_columns
from maas_jupyter.data.source import TableSource, TensorSource
from maas_jupyter.data.table import fit_table
from maas_jupyter.errors import InvalidInput
from maas_jupyter.modules import run_module


def people():
    return pd.DataFrame(
        {
            "age": [20.0, None, 40.0, 60.0],
            "city": ["Bern", "Oslo", None, "Bern"],
            "member": [True, False, True, True],
            "children": pd.array([1, None, 0, 3], dtype="Int64"),
            "bought": ["no", "yes", "no", "yes"],
        }
    )


def test_numbers_are_standardised_and_filled_categories_encoded():
    prepared = prepare(as_source(people(), target="bought"))
    (rows,) = prepared.data.all().inputs
    ages = np.array([20, 40, 40, 60])
    np.testing.assert_allclose(rows[:, 0], (ages - ages.mean()) / ages.std(), rtol=1e-6)
    # A missing city is a category of its own; the categories are sorted: "", Bern, Oslo.
    assert rows[:, 2:5].tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]]
    assert rows[:, 5:].tolist() == [[0, 1], [1, 0], [0, 1], [0, 1]]
    assert (prepared.features, prepared.classes, prepared.labels) == (7, 2, ["no", "yes"])
    assert prepared.data.targets.tolist() == [0, 1, 0, 1]
    shown = "\n".join(prepared.notes)
    assert "together 7 features" in shown
    assert "age (1, by 40)" in shown
    assert "task: classification (the targets are texts)" in shown


def test_other_rows_get_what_the_training_rows_decided():
    prepared = prepare(as_source(people(), target="bought"))
    other = pd.DataFrame(
        {
            "bought": ["yes", "no"],
            "children": [3, 1],
            "unused": [1, 2],
            "member": ["True", "maybe"],
            "city": [None, "Rome"],
            "age": [None, 60.0],
        }
    )
    like = prepared.like(as_source(other, target="bought", name="val"))
    (rows,) = like.data.all().inputs
    (trained,) = prepared.data.all().inputs
    assert rows[0, 0] == trained[1, 0]  # the training rows' median
    assert rows[1, 0] == trained[3, 0]
    assert rows[:, 2:5].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert rows[:, 5:].tolist() == [[0, 1], [0, 0]]
    assert list(like.source.raw()) == ["age", "children", "city", "member"]
    assert like.data.targets.tolist() == [1, 0]


class Embedded(nn.Module):
    def __init__(self, numbers, cardinalities):
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, 2) for size in cardinalities)
        self.head = nn.Linear(numbers + 2 * len(cardinalities), 2)

    def forward(self, numbers, indices):
        parts = [embedding(indices[:, place]) for place, embedding in enumerate(self.embeddings)]
        return self.head(torch.cat([numbers, *parts], dim=1))


def test_a_forward_of_two_gets_numbers_and_indices():
    prepared = prepare(as_source(people(), target="bought"), Embedded(2, [4, 3]))
    numbers, indices = prepared.data.all().inputs
    assert numbers.shape == (4, 2)
    assert indices.tolist() == [[1, 1], [2, 0], [0, 1], [1, 1]]
    assert prepared.preprocessing.cardinalities == [4, 3]
    unknown = prepared.like(as_source(people().assign(city="Rome"), target="bought"))
    assert unknown.data.all().inputs[1][:, 0].tolist() == [3] * 4
    same = prepare(as_source(people(), target="bought"), encode="indices")
    assert same.preprocessing == prepared.preprocessing


def test_a_forward_that_the_table_cannot_serve_is_refused():
    numbers = as_source(people()[["age", "bought"]], target="bought")
    with pytest.raises(InvalidInput, match="takes numbers, indices, but the table has numbers alone"):
        prepare(numbers, Embedded(2, [4, 3]))


def test_the_width_after_encoding_is_named_where_the_first_layer_does_not_fit():
    prepared = prepare(as_source(people(), target="bought"))
    with pytest.raises(InvalidInput) as caught:
        run_module(nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), prepared.data.head(4))
    assert "A row has 7 features (of a table: after encoding)" in caught.value.hint
    assert "nn.Linear(7, 8)" in caught.value.hint


def test_constant_columns_and_wide_numbers_stay_finite():
    frame = pd.DataFrame({"one": [5.0] * 4, "big": [1e30, 2e30, 3e30, 4e30], "y": [0.0, 1.0, 2.0, 3.0]})
    prepared = prepare(as_source(frame, target="y"))
    (rows,) = prepared.data.all().inputs
    assert rows.isfinite().all()
    assert rows[:, 0].tolist() == [0] * 4
    assert prepared.data.targets.shape == (4, 1)


def test_the_preprocessing_survives_being_written():
    preprocessing = prepare(as_source(people(), target="bought")).preprocessing
    assert decode_preprocessing(encode_preprocessing(preprocessing)) == preprocessing
    with pytest.raises(InvalidInput, match="no preprocessing"):
        decode_preprocessing(b"{}")


# -- kinds of columns -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (pd.array([1, 2, None], dtype="Int64"), "number"),
        (pd.array([1.5, None, 2], dtype="float64[pyarrow]"), "number"),
        ([Decimal("1.5"), None, Decimal("2")], "number"),
        (pd.Series([1, 2.5, None], dtype=object), "number"),
        (pd.Categorical([1, 2, 1]), "text"),
        (pd.array(["a", None, "b"], dtype="string[pyarrow]"), "text"),
        (pd.Series([True, None, False], dtype=object), "text"),
        (pd.array([True, None, False], dtype="boolean"), "text"),
        (np.array([1, 2, 3], dtype="uint8"), "number"),
    ],
)
def test_kinds_of_columns(values, kind):
    assert as_source(pd.DataFrame({"column": values, "other": 1.0})).kinds["column"] == kind


def refused(values, match):
    frame = pd.DataFrame({"when": values, "other": 1.0})
    with pytest.raises(InvalidInput, match=match) as caught:
        as_source(frame)
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "values",
    [
        pd.to_datetime(["2024-01-05", None]),
        pd.to_timedelta(["1 day", "2 days"]),
        [datetime.date(2024, 1, 5), datetime.date(2024, 1, 6)],
        ["2024-01-05", "2024-01-06 10:30:00"],
        ["5.1.2024", None],
        pd.period_range("2024-01", periods=2, freq="M"),
    ],
)
def test_dates_are_refused_with_advice(values):
    error = refused(values, "'when' of 'data' holds dates")
    assert "dt.days" in error.hint


def test_a_text_among_numbers_names_the_cell():
    refused([1.0, 2.0, "n/a?", 4.0], r"text where numbers are expected: 'n/a\?' at row 2 \(1 such cells\)")
    # So does a CSV column, all of which is text once one cell is.
    error = refused(["1", "2", "unknown", "4"], "'unknown' at row 2")
    assert "errors='coerce'" in error.hint
    frame = pd.DataFrame({"when": pd.Categorical(["1", "2", "unknown"]), "other": 1.0})
    assert as_source(frame).kinds["when"] == "text"


def test_mixed_and_foreign_values_name_the_first():
    refused(["a", "b", 3, None], r"mixes texts with other values: 3 \(int\) at row 2")
    refused([[1], [2]], "holds a list at row 0")
    refused([1 + 2j, 2j], "holds a complex")


def test_infinite_values_are_refused():
    refused([1.0, np.inf, -np.inf], "2 infinite values .* first at row 1")
    refused([1.0, 1e300], "too large for 32 bits")


def test_an_empty_column_is_refused_in_training_and_filled_later():
    frame = people().assign(age=np.nan)
    with pytest.raises(InvalidInput, match="'age' of 'data' holds no value at all"):
        prepare(as_source(frame, target="bought"))
    prepared = prepare(as_source(people(), target="bought"))
    like = prepared.like(as_source(people().assign(age=None, city=np.nan), target="bought"))
    assert like.data.all().inputs[0].isfinite().all()
    assert set(like.source.raw()["city"]) == {""}


def test_a_missing_column_offers_the_nearest_and_another_kind_is_refused():
    prepared = prepare(as_source(people(), target="bought"))
    with pytest.raises(InvalidInput, match="no column 'age', which the model was trained with") as caught:
        prepared.like(as_source(people().rename(columns={"age": "aged"}), target="bought"))
    assert caught.value.hint == "Did you mean 'aged'?"
    with pytest.raises(InvalidInput, match="'old' at row 0"):
        prepared.like(as_source(people().assign(age="old"), target="bought"))
    with pytest.raises(InvalidInput, match="holds numbers where texts are expected: 7 at row 0"):
        prepared.like(as_source(people().assign(city=7), target="bought"))


@pytest.mark.parametrize("name", ["scores", "label", "maas.raw"])
def test_a_name_of_the_answer_is_refused_before_training(name):
    with pytest.raises(InvalidInput, match=f"cannot be called '{name}'"):
        prepare(as_source(people().assign(**{name: 1.0}), target="bought"))


def test_an_id_is_pointed_out():
    frame = pd.DataFrame({"id": [f"row-{row}" for row in range(60)], "size": np.arange(60.0), "y": [0, 1] * 30})
    assert any(
        "60 different texts: it looks like an id" in note for note in prepare(as_source(frame, target="y")).notes
    )
    many = pd.DataFrame({"id": [f"row-{row % 1100}" for row in range(5000)], "size": 1.0})
    assert "1,100 different texts" in as_source(many).notes[0]


def test_numbers_as_texts_and_numbers_too_alike_are_pointed_out():
    frame = pd.DataFrame({"code": ["1", "2", "1"], "when": [1.7e9, 1.7e9 + 1, 1.7e9 + 2]})
    first, second = as_source(frame).notes
    assert "numbers as texts" in first
    assert "subtract its minimum" in second


def test_a_table_is_encoded_in_the_memory_of_its_result():
    import tracemalloc

    rows, columns = 20_000, 40
    numbers = {f"n{place}": np.random.default_rng(place).random(rows, dtype=np.float32) for place in range(columns)}
    for more in ({}, {"kind": np.array(["a", "b"] * (rows // 2), dtype=object)}):
        source = TableSource(columns={**numbers, **more})
        preprocessing, _ = fit_table(source, "one-hot")
        tracemalloc.start()
        (tensor,) = preprocessing.tensors(source)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 1.5 * tensor.numel() * 4


def test_rows_are_compared_in_parts(monkeypatch):
    from maas_jupyter.data import identity

    X = np.arange(50, dtype=np.float32).reshape(25, 2)
    monkeypatch.setattr(identity, "_ROWS_AT_ONCE", 4)
    assert (
        identity.shared_rows(TensorSource(inputs=(torch.tensor(X),)), TensorSource(inputs=(torch.tensor(X[3:9]),))) == 6
    )


def test_columns_that_tell_the_target_are_found():
    y = np.array(["no", "yes", "later"] * 10, dtype=object)
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"id": range(30), "code": [{"no": 2, "yes": 7, "later": 1}[each] for each in y], "copy": y, "y": y}
    )
    frame["noise"] = random.choice(["a", "b", "c"], 30)
    frame.loc[3, "copy"] = None
    assert telling_columns(as_source(frame, target="y")) == ["code", "copy"]
    frame["y"] = random.normal(size=30)
    frame["cents"] = frame["y"] * -100 + 3
    assert telling_columns(as_source(frame, target="y")) == ["cents"]
    assert telling_columns(as_source(frame)) == []


def test_one_category_is_one():
    frame = pd.DataFrame({"a": ["x", "y"] * 5, "n": range(10), "y": [0, 1] * 5})
    assert any("1 category one-hot" in note for note in prepare(as_source(frame, target="y")).notes)


def test_a_hint_for_texts_fits_inputs_or_targets():
    numbers = np.arange(8.0).reshape(4, 2)
    for X, hint in ((numbers.astype(str), r"X\.astype\('float32'\)"), (np.full((4, 2), "a"), "DataFrame")):
        with pytest.raises(InvalidInput, match=hint) as caught:
            as_source((X, [0, 1, 0, 1]))
        assert "unique" not in caught.value.hint
