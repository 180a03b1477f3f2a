"""Splitting, rows in two parts, and fingerprints."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from maas_jupyter.data import as_source, fingerprint, shared_rows, split
from maas_jupyter.errors import InvalidInput, UsageError


def numbered(y):
    return as_source((np.arange(len(y), dtype="float32").reshape(-1, 1), y))


def rows(source):
    return source.raw()["input"][:, 0].astype(int).tolist()


@settings(max_examples=150, deadline=None)
@given(
    y=st.lists(st.sampled_from(["a", "b", "c", "rare"]), min_size=4, max_size=120),
    share=st.floats(0.05, 0.8),
    seed=st.integers(0, 2**31),
)
def test_every_row_is_in_one_part_and_classes_are_shared_out(y, share, seed):
    source = numbered(y)
    try:
        train, val = split(source, share, seed=seed)
    except InvalidInput:
        assert sum(y.count(label) for label in set(y) if y.count(label) > 1) * share < 0.5
        return
    assert sorted(rows(train) + rows(val)) == list(range(len(y)))
    assert (rows(train), rows(val)) == (sorted(rows(train)), sorted(rows(val)))
    for label in set(y):
        whole, part = y.count(label), val.targets().tolist().count(label)
        assert abs(part - share * whole) <= 1
        assert part < whole
    again = split(source, share, seed=seed)
    assert rows(again[1]) == rows(val)


def test_the_seed_decides():
    y = np.arange(300) % 3
    first, second = (rows(split(numbered(y), 0.2, seed=seed)[1]) for seed in (0, 1))
    assert len(first) == len(second) == 60
    assert first != second


def test_numbers_to_predict_are_split_at_random():
    train, val = split(numbered(np.random.default_rng(0).random(100)), 0.25, seed=0)
    assert (train.rows, val.rows) == (75, 25)


def test_targets_of_several_classes_for_a_row_are_split_at_random():
    train, val = split(numbered(np.arange(30).reshape(10, 3) % 4), 0.3, seed=0)
    assert (train.targets().shape, val.targets().shape) == ((7, 3), (3, 3))


def test_tables_texts_and_datasets_are_split_too():
    frame = pd.DataFrame({"size": np.arange(10.0), "color": list("ab") * 5, "y": list("xy") * 5})
    train, val = split(as_source(frame, target="y"), 0.4, seed=0)
    assert sorted([*train.raw()["size"], *val.raw()["size"]]) == list(range(10))
    assert sorted(val.targets()) == ["x", "x", "y", "y"]
    train, val = split(as_source([f"text {row}" for row in range(10)]), 0.3, seed=0)
    assert (train.rows, val.rows) == (7, 3)

    class Rows(Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, row):
            return torch.tensor([float(row)]), row % 2

    train, val = split(as_source(Rows()), 0.3, seed=0)
    assert (train.rows, val.rows) == (7, 3)
    with pytest.raises(InvalidInput, match="rows cannot be taken out") as caught:
        split(as_source(DataLoader(Rows())), 0.3, seed=0)
    assert "random_split" in caught.value.hint


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(UsageError, match="not between 0 and 1"):
        split(numbered([0, 1]), 1.0, seed=0)
    with pytest.raises(InvalidInput, match="leaves none"):
        split(numbered([0, 1, 0]), 0.01, seed=0)


# -- the same rows ----------------------------------------------------------------------------------------------------


def test_rows_of_both_parts_are_counted_in_every_form(tmp_path):
    X = np.random.default_rng(0).random((20, 3))
    assert shared_rows(as_source(X[:12]), as_source(X[10:])) == 2
    assert shared_rows(as_source(torch.tensor(X[:12])), as_source((X[10:], np.zeros(10)))) == 2
    texts = [f"text {row % 5}" for row in range(10)]
    assert shared_rows(as_source(texts), as_source(["text 0", "other"])) == 2
    frame = pd.DataFrame({"size": [1.0, 2.0, None, -0.0], "color": ["a", "b", None, "a"]})
    other = pd.DataFrame({"color": ["a", None, "b"], "more": 1, "size": [0.0, None, 3.0]})
    assert shared_rows(as_source(frame), as_source(other)) == 2
    files = [b"\x89PNG one", b"\x89PNG two"]
    assert shared_rows(as_source(files), as_source(files[1:])) == 1
    assert shared_rows(as_source(X), as_source(DataLoader(X))) is None
    assert shared_rows(as_source(texts), as_source(X)) is None


def test_a_fingerprint_is_of_rows_and_targets():
    frame = pd.DataFrame({"size": [1.0, 2.0], "color": ["a", "b"], "y": [0, 1]})
    known = fingerprint(as_source(frame, target="y"))
    assert known == fingerprint(as_source(frame.copy(), target="y"))
    assert len(known) == 64
    for changed in (
        frame.assign(size=[1.0, 3.0]),
        frame.assign(color=["ab", ""]),
        frame.assign(y=[1, 0]),
        frame.rename(columns={"size": "length"}),
        frame[::-1],
    ):
        assert fingerprint(as_source(changed, target="y")) != known
    assert fingerprint(as_source(["ab", "c"])) != fingerprint(as_source(["a", "bc"]))
