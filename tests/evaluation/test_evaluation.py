from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from judged import fitted
from models import diabetes, mlp, wine
from PIL import Image
from sklearn import metrics
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import InvalidInput, NotFound


@pytest.fixture(scope="module")
def vintage(shared_home):
    """A run that trained and registered a wine classifier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return maas_jupyter.train(mlp(13, 3), data=wine(), epochs=5, name="vintage")


@pytest.fixture(scope="module")
def cellar(shared_home):
    """A registered wine classifier with names for its classes, and its module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        module = fitted(mlp(13, 3), *wine(), steps=25)
        version = maas_jupyter.register(module, name="cellar", data=wine(), labels=["barolo", "grignolino", "barbera"])
        return module, version


def test_what_is_evaluated_is_what_will_be_served(home, cellar):
    X, y = wine()
    module, version = cellar
    predicted = module(torch.tensor(X)).argmax(1).numpy()
    evaluation = maas_jupyter.evaluate("cellar", data=(X, y))
    assert evaluation.subject == version.reference
    assert evaluation.rows == 178
    assert evaluation.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
    assert [report.label for report in evaluation.classes] == ["barolo", "grignolino", "barbera"]
    np.testing.assert_array_equal(evaluation.confusion, metrics.confusion_matrix(y, predicted))


def test_a_module_scores_what_its_bundle_does(home, cellar):
    module, version = cellar
    found = [maas_jupyter.evaluate(subject, data=wine()).metrics for subject in (module, version, "cellar@champion")]
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[1] == pytest.approx(found[2], abs=1e-6)


def test_a_run_is_evaluated_as_bundle_and_as_module(home, vintage):
    evaluation = maas_jupyter.evaluate(vintage, data=wine())
    assert evaluation.subject == vintage.version.reference
    assert evaluation.module_difference.rows == 178
    assert evaluation.module_difference.changed == 0
    assert evaluation.module_difference.max_difference < 1e-5
    assert "predicts the same on all 178 rows" in repr(evaluation)
    assert re.search(r"note: \d+ of the 178 rows are training rows of run", repr(evaluation))


def test_rows_that_a_run_was_not_trained_on_are_not_noted(home):
    X, y = wine()
    run = maas_jupyter.train(mlp(13, 3), data=(X[::2], y[::2]), epochs=1)
    assert not maas_jupyter.evaluate(run, data=(X[1::2], y[1::2])).notes


def test_a_run_whose_module_was_changed_since_says_so(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=3, name="spoilt")
    with torch.no_grad():
        run.model[2].bias += torch.tensor([5.0, 0, 0])
    evaluation = maas_jupyter.evaluate(run, data=wine())
    assert evaluation.module_difference.changed > 20
    assert "differs from what will be served" in repr(evaluation)
    assert "differs from what will be served" in evaluation._repr_mimebundle_()["text/html"]


def test_the_result_is_logged_to_the_run_with_its_pictures(home, cellar):
    from mlflow import MlflowClient
    from mlflow.artifacts import load_text

    evaluation = maas_jupyter.evaluate("cellar", data=wine())
    client = MlflowClient(config.current().resolved_registry_uri)
    run = client.get_run(cellar[1].run_id)
    assert run.data.metrics["eval_f1"] == pytest.approx(evaluation.metrics["f1"])
    files = {item.path.removeprefix("evaluation/") for item in client.list_artifacts(run.info.run_id, "evaluation")}
    pictures = {"confusion_matrix.png", "curves.png", "reliability.png", "classes.png"}
    assert files == {"evaluation.json", *pictures}
    kept = json.loads(load_text(f"{run.info.artifact_uri}/evaluation/evaluation.json"))
    assert kept["intervals"]["accuracy"] == list(evaluation.intervals["accuracy"])
    assert kept["confusion"] == evaluation.confusion.tolist()


def test_parts_of_the_rows_are_scored(home, cellar):
    X, y = wine()

    def strength(rows):
        return np.where(rows[:, 0] > 1, "strong", "light")

    evaluation = maas_jupyter.evaluate("cellar", data=(X, y), slice=(strength, X[:, 4]))
    first, second = evaluation.slices
    assert [group.name for group in first.groups] == ["light", "strong"]
    assert sum(group.rows for group in first.groups) == 178
    assert len(second.groups) == 4
    assert "strong" in repr(evaluation)
    assert "strong" in evaluation._repr_mimebundle_()["text/html"]


def test_rows_of_a_loader_can_be_sliced_and_compared(home, cellar):
    X, y = wine()
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=50)
    evaluation = maas_jupyter.evaluate("cellar", data=loader, slice=lambda rows: rows[:, 0] > 0)
    assert [group.name for group in evaluation.slices[0].groups] == ["False", "True"]
    comparison = maas_jupyter.compare("cellar", cellar[0], data=loader)
    assert comparison.pairs[0].outcome == "no evidence"


def test_a_regression_is_scored_as_one(home):
    X, y = diabetes()
    net = nn.Linear(10, 1)
    evaluation = maas_jupyter.evaluate(net, data=(X, y))
    predicted = net(torch.tensor(X)).detach().numpy()
    assert evaluation.metrics["r2"] == pytest.approx(metrics.r2_score(y, predicted), abs=1e-5)
    assert evaluation.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(y, predicted), abs=1e-5)
    assert evaluation.confusion is None


