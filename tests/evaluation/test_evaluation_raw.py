from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from judged import fitted
from models import mlp
from sklearn.datasets import load_breast_cancer, load_diabetes
from torch import nn

import maas_jupyter
from maas_jupyter.data import as_source, prepare
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.evaluation import evaluate_bundle
from maas_jupyter.packaging import package, package_prepared


def cancer(rows=slice(None)):
    """Breast cancer with a category, a target in words, and a hole."""
    found = load_breast_cancer(as_frame=True)
    frame = found.frame.iloc[rows, [0, 1, 5, 7, 26, 27, 30]].copy()
    frame.columns = [str(column).replace(" ", "_") for column in frame.columns]
    frame["size"] = np.where(frame["mean_radius"] > 15, "large", "small")
    frame["target"] = np.where(frame["target"] == 0, "malignant", "benign")
    frame.iloc[3, 0] = np.nan
    return frame


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A bundle that takes the raw columns, the module inside it, and how its rows were prepared."""
    prepared = prepare(as_source(cancer(slice(0, 400)), target="target"))
    rows = prepared.data.all()
    module = fitted(mlp(prepared.features, 2), rows.inputs[0].numpy(), rows.targets.numpy())
    return package_prepared(module, prepared, tmp_path_factory.mktemp("clinic")).bundle, module, prepared


def test_raw_columns_give_the_numbers_of_the_module(clinic):
    bundle, module, prepared = clinic
    test = as_source(cancer(slice(400, None)), target="target")
    evaluation = evaluate_bundle(bundle, test, subject="clinic")
    held = prepared.like(test).data.all()
    scores = module(held.inputs[0]).detach().softmax(1).numpy()
    assert [report.label for report in evaluation.classes] == ["benign", "malignant"]
    assert evaluation.metrics["accuracy"] == pytest.approx(np.mean(scores.argmax(1) == held.targets.numpy()))
    losses = -np.log(scores[np.arange(len(scores)), held.targets])
    assert evaluation.metrics["log_loss"] == pytest.approx(losses.mean(), abs=1e-5)
    assert evaluation.metrics["accuracy"] > 0.85


def test_columns_may_stand_in_another_order_and_further_ones_are_left_out(clinic):
    frame = cancer(slice(400, None))
    turned = frame[frame.columns[::-1]].assign(further=1.0)
    first, second = (
        evaluate_bundle(clinic[0], as_source(each, target="target"), subject="clinic") for each in (frame, turned)
    )
    assert first.metrics == second.metrics


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        (lambda frame: frame.rename(columns={"mean_radius": "mean_radios"}), "no column 'mean_radius'", "mean_radios"),
        (lambda frame: frame.assign(target="unclear"), "does not know the label 'unclear'", "benign"),
        (lambda frame: frame.assign(size=1.0), "'size'", ""),
    ],
)
def test_tables_that_do_not_fit_are_refused(clinic, change, said, hint):
    with pytest.raises(InvalidInput, match=said) as caught:
        evaluate_bundle(clinic[0], as_source(change(cancer(slice(400, 410))), target="target"), subject="clinic")
    assert hint in caught.value.hint


def test_a_table_without_targets_is_refused(clinic):
    with pytest.raises(InvalidInput, match="no targets") as caught:
        evaluate_bundle(clinic[0], as_source(cancer().drop(columns="target")), subject="clinic")
    assert "--target" in caught.value.hint


def test_a_module_alone_refuses_a_table(home):
    with pytest.raises(InvalidInput, match="columns of a table") as caught:
        maas_jupyter.evaluate(mlp(7, 2), data=cancer(), target="target")
    assert "run that trained it" in caught.value.hint


def test_a_run_prepares_a_table_as_its_training_did(home, tmp_path):
    run = maas_jupyter.train(mlp(8, 2), data=cancer(slice(0, 400)), target="target", epochs=6, lr=1e-2)
    bundle = package_prepared(run.model, run.prepared, tmp_path).bundle
    test = cancer(slice(400, None))
    evaluation = maas_jupyter.evaluate(run, data=test, target="target")
    served = evaluate_bundle(bundle, as_source(test, target="target"), subject="clinic")
    assert evaluation.metrics == pytest.approx(served.metrics, abs=1e-5)
    assert [report.label for report in evaluation.classes] == ["benign", "malignant"]


def test_a_target_of_arrays_is_refused(home):
    with pytest.raises(UsageError, match="no columns"):
        maas_jupyter.evaluate(mlp(7, 2), data=(np.zeros((2, 7), "float32"), np.array([0, 1])), target="y")


def test_numbers_of_a_table_are_predicted_from_its_columns(tmp_path):
    frame = load_diabetes(as_frame=True, scaled=True).frame
    prepared = prepare(as_source(frame, target="target"), task="regression")
    rows = prepared.data.all()
    module = nn.Linear(10, 1)
    bundle = package_prepared(module, prepared, tmp_path).bundle
    evaluation = evaluate_bundle(bundle, as_source(frame, target="target"), subject="it")
    expected = (module(rows.inputs[0]) - rows.targets).abs().mean().item()
    assert evaluation.metrics["mae"] == pytest.approx(expected, rel=1e-5)


def test_a_table_of_numbers_fits_a_model_of_an_array(tmp_path):
    frame = load_diabetes(as_frame=True).frame
    X = torch.tensor(frame.drop(columns="target").to_numpy("float32"))
    bundle = package(nn.Linear(10, 1), (X,), tmp_path, task="regression").bundle
    from_table = evaluate_bundle(bundle, as_source(frame, target="target"), subject="it")
    from_array = evaluate_bundle(bundle, as_source((X, frame[["target"]].to_numpy("float32"))), subject="it")
    assert from_table.metrics == pytest.approx(from_array.metrics)
    with pytest.raises(InvalidInput, match="column 'sex' of 'data' holds text"):
        evaluate_bundle(bundle, as_source(frame.assign(sex="f"), target="target"), subject="it")


def test_integer_classes_of_a_table_are_the_labels(tmp_path):
    frame = pd.DataFrame({"a": np.linspace(0, 1, 40), "b": np.linspace(1, 0, 40), "y": np.repeat([3, 7], 20)})
    prepared = prepare(as_source(frame, target="y"))
    bundle = package_prepared(mlp(2, 2), prepared, tmp_path).bundle
    evaluation = evaluate_bundle(bundle, as_source(frame, target="y"), subject="it")
    assert [(report.label, report.support) for report in evaluation.classes] == [("3", 20), ("7", 20)]
    with pytest.raises(InvalidInput, match="does not know the label '5'"):
        evaluate_bundle(bundle, as_source(frame.assign(y=5), target="y"), subject="it")


@pytest.fixture(scope="module")
def registered_clinic(shared_home, clinic):
    """The same, as a registered version."""
    from maas_jupyter.api import subjects
    from maas_jupyter.registry import Tracker

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registry = subjects.open_registry()
        tracker = Tracker(registry, "clinic", {}, {})
        version = registry.register("clinic", clinic[0], run_id=tracker.run_id, metrics={})
        tracker.end("FINISHED")
        return version


def test_the_verb_takes_a_file_slices_by_a_column_and_holds_a_class_against_a_gate(home, registered_clinic, tmp_path):
    cancer(slice(400, None)).to_csv(tmp_path / "test.csv", index=False)
    evaluation = maas_jupyter.evaluate(
        "clinic",
        data=str(tmp_path / "test.csv"),
        target="target",
        slice=("size", "mean_radius"),
        require=("recall[malignant]>=0.5", "accuracy[size=small]>=0.5"),
    )
    assert evaluation.verdict.passed
    assert [table.column for table in evaluation.slices] == ["size", "mean_radius"]
    assert len(evaluation.slices[1].groups) >= 4


def test_columns_that_the_model_does_not_take_can_slice(home, registered_clinic):
    frame = cancer(slice(400, None)).assign(ward=lambda rows: np.where(rows.index % 2, "east", "west"))
    evaluation = maas_jupyter.evaluate(
        "clinic", data=frame, target="target", slice=("ward", lambda rows: rows["mean_radius"] > 12)
    )
    assert [group.name for group in evaluation.slices[0].groups] == ["east", "west"]
    assert [group.name for group in evaluation.slices[1].groups] == ["False", "True"]


def test_a_table_compares_models(home, registered_clinic):
    comparison = maas_jupyter.compare("clinic", registered_clinic, data=cancer(), target="target")
    assert comparison.pairs[0].outcome == "no evidence"
