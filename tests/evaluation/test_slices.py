from __future__ import annotations

import numpy as np
import pytest
from test_evaluation_metrics import classified, scores_of

from maas_jupyter.errors import InvalidInput, NotFound
from maas_jupyter.evaluation.slices import groups_of, slice_table, slice_values


def test_texts_are_groups_and_what_is_missing_is_one():
    names, places = groups_of(np.array(["b", "a", None, "b"], dtype=object))
    assert [names[place] for place in places] == ["b", "a", "missing", "b"]


def test_few_numbers_are_groups_of_their_own():
    names, places = groups_of(np.array([3, 1, 1, 3]))
    assert [names[place] for place in places] == ["3", "1", "1", "3"]


def test_many_numbers_are_cut_into_quartiles():
    values = np.append(np.arange(100.0), np.nan)
    names, places = groups_of(values)
    assert names == ["up to 24.75", "24.75 to 49.5", "49.5 to 74.25", "above 74.25", "missing"]
    assert np.bincount(places).tolist() == [25, 25, 25, 25, 1]


def test_quartiles_that_fall_together_are_one_cut():
    names, places = groups_of(np.concatenate([np.zeros(90), np.arange(1, 20)]))
    assert len(names) == len(set(names))
    assert np.bincount(places, minlength=len(names)).sum() == 109


def test_objects_that_are_numbers_are_cut_like_numbers():
    pandas = pytest.importorskip("pandas")
    values = np.asarray(pandas.array([*range(40), None], dtype="Int64"))
    assert groups_of(values)[0][-1] == "missing"
    assert len(groups_of(values)[0]) == 5


def test_booleans_are_two_groups():
    assert groups_of(np.array([True, False, True]))[0] == ["False", "True"]


def test_a_slice_is_scored_like_its_rows_alone():
    truth, chances = scores_of(200, 3)
    predictions = classified(truth, chances)
    kinds = np.where(np.arange(200) % 3 == 0, "fold", "rest")
    table = slice_table(predictions, "kind", kinds)
    assert [(group.name, group.rows) for group in table.groups] == [("fold", 67), ("rest", 133)]
    chosen = kinds == "fold"
    assert table.groups[0].metrics["accuracy"] == pytest.approx(np.mean(chances[chosen].argmax(1) == truth[chosen]))
    assert table.groups[0].intervals["accuracy"].low < table.groups[0].metrics["accuracy"]


def test_columns_functions_and_arrays_slice():
    columns = {"age": np.arange(4), "sex": np.array(list("fmfm"), dtype=object)}
    assert slice_values("sex", columns, 4)[1].tolist() == list("fmfm")

    def old(rows):
        return rows["age"] > 1

    name, values = slice_values(old, columns, 4)
    assert (name, values.tolist()) == ("old", [False, False, True, True])
    assert slice_values(np.arange(4) > 2, columns, 4)[0] == "slice"
    assert slice_values(lambda rows: rows["sex"], columns, 4)[0] == "slice"


@pytest.mark.parametrize(
    ("by", "error", "said", "hint"),
    [
        ("sez", NotFound, "no column 'sez'", "'sex'"),
        (np.arange(3), InvalidInput, r"shape \[3\] for 4 rows", "one value for each row"),
        (lambda rows: 1, InvalidInput, r"shape \[\]", "one value"),
    ],
)
def test_slices_that_do_not_fit_are_refused(by, error, said, hint):
    with pytest.raises(error, match=said) as caught:
        slice_values(by, {"age": np.arange(4), "sex": np.arange(4)}, 4)
    assert hint in caught.value.hint


def test_a_column_of_an_array_is_refused():
    with pytest.raises(NotFound, match="no column 'age'") as caught:
        slice_values("age", np.zeros((4, 2)), 4)
    assert "function" in caught.value.hint


def test_too_many_groups_are_refused():
    predictions = classified(*scores_of(150, 2))
    with pytest.raises(InvalidInput, match="150 different values"):
        slice_table(predictions, "name", np.array([f"n{row}" for row in range(150)]))


def test_long_numbers_keep_the_digits_that_tell_them_apart():
    assert groups_of(np.array([1000001, 1000002, 1000001]))[0] == ["1000001", "1000002", "missing"]
    names = groups_of(np.linspace(100000.1, 100000.2, 50))[0]
    assert len(set(names)) == len(names)


def test_a_column_whose_name_is_a_number_slices():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({7: list("abab")})
    assert slice_values("7", frame, 4)[1].tolist() == list("abab")


def test_a_slice_of_one_row_has_no_interval():
    truth, chances = scores_of(20, 3)
    table = slice_table(classified(truth, chances), "kind", np.where(np.arange(20) == 3, "one", "rest"))
    assert table.groups[0].rows == 1
    assert not table.groups[0].intervals
    assert table.groups[1].intervals
