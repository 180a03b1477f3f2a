"""Every form of data that a user may hold, as raw rows and targets."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from maas_jupyter.data import as_source, fingerprint, prepare
from maas_jupyter.errors import InvalidInput, NotFound, UsageError

X = np.arange(12, dtype="float64").reshape(6, 2)
Y = np.array([0, 1, 2, 0, 1, 2])
FRAME = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "color": ["red", "blue", None, "red"], "kind": list("abab")})
TEXTS = ["the cat sat", "dogs bark", "a", "rain falls on the plain"]


class Rows(Dataset):
    def __len__(self):
        return len(Y)

    def __getitem__(self, row):
        return torch.tensor(X[row]), int(Y[row])


class Stream(IterableDataset):
    def __iter__(self):
        yield from ((torch.tensor(row), int(label)) for row, label in zip(X, Y, strict=True))


@pytest.mark.parametrize(
    "value",
    [
        (X, Y),
        (X.tolist(), Y.tolist()),
        (torch.tensor(X), torch.tensor(Y)),
        TensorDataset(torch.tensor(X), torch.tensor(Y)),
        (X, pd.Series(Y)),
    ],
    ids=["arrays", "lists", "tensors", "tensor dataset", "series"],
)
def test_arrays_and_tensors_are_held_as_they_are(value):
    source = as_source(value)
    assert (source.form, source.rows) == ("tensors", 6)
    np.testing.assert_array_equal(source.raw()["input"], X.astype("float32"))
    np.testing.assert_array_equal(source.targets(), Y)
    prepared = prepare(source)
    batch = prepared.data.all()
    assert batch.inputs[0].dtype == torch.float32
    assert batch.targets.dtype == torch.int64
    assert (prepared.task, prepared.labels, prepared.classes, prepared.features) == ("classification", None, 3, 2)


def test_inputs_alone_have_no_task():
    prepared = prepare(as_source(X))
    assert (prepared.task, prepared.source.targets(), prepared.data.targets) == ("tensor", None, None)


def test_several_inputs_are_named_by_their_place():
    pair = TensorDataset(torch.tensor(X), torch.tensor(Y), torch.tensor(X[:, :1]))
    source = as_source(pair)
    assert list(source.raw()) == ["input_0", "input_1"]
    assert prepare(source).task == "regression"


@pytest.mark.parametrize("value", [Rows(), DataLoader(Rows(), batch_size=4), DataLoader(Stream(), batch_size=4)])
def test_datasets_and_loaders_are_walked(value):
    source = as_source(value)
    assert source.form == "loader"
    assert (source.targets(), fingerprint(source)) == (None, None)
    prepared = prepare(source)
    assert prepared.task == "classification"
    assert sum(map(len, prepared.data.batches(4))) == 6
    assert prepared.like(as_source(value)).data.rows == source.rows
    with pytest.raises(InvalidInput, match="not held in memory"):
        source.raw()


@pytest.mark.parametrize("value", [FRAME, (FRAME.drop(columns="kind"), FRAME["kind"])])
def test_a_frame_is_a_table(value):
    source = as_source(value, target=None if isinstance(value, tuple) else "kind")
    assert (source.form, source.rows, source.targets().tolist()) == ("table", 4, list("abab"))
    raw = source.raw()
    assert raw["size"].dtype == np.float32
    assert raw["color"].tolist() == ["red", "blue", "", "red"]


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "json"])
def test_a_path_is_the_table_in_it(tmp_path, kind):
    path = tmp_path / f"shapes.{kind}"
    if kind == "csv":
        FRAME.to_csv(path, index=False)
    elif kind == "parquet":
        FRAME.to_parquet(path)
    else:
        FRAME.to_json(path, orient="records", lines=kind == "jsonl")
    for value in (path, str(path)):
        source = as_source(value, target="kind")
        assert source.raw()["color"].tolist() == ["red", "blue", "", "red"]
        assert fingerprint(source) == fingerprint(as_source(FRAME, target="kind"))


def test_texts_with_and_without_targets():
    for value in (TEXTS, np.array(TEXTS), pd.Series(TEXTS).to_numpy()):
        assert as_source(value).raw()["text"].tolist() == TEXTS
    source = as_source((TEXTS, ["pet", "pet", "other", "rain"]))
    assert (source.form, source.targets().tolist()) == ("text", ["pet", "pet", "other", "rain"])


def test_the_only_column_of_texts_is_the_text():
    frame = pd.DataFrame({"review": TEXTS, "stars": [1, 2, 3, 4]})
    assert as_source(frame, target="stars").form == "text"
    category = frame.astype({"review": "category"})
    assert as_source(category, target="stars").form == "table"
    wide = frame.assign(number=1.0)
    assert as_source(wide, target="stars").form == "table"
    named = as_source(wide, target="stars", text="review")
    assert named.raw()["text"].tolist() == TEXTS
    assert named.notes == ("not used: number",)


def test_a_missing_text_is_refused():
    frame = pd.DataFrame({"review": ["good", None, "bad"], "stars": [1, 2, 3]})
    with pytest.raises(InvalidInput, match="at row 1 is missing") as caught:
        as_source(frame, target="stars", text="review")
    assert "dropna" in caught.value.hint


def test_a_hugging_face_dataset():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["pos", "neg"])})
    rows = datasets.Dataset.from_dict({"text": TEXTS, "label": [1, 0, 1, 0]}, features=features)
    source = as_source(rows)
    assert source.form == "text"
    assert source.targets().tolist() == ["neg", "pos", "neg", "pos"]
    assert "target is the column 'label'" in source.notes[0]
    # The order of the names is the order of a trained model's outputs.
    assert source.label_order == ("pos", "neg")
    with pytest.raises(InvalidInput, match="several parts: train, test") as caught:
        as_source(datasets.DatasetDict({"train": rows, "test": rows}))
    assert "data['train']" in caught.value.hint
    table = datasets.Dataset.from_dict({"size": [1.0, 2.0], "answer": [0.5, 1.5]})
    assert prepare(as_source(table, target="answer")).task == "regression"


def test_a_hugging_face_dataset_of_images():
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    features = datasets.Features({"picture": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    pictures = [Image.fromarray(np.full((4, 4, 3), value, dtype=np.uint8)) for value in (0, 255)]
    source = as_source(datasets.Dataset.from_dict({"picture": pictures, "label": [0, 1]}, features=features))
    assert (source.form, source.targets().tolist()) == ("images", ["a", "b"])
    assert prepare(source).data.all().inputs[0].shape == (2, 3, 4, 4)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "empty", [(X[:0], Y[:0]), ([], []), [], FRAME[:0], (FRAME[:0], Y[:0]), TensorDataset(torch.zeros(0, 2))]
)
def test_empty_data_is_refused(empty):
    with pytest.raises(InvalidInput, match="'train' has no rows"):
        as_source(empty, name="train")


def test_other_lengths_and_other_forms_are_refused():
    with pytest.raises(InvalidInput, match="6 rows of inputs and 5 targets"):
        as_source((X, Y[:5]))
    with pytest.raises(InvalidInput, match="4 rows of inputs and 3 targets"):
        as_source((TEXTS, [0, 1, 0]))
    with pytest.raises(InvalidInput, match="a set, which is not a form") as caught:
        as_source({1, 2})
    assert "DataLoader" in caught.value.hint


def test_a_missing_target_column_offers_the_nearest():
    with pytest.raises(InvalidInput, match="no column 'knid' for the target") as caught:
        as_source(FRAME, target="knid")
    assert caught.value.hint == "Did you mean 'kind'?"
    with pytest.raises(InvalidInput, match="no column 'colour' for the text column"):
        as_source(FRAME, target="kind", text="colour")


def test_a_column_named_for_what_has_none_is_refused():
    with pytest.raises(UsageError, match="has no columns"):
        as_source((X, Y), target="kind")
    with pytest.raises(UsageError, match="has targets, and the target"):
        as_source((FRAME, FRAME["kind"]), target="kind")


def test_a_missing_file_offers_the_nearest(tmp_path):
    FRAME.to_csv(tmp_path / "shapes.csv")
    with pytest.raises(NotFound, match="no file") as caught:
        as_source(tmp_path / "shape.csv")
    assert caught.value.hint == "Did you mean 'shapes.csv'?"


@pytest.mark.parametrize(
    ("name", "content"),
    [("data.txt", b"1 2 3"), ("data.csv", b""), ("data.parquet", b"no"), ("data.jsonl", b"{"), ("data.csv", b"\xff")],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=r"not a kind of file|cannot be read as"):
        as_source(tmp_path / name)


def test_text_where_numbers_are_expected_names_the_place():
    with pytest.raises(InvalidInput, match="'n/a' at row 1, column 0"):
        as_source((np.array([[1.0, 2.0], ["n/a", 3.0]], dtype=object), [0, 1]))


@pytest.mark.parametrize("frame", [True, False])
def test_columns_twice_and_no_column_are_refused(frame):
    if frame:
        with pytest.raises(InvalidInput, match="two columns called 'a'"):
            as_source(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    else:
        with pytest.raises(InvalidInput, match="no column beside the target"):
            as_source(FRAME[["kind"]], target="kind")


def test_missing_numbers_of_arrays_say_which_columns_and_how_many():
    holed = X.copy()
    holed[2:4, 1] = np.nan
    holed[5, 0] = np.inf
    with pytest.raises(InvalidInput, match=r"2 missing \(NaN\) and 1 infinite values in columns 0 \(1\), 1 \(2\)") as e:
        prepare(as_source((holed, Y)))
    assert "the first in row 2" in e.value.message
    with pytest.raises(InvalidInput, match="missing"):
        prepare(as_source((X, Y))).like(as_source((holed, Y), name="val"))
    with pytest.raises(InvalidInput, match="missing"):
        prepare(as_source(TensorDataset(torch.tensor(holed), torch.tensor(Y))))


def test_missing_numbers_of_a_loader_are_seen_in_its_first_rows():
    with pytest.raises(InvalidInput, match="missing"):
        prepare(as_source(DataLoader(TensorDataset(torch.full((4, 2), torch.nan), torch.zeros(4).long()))))


def test_another_form_than_in_training_is_refused():
    with pytest.raises(InvalidInput, match="trained with tensors"):
        prepare(as_source((X, Y))).like(as_source(FRAME, target="kind"))
    with pytest.raises(InvalidInput, match="not a table"):
        prepare(as_source(FRAME, target="kind")).like(as_source((X, Y)))


def test_options_of_another_form_are_refused():
    with pytest.raises(UsageError, match="image_size is for images"):
        prepare(as_source((X, Y)), image_size=8)


def test_json_that_holds_lists_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"x": [1, 2], "y": "a"}) for _ in range(3)))
    with pytest.raises(InvalidInput, match="holds a list at row 0"):
        as_source(path, target="y")


def test_a_sparse_matrix_is_refused_with_the_way_to_a_dense_one():
    import scipy.sparse

    for kind in (scipy.sparse.csr_matrix, scipy.sparse.csr_array, scipy.sparse.coo_matrix):
        with pytest.raises(InvalidInput, match="sparse matrix") as caught:
            as_source((kind(np.eye(4)), np.arange(4)))
        assert "X.toarray()" in caught.value.hint


@pytest.mark.parametrize("dtype", ["float16", "float64", ">f4", "float32"])
def test_floats_of_any_width_become_the_width_of_modules(dtype):
    rows = np.arange(12, dtype=dtype).reshape(4, 3)
    for given in (rows, np.asfortranarray(rows), rows[::-1], np.frombuffer(rows.tobytes(), dtype).reshape(4, 3)):
        source = as_source((given, np.array([0, 1, 0, 1], dtype=np.int8)))
        (tensor,) = source.inputs
        assert tensor.dtype == torch.float32
        assert np.array_equal(tensor.numpy(), given.astype(np.float32))
