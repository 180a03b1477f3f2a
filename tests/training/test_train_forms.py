"""Every form of data: trained, registered and evaluated from what the user holds, and the same numbers when served."""

from __future__ import annotations

import io
import re

import numpy as np
import pandas as pd
import pytest
import torch
from models import digits, mlp, wine
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import maas_jupyter
from maas_jupyter.errors import InvalidInput, NotFound, UsageError


def cancer() -> pd.DataFrame:
    """Breast cancer with a category, holes in both kinds of columns, and a target in words."""
    found = load_breast_cancer(as_frame=True)
    frame = found.frame.iloc[:, [0, 1, 7, 26, 27, 30]].copy()
    frame.columns = [str(column).replace(" ", "_") for column in frame.columns]
    frame["size"] = np.where(frame["mean_radius"] > 15, "large", "small")
    frame["target"] = np.where(frame["target"] == 0, "malignant", "benign")
    frame.iloc[3::29, 1] = np.nan
    frame.loc[frame.index[5::31], "size"] = None
    return frame


def perceptron(features, classes, hidden=32):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def pictures(rows: int = 300) -> tuple[list[bytes], np.ndarray]:
    X, y = digits(rows)
    files = []
    for row in X:
        file = io.BytesIO()
        Image.fromarray((row.reshape(8, 8) * 255).astype("uint8")).save(file, "PNG")
        files.append(file.getvalue())
    return files, y


def eyes(classes):
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))


class Rows(Dataset):
    def __init__(self, rows=slice(None)):
        self.X, self.y = (array[rows] for array in wine())

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        return self.X[row], self.y[row]


def words():
    """Two kinds of sentences that differ in a few words, and a tokenizer of words."""
    random = np.random.default_rng(0)
    good, bad, plain = ["great", "lovely", "superb"], ["awful", "boring", "dull"], ["the", "film", "was", "a", "plot"]
    texts, labels = [], []
    for row in range(160):
        chosen = [*random.choice(plain, 5), random.choice(good if row % 2 else bad)]
        texts.append(" ".join(random.permutation(chosen)))
        labels.append("good" if row % 2 else "bad")
    return texts, labels


def word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        words()[0], trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    return tokenizer


class BagOfWords(nn.Module):
    def __init__(self, classes, width=16):
        super().__init__()
        self.embedding = nn.Embedding(64, width, padding_idx=0)
        self.head = nn.Linear(width, classes)

    def forward(self, input_ids, attention_mask):
        vectors = self.embedding(input_ids) * attention_mask.unsqueeze(-1)
        return self.head(vectors.sum(1) / attention_mask.sum(1, keepdim=True))


def hugging_face(frame):
    from datasets import Dataset

    return Dataset.from_pandas(frame, preserve_index=False)


def _form(form, folder):
    """Return the model, the training's arguments and the evaluation's."""
    frame = cancer()
    table = {"target": "target"}
    if form == "arrays":
        return perceptron, {"data": digits(), "lr": 3e-3}, {"data": digits()}
    if form == "frame":
        return perceptron, {"data": frame, **table}, {"data": frame, **table}
    if form == "frame and series":
        rows = (frame.drop(columns="target"), frame["target"])
        return perceptron, {"data": rows}, {"data": rows}
    if form in ("csv", "parquet"):
        path = folder / f"cancer.{form}"
        frame.to_csv(path, index=False) if form == "csv" else frame.to_parquet(path)
        return perceptron, {"data": str(path), **table}, {"data": path, **table}
    if form == "hugging face":
        return perceptron, {"data": hugging_face(frame), **table}, {"data": hugging_face(frame), **table}
    if form == "texts":
        return (
            BagOfWords,
            {"data": words(), "tokenizer": word_tokenizer(), "max_length": 16, "lr": 3e-2},
            {"data": words()},
        )
    if form == "text column":
        frame = pd.DataFrame(dict(zip(("review", "verdict"), words(), strict=True)))
        named = {"target": "verdict", "text": "review"}
        return (
            BagOfWords,
            {"data": frame, **named, "tokenizer": word_tokenizer(), "lr": 3e-2},
            {"data": frame, **named},
        )
    if form == "images":
        return eyes, {"data": pictures(), "lr": 1e-2}, {"data": pictures()}
    if form == "dataset":
        return mlp(13, 3), {"data": Rows(), "lr": 1e-2}, {"data": Rows()}
    if form == "tensor dataset":
        rows = TensorDataset(*map(torch.tensor, wine()))
        return perceptron, {"data": rows, "lr": 1e-2}, {"data": rows}
    rows = DataLoader(Rows(), batch_size=16)
    return mlp(13, 3), {"data": rows, "lr": 1e-2}, {"data": rows}


