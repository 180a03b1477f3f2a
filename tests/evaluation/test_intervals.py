from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score
from test_evaluation_metrics import classified, scores_of

from maas_jupyter.evaluation import Evaluation, Predictions
from maas_jupyter.evaluation.intervals import (
    percentile_interval,
    resampled_counts,
    resampled_medians,
    resampled_weights,
)
from maas_jupyter.evaluation.ranking import WeightedAreas


def test_an_interval_covers_the_true_accuracy_about_as_often_as_it_says():
    generator = np.random.default_rng(1)
    covered = 0
    for trial in range(200):
        truth = np.zeros(150, int)
        wrong = generator.random(150) < 0.2
        evaluation = Evaluation.of(classified(truth, np.eye(2)[wrong.astype(int)]), subject="it", seed=trial)
        low, high = evaluation.intervals["accuracy"]
        covered += low <= 0.8 <= high
    assert 0.9 <= covered / 200 <= 0.99


def test_intervals_are_those_of_a_plain_bootstrap():
    truth, chances = scores_of(250, 3)
    found = Evaluation.of(classified(truth, chances), subject="it").intervals
    generator = np.random.default_rng(5)
    samples = {"accuracy": [], "roc_auc": [], "log_loss": []}
    for _ in range(1000):
        rows = generator.integers(0, 250, 250)
        samples["accuracy"].append(np.mean(chances[rows].argmax(1) == truth[rows]))
        samples["roc_auc"].append(roc_auc_score(truth[rows], chances[rows], multi_class="ovr"))
        samples["log_loss"].append(-np.log(chances[rows, truth[rows]]).mean())
    for name, values in samples.items():
        expected = np.quantile(values, [0.025, 0.975])
        np.testing.assert_allclose(found[name], expected, atol=0.12 * (expected[1] - expected[0]))


def test_the_same_seed_gives_the_same_intervals():
    predictions = classified(*scores_of(100, 3))
    first, again, other = (Evaluation.of(predictions, subject="it", seed=seed).intervals for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("decimals", [None, 1])
@pytest.mark.parametrize("classes", [2, 3])
def test_areas_of_weighted_rows_are_scikit_learns(classes, decimals):
    predictions = classified(*scores_of(80, classes, decimals=decimals))
    weights = next(resampled_weights(80, np.random.default_rng(0)))[:, :5]
    found = WeightedAreas(predictions)(weights)
    chosen = [1] if classes == 2 else range(classes)
    for sample in range(5):
        for name, function in (("roc_auc", roc_auc_score), ("pr_auc", average_precision_score)):
            expected = [
                function(predictions.truth == index, predictions.output[:, index], sample_weight=weights[:, sample])
                for index in chosen
            ]
            assert found[name][sample] == pytest.approx(np.mean(expected), abs=1e-5)


def test_a_resample_without_a_class_has_no_area():
    predictions = classified(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]]))
    found = WeightedAreas(predictions)(np.array([[1.5], [1.5], [0]], dtype=np.float32))
    assert np.isnan(found["roc_auc"]).all()


def test_resamples_have_as_many_rows():
    counts = np.concatenate(list(resampled_counts(np.array([3, 0, 7]), np.random.default_rng(0))), axis=1)
    assert counts.shape == (3, 1000)
    assert (counts.sum(axis=0) == 10).all()
    assert (counts[1] == 0).all()
    weights = np.concatenate(list(resampled_weights(7, np.random.default_rng(0))), axis=1)
    assert weights.shape == (7, 1000)
    assert (weights.sum(axis=0) == 7).all()


def test_many_rows_are_resampled_fewer_times():
    drawn = resampled_weights(120_000, np.random.default_rng(0))
    assert sum(weights.shape[1] for weights in drawn) == 200


@pytest.mark.parametrize("rows", [1, 2, 9, 10, 101])
def test_medians_are_those_of_a_plain_bootstrap(rows):
    values = np.random.default_rng(0).exponential(size=rows)
    plain = np.median(np.random.default_rng(1).choice(values, size=(4000, rows)), axis=1)
    found = resampled_medians(values, np.random.default_rng(2), 4000)
    assert np.median(found) == pytest.approx(np.median(plain), abs=0.1 * (np.ptp(values) or 1))
    assert found.std() == pytest.approx(plain.std(), rel=0.1, abs=1e-12)


def test_too_few_values_are_no_interval():
    assert percentile_interval(np.array([1.0, np.nan, np.nan])) is None
    assert percentile_interval(np.array([1.0, 2.0, np.nan])) is not None


def test_a_rare_class_has_an_interval_from_the_resamples_that_hold_it():
    truth = np.zeros(200, int)
    truth[:2] = 1
    chances = np.random.default_rng(0).dirichlet([1, 1], 200)
    evaluation = Evaluation.of(classified(truth, chances), subject="it")
    assert {"roc_auc", "pr_auc"} <= set(evaluation.intervals)
    assert "recall" in evaluation.classes[1].intervals


def test_a_single_row_has_no_intervals():
    number = Predictions.of_numbers(np.ones((1, 1)), np.zeros((1, 1)), subject="it")
    kind = Predictions.of_classes(np.array([0]), np.array([[0.9, 0.1]], np.float32), None, subject="it")
    for predictions in (number, kind):
        evaluation = Evaluation.of(predictions, subject="it")
        assert not evaluation.intervals
        assert not any(report.intervals for report in evaluation.classes)
