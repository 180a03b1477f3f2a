"""Tasks, classes and targets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from maas_jupyter.data import as_source, class_weights, prepare
from maas_jupyter.errors import InvalidInput

X = np.random.default_rng(0).random((200, 3))


def prepared(y, **options):
    return prepare(as_source((X[: len(y)], y)), **options)


def table(y, **options):
    frame = pd.DataFrame(X[: len(y)], columns=list("abc"))
    return prepare(as_source((frame, pd.Series(y))), **options)


@pytest.mark.parametrize("make", [prepared, table])
def test_labels_given_as_texts_are_encoded_and_kept(make):
    made = make(["no", "yes", "maybe", "no"])
    assert made.labels == ["maybe", "no", "yes"]
    assert made.data.targets.tolist() == [1, 2, 0, 1]
    assert made.source.targets().tolist() == ["no", "yes", "maybe", "no"]


@pytest.mark.parametrize("make", [prepared, table])
@pytest.mark.parametrize("y", [np.array([True, False, True]), pd.Series([True, False, True])])
def test_booleans_are_classes(make, y):
    made = make(y)
    assert (made.task, made.labels, made.data.targets.tolist()) == ("classification", ["False", "True"], [1, 0, 1])


def test_integers_of_arrays_are_indices_and_those_of_tables_are_encoded():
    y = np.array([5, 3, 5, 9])
    assert prepared(y).data.targets.tolist() == [5, 3, 5, 9]
    assert prepared(y).classes == 10
    made = table(y)
    assert (made.labels, made.data.targets.tolist()) == ([3, 5, 9], [1, 0, 1, 2])


def test_many_different_integers_of_a_table_are_numbers_to_predict():
    ages = np.arange(200) % 70
    made = table(ages)
    assert made.task == "regression"
    assert made.data.targets.shape == (200, 1)
    assert "the targets are integers, 70 different ones" in made.notes[0]
    assert table(ages, task="classification").classes == 70
    assert table(np.arange(200) % 15).task == "classification"
    assert prepared(ages).task == "classification"


def test_floats_are_numbers_to_predict_unless_asked_otherwise():
    y = np.array([0.0, 1.0, 0.0])
    assert table(y).task == "regression"
    made = table(y, task="classification")
    assert (made.labels, made.data.targets.tolist()) == ([0, 1], [0, 1, 0])
    assert prepared(y, task="classification").data.targets.dtype == torch.int64
    with pytest.raises(InvalidInput, match=r"0\.5 of 'data' is no class"):
        table([0.5, 1.0], task="classification")
    with pytest.raises(InvalidInput, match="texts such as 'no', which no regression"):
        table(["no", "yes"], task="regression")


def test_integers_can_be_predicted_as_numbers():
    made = prepared(np.array([1, 2, 3]), task="regression")
    assert made.data.targets.dtype == torch.float32


@pytest.mark.parametrize("y", [["a", "a"], [1, 1], [True, True]])
@pytest.mark.parametrize("make", [prepared, table])
def test_one_class_only_is_refused(make, y):
    with pytest.raises(InvalidInput, match="of one class") as caught:
        make(y)
    assert "split" in caught.value.hint


def test_labels_order_or_name_the_classes():
    assert table(["b", "a"], labels=["b", "a", "c"]).data.targets.tolist() == [0, 1]
    made = table([7, 3], labels=["three", "seven"])
    assert (made.labels, made.data.targets.tolist()) == (["three", "seven"], [1, 0])
    assert prepared([1, 0], labels=["no", "yes"]).labels == ["no", "yes"]
    with pytest.raises(InvalidInput, match="'b' of 'data' is not among the labels"):
        table(["b", "a", "c"], labels=["a", "x"])
    with pytest.raises(InvalidInput, match="2 labels, but 'data' has the class 2"):
        prepared([0, 2], labels=["no", "yes"])


def test_the_models_outputs_bound_the_classes():
    assert table([2, 0], class_count=3).data.targets.tolist() == [2, 0]
    with pytest.raises(InvalidInput, match="'data' has 3 classes, but the model gives 2") as caught:
        table(["a", "b", "c"], class_count=2)
    assert "3 outputs" in caught.value.hint


def test_a_class_of_other_rows_that_is_not_known_names_the_row():
    made = table(["no", "yes"])
    other = as_source((pd.DataFrame(X[:2], columns=list("abc")), pd.Series(["yes", "yse"])), name="val")
    with pytest.raises(InvalidInput, match="'val' has the target 'yse' at row 1") as caught:
        made.like(other)
    assert "Did you mean 'yes'?" in caught.value.hint
    one = made.like(as_source((pd.DataFrame(X[:1], columns=list("abc")), pd.Series(["yes"]))))
    assert one.data.targets.tolist() == [1]


@pytest.mark.parametrize("y", [pd.Series(["a", None]), pd.Series([1.0, np.nan]), ["a", None]])
def test_missing_targets_name_the_row(y):
    with pytest.raises(InvalidInput, match="missing in 1 rows, the first is row 1"):
        prepared(y)


def test_missing_numbers_to_predict_name_the_row():
    with pytest.raises(InvalidInput, match="1 targets of 'data' are missing or infinite, the first at row 1"):
        prepared(np.array([1.0, np.nan]))


def test_a_category_keeps_its_order():
    y = pd.Series(pd.Categorical(["high", "low", "high"], categories=["low", "middle", "high"], ordered=True))
    assert table(y).labels == ["low", "high"]


def test_dates_and_mixed_targets_are_refused():
    with pytest.raises(InvalidInput, match="holds dates"):
        table(pd.to_datetime(["2024-01-05", "2024-01-06"]))
    with pytest.raises(InvalidInput, match="several types"):
        table(pd.Series(["a", 1], dtype=object))


def test_class_weights_let_each_class_count_the_same():
    weights = prepared(["a"] * 3 + ["b"]).class_weights()
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 4 / 2]))
    torch.testing.assert_close(class_weights(torch.tensor([0, 2, 2]), 3), torch.tensor([1.5, 0, 0.75]))
    with pytest.raises(InvalidInput, match="no class weights"):
        table(np.array([0.5, 1.5])).class_weights()