FORMS = [
    "arrays",
    "frame",
    "frame and series",
    "csv",
    "parquet",
    "hugging face",
    "texts",
    "text column",
    "images",
    "dataset",
    "tensor dataset",
    "loader",
]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_trained_registered_and_evaluated(home, tmp_path, form):
    model, given, evaluated = _form(form, tmp_path)
    share = {} if form == "loader" else {"val": 0.2}
    run = maas_jupyter.train(model, **given, **share, epochs=12, batch_size=16, name=f"form-{form.replace(' ', '-')}")
    assert run.status == "finished"
    assert run.version.metrics["accuracy" if share else "train_accuracy"] > 0.85
    evaluation = maas_jupyter.evaluate(run, **evaluated)
    assert evaluation.metrics["accuracy"] > 0.85
    assert evaluation.module_difference is not None
    assert evaluation.module_difference.max_difference < 1e-5
    assert not run.warnings


def test_a_published_table_answers_raw_rows_with_the_numbers_of_the_evaluation(own_home):
    frame = cancer()
    test = frame[400:].reset_index(drop=True)
    run = maas_jupyter.train(
        perceptron, data=frame[:400], target="target", val=0.2, epochs=8, params="hidden=24", name="clinic"
    )
    module = run.prepared.like(_source(test))
    run.model.eval()
    with torch.no_grad():
        expected = run.model(module.data.all().inputs[0]).softmax(1).numpy()
    maas_jupyter.publish("clinic")
    rows = test.drop(columns="target")
    raw = {column: rows[column].tolist() for column in rows}
    raw["size"] = [value or "" for value in raw["size"]]
    answer = maas_jupyter.predict("clinic", raw)
    np.testing.assert_allclose(answer.outputs["scores"], expected, atol=1e-5)
    evaluation = maas_jupyter.evaluate("clinic", data=test, target="target")
    losses = -np.log(answer.outputs["scores"][np.arange(len(test)), module.data.all().targets])
    assert evaluation.metrics["log_loss"] == pytest.approx(losses.mean(), abs=1e-5)
    assert evaluation.metrics["accuracy"] > 0.85


def _source(frame):
    from maas_jupyter.data import as_source

    return as_source(frame, target="target")


# -- what is decided and said -----------------------------------------------------------------------------------------


def test_what_was_decided_is_said_before_the_training(home):
    run = maas_jupyter.train(perceptron, data=cancer(), target="target", val=0.2, epochs=1)
    said = "\n".join(run.state.notes)
    for words in (
        "task: classification (the targets are texts)",
        "classes: benign, malignant",
        "standardised",
        "one-hot",
        "filled with the median: ",
        "rows for validation",
        "on cpu",
    ):
        assert words in said
    assert run.prepared.labels == ["benign", "malignant"]


def test_a_share_for_validation_is_drawn_by_the_seed_each_class_evenly(home):
    X, y = digits()

    def held(seed):
        from maas_jupyter.training import Asked, take_in

        subject = take_in(mlp(), (X, y), 0.2, Asked(seed=seed))
        return subject.held_out.source

    first, again, other = held(0), held(0), held(1)
    assert np.array_equal(first.targets(), again.targets())
    assert torch.equal(first.inputs[0], again.inputs[0])
    assert not torch.equal(first.inputs[0], other.inputs[0])
    for digit in range(10):
        assert abs((first.targets() == digit).sum() - 0.2 * (y == digit).sum()) <= 1


def test_rows_that_are_in_both_parts_are_warned_about(home):
    X, y = wine()
    run = maas_jupyter.train(mlp(13, 3), data=(X, y), val=(X[:50], y[:50]), epochs=1)
    assert any("50 of the 50 validation rows are training rows too" in warning for warning in run.warnings)
    assert "training rows too" in repr(run)


def test_validation_rows_go_through_what_was_fitted_on_the_training_rows(home):
    frame = cancer()
    run = maas_jupyter.train(perceptron, data=frame[:400], val=frame[400:], target="target", epochs=8)
    assert run.metrics["val_accuracy"] > 0.85
    assert (run.prepared.source.rows, len(run.history)) == (400, 8)


