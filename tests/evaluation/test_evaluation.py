from __future__ import annotations

import numpy as np
import pytest
import torch
from models import diabetes, mlp, wine
from sklearn import metrics
from torch import nn

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import InvalidInput, NotFound


@pytest.fixture(scope="module")
def vintage(shared_home):
    """A registered wine classifier."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return maas_jupyter.train(mlp(13, 3), data=wine(), epochs=5, name="vintage")


def test_the_metrics_are_scikit_learns(home, vintage):
    X, y = wine()
    predicted = vintage.model(torch.tensor(X)).argmax(1).numpy()
    evaluation = maas_jupyter.evaluate("vintage", data=(X, y))
    assert evaluation.rows == 178
    assert evaluation.metrics["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
    for name, function in (
        ("precision", metrics.precision_score),
        ("recall", metrics.recall_score),
        ("f1", metrics.f1_score),
    ):
        assert evaluation.metrics[name] == pytest.approx(function(y, predicted, average="macro"))
        per_class = [getattr(report, name) for report in evaluation.classes]
        np.testing.assert_allclose(per_class, function(y, predicted, average=None))
    np.testing.assert_array_equal(evaluation.confusion, metrics.confusion_matrix(y, predicted))


def test_a_module_a_run_and_a_version_score_the_same(home, vintage):
    data = wine()
    scores = [
        maas_jupyter.evaluate(subject, data=data).metrics
        for subject in (vintage.model, vintage, vintage.version, "vintage@champion")
    ]
    assert all(score == scores[0] for score in scores)


def test_classes_that_do_not_occur_do_not_hurt_the_macro_means(home, vintage):
    X, y = wine()
    some = y < 2
    predicted = vintage.model(torch.tensor(X[some])).argmax(1).numpy()
    evaluation = maas_jupyter.evaluate("vintage", data=(X[some], y[some]))
    expected = metrics.f1_score(y[some], predicted, average="macro", zero_division=0)
    assert evaluation.metrics["f1"] == pytest.approx(expected)
    assert evaluation.classes[2].support == 0


def test_the_result_is_logged_to_the_run_with_its_figure(home, vintage):
    from mlflow import MlflowClient

    evaluation = maas_jupyter.evaluate("vintage", data=wine())
    client = MlflowClient(config.current().resolved_registry_uri)
    logged = client.get_run(vintage.run_id).data.metrics
    assert logged["eval_f1"] == pytest.approx(evaluation.metrics["f1"])
    files = {item.path for item in client.list_artifacts(vintage.run_id, "evaluation")}
    assert files == {"evaluation/confusion_matrix.png", "evaluation/evaluation.json"}


def test_a_regression_is_scored_as_one(home):
    X, y = diabetes()
    net = nn.Linear(10, 1)
    evaluation = maas_jupyter.evaluate(net, data=(X, y))
    predicted = net(torch.tensor(X)).detach().numpy()
    assert evaluation.metrics["r2"] == pytest.approx(metrics.r2_score(y, predicted), abs=1e-5)
    assert evaluation.metrics["mae"] == pytest.approx(metrics.mean_absolute_error(y, predicted), abs=1e-5)
    assert evaluation.confusion is None


def test_the_display_has_a_picture_and_a_text_twin(home, vintage):
    evaluation = maas_jupyter.evaluate("vintage", data=wine())
    bundle = evaluation._repr_mimebundle_()
    assert "data:image/png;base64," in bundle["text/html"]
    assert "precision" in bundle["text/plain"]
    assert bundle["text/plain"] == repr(evaluation)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((np.zeros((2, 13), "float32"), np.array([0, 7])), "label 7 at row 1, but the model has 3 classes"),
        ((np.zeros((2, 12), "float32"), np.array([0, 1])), r"the shape \(rows, 13\), given is \(2, 12\)"),
        (np.zeros((2, 13), "float32"), "no targets"),
    ],
)
def test_data_that_does_not_fit_is_refused(home, vintage, data, said):
    with pytest.raises(InvalidInput, match=said):
        maas_jupyter.evaluate("vintage", data=data)


def test_an_unknown_model_is_not_found(home, vintage):
    with pytest.raises(NotFound, match="no model called 'vintag'") as caught:
        maas_jupyter.evaluate("vintag", data=wine())
    assert "'vintage'" in caught.value.hint