def test_the_display_has_pictures_without_a_ground_and_a_text_twin(home, cellar):
    evaluation = maas_jupyter.evaluate("cellar", data=wine())
    bundle = evaluation._repr_mimebundle_()
    found = re.findall('data:image/png;base64,([^"]+)', bundle["text/html"])
    assert len(found) == 4
    for text in found:
        picture = Image.open(io.BytesIO(base64.b64decode(text)))
        assert picture.mode == "RGBA"
        assert picture.getpixel((0, 0))[3] == 0
    assert len(bundle["text/html"]) < 250_000
    for name in ("precision", "recall", "f1"):
        assert f"{name} (macro)" in bundle["text/plain"]
        assert f"{name} (macro)" in bundle["text/html"]
    assert bundle["text/plain"] == repr(evaluation)


def test_labels_of_a_formula_or_a_page_do_no_harm(home):
    labels = ["$\\frac", "<b>bold</b>", "a" * 300]
    maas_jupyter.register(mlp(13, 3), name="odd", data=wine(), labels=labels)
    markup = maas_jupyter.evaluate("odd", data=wine())._repr_mimebundle_()["text/html"]
    assert "<b>bold</b>" not in markup


def test_rows_of_one_class_leave_out_what_needs_two(home, cellar):
    X, y = wine()
    evaluation = maas_jupyter.evaluate("cellar", data=(X[y == 1], y[y == 1]))
    assert "roc_auc" not in evaluation.metrics
    assert any("no row belongs to 'barolo', 'barbera'" in note for note in evaluation.notes)
    assert "note: roc_auc" in repr(evaluation)
    assert evaluation._repr_mimebundle_()["text/html"]


def test_labels_in_words_are_the_models(home, cellar):
    X, y = wine()
    names = np.array(["barolo", "grignolino", "barbera"], dtype=object)
    evaluation = maas_jupyter.evaluate("cellar", data=(X, names[y]))
    assert evaluation.metrics == maas_jupyter.evaluate("cellar", data=(X, y)).metrics
    with pytest.raises(InvalidInput, match="does not know the labels 'merlot', 'syrah' of 'data', the first at row 1"):
        maas_jupyter.evaluate("cellar", data=(X[:4], np.array(["barolo", "merlot", "syrah", "merlot"], dtype=object)))
    with pytest.raises(InvalidInput, match="labels are texts") as caught:
        maas_jupyter.evaluate(cellar[0], data=(X, names[y]))
    assert "registered model" in caught.value.hint


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((np.zeros((2, 13), "float32"), np.array([0, 7])), "label 7 at row 1, but the model has 3 classes"),
        ((np.zeros((2, 12), "float32"), np.array([0, 1])), r"these rows, .*the shape \(rows, 13\), given is \(1, 12\)"),
        (np.zeros((2, 13), "float32"), "no targets"),
        ((np.zeros((0, 13), "float32"), np.array([], "int64")), "no rows"),
    ],
)
def test_data_that_does_not_fit_is_refused(home, cellar, data, said):
    with pytest.raises(InvalidInput, match=said):
        maas_jupyter.evaluate("cellar", data=data)


def test_an_unknown_model_is_not_found(home, cellar):
    with pytest.raises(NotFound, match="no model called 'cellr'") as caught:
        maas_jupyter.evaluate("cellr", data=wine())
    assert "'cellar'" in caught.value.hint


def test_a_slice_by_a_column_that_is_not_there_is_refused(home, cellar):
    with pytest.raises(NotFound, match="no column 'age'"):
        maas_jupyter.evaluate("cellar", data=wine(), slice="age")


def test_a_version_named_by_its_reference_tells_of_the_rows_it_was_trained_on(home):
    X, y = wine()
    run = maas_jupyter.train(mlp(13, 3), data=(X[::2], y[::2]), epochs=1, name="named")
    seen = maas_jupyter.evaluate("named", data=(X, y))
    assert f"89 of the 178 rows are training rows of run {run.run_id[:8]}" in repr(seen)
    assert "training rows" not in repr(maas_jupyter.evaluate("named/1", data=(X[1::2], y[1::2])))


def test_categories_that_no_training_row_has_are_told(home):
    frame = pd.DataFrame({"size": np.arange(40.0), "city": ["Rome", "Oslo"] * 20, "buys": ["no", "yes"] * 20})
    strange = frame.assign(city=["Bonn", None, *frame["city"][2:]], size=frame["size"] + 100)

    def net(features, classes):
        return nn.Linear(features, classes)

    run = maas_jupyter.train(net, data=frame, val=strange, target="buys", epochs=1, name="cities")
    said = "'city' has 'Bonn', no value in 2 of the 40 rows, which no training row has"
    assert any(f"validation: {said}" in note for note in run.state.notes)
    assert said in repr(maas_jupyter.evaluate("cities", data=strange, target="buys"))
    assert "city" not in " ".join(maas_jupyter.evaluate("cities", data=frame, target="buys").notes)