def test_names_of_classes_can_be_given_for_a_table(home):
    run = maas_jupyter.train(
        perceptron, data=cancer(), target="target", labels=["malignant", "benign"], epochs=6, name="ordered"
    )
    assert run.prepared.labels == ["malignant", "benign"]
    evaluation = maas_jupyter.evaluate("ordered", data=cancer(), target="target")
    assert [report.label for report in evaluation.classes] == ["malignant", "benign"]
    assert evaluation.metrics["accuracy"] > 0.85


def test_a_run_is_registered_later_with_other_rows(home):
    frame = cancer()
    run = maas_jupyter.train(perceptron, data=frame[:400], target="target", epochs=8)
    assert run.version is None
    version = maas_jupyter.register(
        run, name="later", data=frame[400:].pipe(lambda rows: (rows.drop(columns="target"), rows["target"]))
    )
    assert version.task == "classification"
    assert version.metrics["accuracy"] > 0.85
    assert maas_jupyter.evaluate("later", data=frame[400:], target="target").metrics["accuracy"] == pytest.approx(
        version.metrics["accuracy"]
    )


def test_a_run_is_evaluated_on_a_file(home, tmp_path):
    frame = cancer()
    run = maas_jupyter.train(perceptron, data=frame[:400], target="target", epochs=8)
    frame[400:].to_csv(tmp_path / "test.csv", index=False)
    evaluation = maas_jupyter.evaluate(run, data=str(tmp_path / "test.csv"), target="target")
    assert evaluation.metrics["accuracy"] > 0.85
    assert [report.label for report in evaluation.classes] == ["benign", "malignant"]


# -- a regression in the units of its targets -------------------------------------------------------------------------


def progression() -> pd.DataFrame:
    return load_diabetes(as_frame=True, scaled=False).frame


def test_a_regression_on_a_table_learns_targets_of_any_size(home):
    run = maas_jupyter.train(
        perceptron, data=progression(), target="target", task="regression", val=0.2, epochs=15, name="diabetes-raw"
    )
    assert any("targets of mean" in note and "answers in these units" in note for note in run.state.notes)
    assert run.metrics["val_mae"] < 55
    assert run.version.task == "regression"
    evaluation = maas_jupyter.evaluate(run, data=progression(), target="target")
    assert evaluation.metrics["r2"] > 0.35
    assert evaluation.module_difference.max_difference < 1e-2


def test_a_module_of_the_users_is_left_alone_and_the_advice_is_given(home):
    run = maas_jupyter.train(perceptron(10, 1), data=progression(), target="target", task="regression", epochs=1)
    assert type(run.model[-1]) is nn.Linear
    assert any("pass a function" in note for note in run.state.notes)


def test_targets_of_about_one_are_left_alone(home):
    frame = progression()
    frame["target"] = (frame["target"] - frame["target"].mean()) / frame["target"].std()
    run = maas_jupyter.train(perceptron, data=frame, target="target", epochs=1)
    assert type(run.model[-1]) is nn.Linear


def test_a_last_layer_that_is_not_linear_is_left_alone(home):
    def positive(features, outputs):
        return nn.Sequential(nn.Linear(features, outputs), nn.Softplus())

    run = maas_jupyter.train(positive, data=progression(), target="target", task="regression", epochs=1)
    assert type(run.model[0]) is nn.Linear
    assert any("pass a function" in note for note in run.state.notes)


# -- what does not fit ------------------------------------------------------------------------------------------------


def holes():
    X, y = wine()
    X = X.copy()
    X[[4, 7], 2] = np.nan
    X[9, 5] = np.nan
    return X, y


def numbered():
    return cancer().assign(mean_texture=lambda frame: frame["mean_texture"].astype(object).where(frame.index != 7, "?"))


