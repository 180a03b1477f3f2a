from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from maas_jupyter.errors import InvalidInput
from maas_jupyter.evaluation import Evaluation, Predictions
from maas_jupyter.evaluation.metrics import METRICS, score


def scores_of(rows, classes, *, seed=0, decimals=None):
    """Noisy probabilities that know the truth a little; few decimals make ties."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, rows)
    logits = generator.normal(size=(rows, classes))
    logits[np.arange(rows), truth] += 1.5
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if decimals is not None:
        chances = np.round(chances, decimals)
        chances = np.clip(chances, 0.0, 1.0) / chances.sum(axis=1, keepdims=True)
    return truth, chances


def classified(truth, chances, labels=None):
    return Predictions.of_classes(truth, chances, labels, subject="it")


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("decimals", [None, 1])
def test_every_number_is_scikit_learns(classes, decimals):
    truth, chances = scores_of(300, classes, decimals=decimals)
    found = Evaluation.of(classified(truth, chances), subject="it").metrics
    predicted = chances.argmax(axis=1)
    several = {"multi_class": "ovr"} if classes > 2 else {}
    ranked = chances if classes > 2 else chances[:, 1]
    binary = np.eye(classes)[truth] if classes > 2 else truth
    assert found == pytest.approx(
        {
            "accuracy": metrics.accuracy_score(truth, predicted),
            "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
            "precision": metrics.precision_score(truth, predicted, average="macro"),
            "recall": metrics.recall_score(truth, predicted, average="macro"),
            "f1": metrics.f1_score(truth, predicted, average="macro"),
            "roc_auc": metrics.roc_auc_score(truth, ranked, **several),
            "pr_auc": metrics.average_precision_score(binary, ranked),
            "log_loss": metrics.log_loss(truth, chances),
            "calibration_error": found["calibration_error"],
        }
    )
    assert set(found) == set(METRICS["classification"])


@given(
    st.integers(2, 6).flatmap(
        lambda classes: st.tuples(
            st.just(classes),
            st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=40),
        )
    )
)
@settings(max_examples=60, deadline=None)
def test_the_rates_of_any_confusion_matrix_are_scikit_learns(case):
    classes, pairs = case
    truth, predicted = np.array(pairs).T
    found = score(classified(truth, np.eye(classes)[predicted]))
    for name in ("precision", "recall", "f1"):
        expected = getattr(metrics, f"{name}_score")(truth, predicted, average="macro", zero_division=0)
        assert found[name] == pytest.approx(expected)
    recalls = [np.mean(predicted[truth == each] == each) for each in np.unique(truth)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))


def test_the_expected_calibration_error_is_the_mean_gap_of_the_bins():
    # 100 rows at 0.95 of which 80 are right, 100 at 0.62 of which 60 are right.
    chances = np.repeat([[0.95, 0.05], [0.62, 0.38]], 100, axis=0)
    truth = np.concatenate([np.arange(100) >= 80, np.arange(100) >= 60]).astype(int)
    evaluation = Evaluation.of(classified(truth, chances), subject="it")
    assert evaluation.metrics["calibration_error"] == pytest.approx((0.15 + 0.02) / 2)
    np.testing.assert_allclose(evaluation.reliability.accuracy, [0.6, 0.8])
    assert "calibration_error" not in evaluation.intervals


def test_scores_that_are_not_probabilities_have_no_log_loss():
    truth, chances = scores_of(50, 3)
    evaluation = Evaluation.of(classified(truth, chances * 3), subject="it")
    assert "log_loss" not in evaluation.metrics
    assert "not probabilities" in evaluation.notes[0]
    assert "roc_auc" in evaluation.metrics


def test_rows_of_one_class_leave_out_what_needs_two():
    _, chances = scores_of(40, 2)
    evaluation = Evaluation.of(classified(np.zeros(40, int), chances, ["no", "yes"]), subject="it")
    assert not {"roc_auc", "pr_auc"} & set(evaluation.metrics)
    assert "no row belongs to 'yes'" in evaluation.notes[0]
    assert np.isfinite(list(evaluation.metrics.values())).all()
    assert evaluation.metrics["balanced_accuracy"] == evaluation.metrics["accuracy"]


def test_a_model_without_a_mistake_is_not_called_certain():
    truth = np.arange(30) % 3
    evaluation = Evaluation.of(classified(truth, np.eye(3)[truth]), subject="it")
    assert evaluation.intervals["accuracy"] == (1.0, 1.0)
    assert "[0.884, 1.000]" in evaluation.notes[0]


def test_one_row_can_be_evaluated():
    evaluation = Evaluation.of(classified(np.array([1]), np.array([[0.2, 0.8]])), subject="it")
    assert evaluation.metrics["accuracy"] == 1
    number = Evaluation.of(Predictions.of_numbers(np.ones((1, 1)), np.zeros((1, 1)), subject="it"), subject="it")
    assert number.metrics == {"mae": 1, "rmse": 1, "median_absolute_error": 1}
    assert "r2 is left out" in number.notes[0]


def test_places_of_a_sequence_count_as_rows():
    truth, chances = scores_of(60, 3)
    shaped = classified(truth.reshape(12, 5), np.moveaxis(chances.reshape(12, 5, 3), 2, 1))
    assert score(shaped) == score(classified(truth, chances))


@pytest.mark.parametrize("outputs", [1, 3])
def test_the_numbers_of_a_regression_are_scikit_learns(outputs):
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(200, outputs)) * [1.0, 5.0, 0.1][:outputs]
    predicted = truth + generator.normal(size=truth.shape)
    evaluation = Evaluation.of(Predictions.of_numbers(truth, predicted, subject="it"), subject="it")
    assert evaluation.metrics == pytest.approx(
        {
            "mae": metrics.mean_absolute_error(truth, predicted),
            "rmse": metrics.root_mean_squared_error(truth, predicted),
            "r2": metrics.r2_score(truth, predicted),
            "median_absolute_error": metrics.median_absolute_error(truth, predicted),
        }
    )
    for name, interval in evaluation.intervals.items():
        assert interval.low < evaluation.metrics[name] < interval.high
    assert evaluation.residuals.shape == (200 * outputs, 2)


def test_targets_that_do_not_vary_have_no_r2():
    evaluation = Evaluation.of(
        Predictions.of_numbers(np.ones((9, 1)), np.random.default_rng(0).normal(size=(9, 1)), subject="it"),
        subject="it",
    )
    assert "r2" not in evaluation.metrics
    assert "do not vary" in evaluation.notes[0]


def test_many_classes_have_no_areas():
    truth, chances = scores_of(400, 101)
    evaluation = Evaluation.of(classified(truth, chances), subject="it")
    assert "roc_auc" not in evaluation.metrics
    assert "101 classes" in evaluation.notes[0]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: classified(np.array([], int), np.empty((0, 2))), "no rows"),
        (lambda: classified(np.array([0, 1]), np.array([[1, 0], [np.nan, 0]])), "NaN or infinity.*row 1"),
        (lambda: Predictions.of_numbers(np.ones(2), np.array([1, np.inf]), subject="it"), "it predicts NaN.*row 1"),
    ],
)
def test_answers_that_cannot_be_scored_are_refused(make, said):
    with pytest.raises(InvalidInput, match=said):
        make()