@pytest.mark.parametrize(
    ("data", "given", "kind", "said", "hint"),
    [
        (cancer()[:0], {"target": "target"}, InvalidInput, "'data' has no rows", ""),
        (cancer().assign(target="benign"), {"target": "target"}, InvalidInput, "of one class, 'benign'", "filtered"),
        ((wine()[0], np.zeros(178, int)), {}, InvalidInput, "of one class, 0", "float32"),
        (holes(), {}, InvalidInput, r"(?s)3 .*columns? 2 \(2\).*5 \(1\)|NaN", ""),
        (([["a", "b"]] * 4, [0, 1, 0, 1]), {}, InvalidInput, "text where numbers are expected", ""),
        (cancer(), {"target": "traget"}, InvalidInput, "no column 'traget'", "'target'"),
        (cancer(), {"target": "target", "loss": "mse"}, InvalidInput, "compares numbers", "--loss"),
        (cancer(), {"target": "target", "val": 1.5}, UsageError, "--val is 1.5", "0.2"),
        (cancer(), {"target": "target", "val": 0.0001}, InvalidInput, "leaves none for validation", "share"),
        (cancer(), {"target": "target", "task": "clasification"}, UsageError, "'clasification'", "classification"),
        (cancer(), {"target": "target", "tokenizer": word_tokenizer()}, UsageError, "tokenizer is for text", "out"),
        (cancer(), {"target": "target", "lora": "r=8"}, UsageError, "--lora is for causal language models", "out"),
        (words(), {}, InvalidInput, "no tokenizer", "tokenizer"),
        ("nowhere.csv", {"target": "target"}, NotFound, "no file nowhere.csv", ""),
    ],
)
def test_data_that_does_not_fit_is_refused_in_words(home, data, given, kind, said, hint):
    with pytest.raises(kind, match=said) as caught:
        maas_jupyter.train(perceptron, data=data, **given)
    assert hint in caught.value.hint


def test_missing_numbers_in_arrays_are_named_by_column_and_count(home):
    with pytest.raises(InvalidInput) as caught:
        maas_jupyter.train(mlp(13, 3), data=holes())
    assert "2 (2" in caught.value.message and "5 (1" in caught.value.message


def test_a_batch_larger_than_the_data_is_one_batch_and_said(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), batch_size=1000, epochs=1)
    assert any("a batch of 1000 is more than the 178 rows" in note for note in run.state.notes)


def test_a_model_as_wide_as_no_task_of_the_data_is_refused(home):
    with pytest.raises(InvalidInput, match=r"2 classes, but the model gives 1 numbers") as caught:
        maas_jupyter.train(perceptron(8, 1), data=cancer(), target="target")
    assert "2 outputs" in caught.value.hint


def test_words_as_classes_of_arrays_are_kept_as_labels(home):
    X, y = wine()
    names = np.array(["red", "white", "rose"])[y]
    run = maas_jupyter.train(perceptron, data=(X, names), epochs=10, lr=1e-2, name="words")
    assert run.prepared.labels == ["red", "rose", "white"]
    assert [report.label for report in maas_jupyter.evaluate("words", data=(X, names)).classes] == [
        "red",
        "rose",
        "white",
    ]


def test_numbers_to_predict_may_stand_in_a_row_where_the_model_answers_in_a_column(own_home):
    X, y = load_diabetes(return_X_y=True)
    data = (X, (y - y.mean()) / y.std())
    run = maas_jupyter.train(perceptron(10, 1), data=data, val=0.2, epochs=3, name="flat")
    served = maas_jupyter.evaluate("flat", data=data)
    assert served.metrics["r2"] == pytest.approx(maas_jupyter.evaluate(run.model, data=data).metrics["r2"], abs=1e-5)
    column = maas_jupyter.evaluate("flat", data=(X, data[1].reshape(-1, 1)))
    assert column.metrics == served.metrics
    flat = nn.Sequential(nn.Linear(10, 1), nn.Flatten(0))
    assert maas_jupyter.train(flat, data=data, epochs=1).metrics["loss"] > 0


def test_a_column_that_is_the_target_is_warned_about(home, capsys):
    frame = cancer().assign(copy=lambda frame: frame["target"] == "benign")
    run = maas_jupyter.train(lambda features, classes: perceptron(features, classes), data=frame, target="target",
                             epochs=1)  # fmt: skip
    assert any("column 'copy' alone tells the target" in warning for warning in run.warnings)


@pytest.mark.parametrize(
    ("axes", "line"),
    [
        ((), r"X\[:, None\]\.astype\('float32'\)"),
        ((3,), r"X\.transpose\(0, 3, 1, 2\)\.astype\('float32'\)"),
        ((1,), r"X\.astype\('float32'\)"),
    ],
    ids=["no channels", "channels last", "integers"],
)
def test_the_hint_for_pictures_works_as_it_is_written(home, axes, line):
    X, y = digits(40)
    X = (X.reshape(-1, 8, 8) * 16).astype("uint8")
    for axis in axes:
        X = np.expand_dims(X, axis)
    with pytest.raises(InvalidInput) as caught:
        maas_jupyter.train(eyes(10), data=(X, y), epochs=1)
    written = re.search(line, caught.value.hint)
    assert written, caught.value.hint
    maas_jupyter.train(eyes(10), data=(eval(written[0]), y), epochs=1)
