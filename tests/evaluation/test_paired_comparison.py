from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from test_evaluation_metrics import classified, scores_of

from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.evaluation import Predictions, compare
from maas_jupyter.evaluation.significance import bootstrap_p, holm, mcnemar


def blurred(truth, chances, amount, labels=None, *, seed=1):
    noisy = chances + np.random.default_rng(seed).random(chances.shape) * amount
    return classified(truth, noisy / noisy.sum(axis=1, keepdims=True), labels)


def test_a_model_that_is_clearly_worse_is_called_so():
    truth, chances = scores_of(800, 3)
    comparison = compare([("good", classified(truth, chances)), ("blurred", blurred(truth, chances, 2))])
    (pair,) = comparison.pairs
    assert pair.outcome == "worse"
    assert pair.p_value < 0.001
    first = pair.differences[0]
    assert first.interval.low < first.change < first.interval.high < 0
    assert comparison.conclusion.startswith("blurred is worse than good: accuracy -0.")
    assert comparison.conclusion.endswith("p < 0.001")
    assert repr(comparison).startswith("blurred against good on 800 rows")  # as the changes are
    assert "f1 (macro)" in repr(comparison)
    reversed_ = compare([("blurred", blurred(truth, chances, 2)), ("good", classified(truth, chances))])
    assert reversed_.pairs[0].outcome == "better"


def test_a_model_like_the_other_gives_no_evidence():
    truth, chances = scores_of(450, 3)
    comparison = compare([("a", classified(truth, chances)), ("b", blurred(truth, chances, 0.02))])
    assert comparison.pairs[0].outcome == "no evidence"
    assert "b and a: no evidence of a difference on 450 rows: accuracy " in comparison.conclusion


def test_the_same_model_twice_is_no_difference():
    predictions = classified(*scores_of(60, 3))
    (pair,) = compare([("a", predictions), ("b", predictions)]).pairs
    assert (pair.outcome, pair.p_value) == ("no evidence", 1.0)
    assert {item.change for item in pair.differences} == {0.0}
    assert len(pair.disagreements) == 0


def test_rows_that_they_disagree_on_are_counted():
    truth = np.array([0, 0, 1, 1, 2, 2])
    first = classified(truth, np.eye(3)[[0, 1, 1, 1, 0, 1]])
    other = classified(truth, np.eye(3)[[0, 0, 0, 0, 0, 0]])
    (pair,) = compare([("a", first), ("b", other)]).pairs
    assert pair.counts == {
        "both right": 1,
        "only the first right": 2,
        "only the other right": 1,
        "both wrong, the same answer": 1,
        "both wrong, different answers": 1,
    }
    assert pair.disagreements.tolist() == [1, 2, 3, 5]
    assert pair.by_class == [("0", 0, 1), ("1", 2, 0)]


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(first, second):
    total = first + second
    expected = min(1.0, 2 * binom.cdf(min(first, second), total, 0.5)) if total else 1.0
    assert mcnemar(first, second) == pytest.approx(expected)


def test_holm_corrects_as_published():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])


def test_several_models_are_each_compared_with_the_first_and_corrected():
    truth, chances = scores_of(300, 3)
    first = classified(truth, chances)
    others = [("b", blurred(truth, chances, 0.3)), ("c", blurred(truth, chances, 0.35, seed=2))]
    alone = [compare([("a", first), other]).pairs[0].p_value for other in others]
    together = [pair.p_value for pair in compare([("a", first), *others]).pairs]
    assert together == pytest.approx(holm(alone))


def test_the_p_value_of_a_bootstrap_reaches_the_percentile_interval():
    values = np.random.default_rng(0).normal(2, 1, 5000)
    assert bootstrap_p(values, 999) == pytest.approx(0.0455, abs=0.012)
    assert bootstrap_p(np.ones(999), 999) == pytest.approx(0.002)
    assert bootstrap_p(np.zeros(999), 999) == 1
    assert bootstrap_p(np.ones(999), 1) == 1


def test_another_metric_can_be_decided_on():
    truth, chances = scores_of(400, 3)
    comparison = compare([("a", classified(truth, chances)), ("b", blurred(truth, chances, 1))], metric="log_loss")
    assert comparison.pairs[0].differences[0].metric == "log_loss"
    assert comparison.pairs[0].outcome == "worse"
    assert "b is worse than a: log_loss +" in comparison.conclusion


def test_numbers_are_compared_by_paired_bootstrap():
    generator = np.random.default_rng(0)
    truth = generator.normal(size=(300, 1))
    noise = generator.normal(size=(300, 1))
    near, far = (Predictions.of_numbers(truth, truth + noise * size, subject="it") for size in (0.5, 0.6))
    comparison = compare([("far", far), ("near", near)])
    (pair,) = comparison.pairs
    # Errors that go together are told apart by pairs, not by two intervals that overlap.
    assert (comparison.metric, pair.outcome) == ("rmse", "better")
    assert [item.metric for item in pair.differences] == ["rmse", "mae", "r2"]
    assert pair.counts["only the other is nearer"] == 300


def test_classes_in_another_order_are_brought_in_line():
    truth, chances = scores_of(200, 3)
    order = np.array([2, 0, 1])
    turned = classified(np.argsort(order)[truth], chances[:, order], list("cab"))
    (pair,) = compare([("a", classified(truth, chances, list("abc"))), ("b", turned)]).pairs
    assert len(pair.disagreements) == 0


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda truth, chances: classified(truth, chances, ["x", "y", "q"]), "only one of them knows 'q', 'z'"),
        (lambda truth, chances: classified(truth % 2, chances[:, :2]), "do not answer the same question"),
        (lambda truth, chances: classified(truth[:9], chances[:9], ["x", "y", "z"]), "50 rows x 3 outputs"),
        (lambda truth, chances: classified(truth[::-1], chances, ["x", "y", "z"]), "not given the same rows"),
        (lambda truth, chances: Predictions.of_numbers(chances, chances, subject="it"), "regression, 50 rows"),
    ],
)
def test_what_cannot_be_compared_is_refused(other, said):
    truth, chances = scores_of(50, 3)
    with pytest.raises(InvalidInput, match=said):
        compare([("a", classified(truth, chances, ["x", "y", "z"])), ("b", other(truth, chances))])


def test_a_metric_that_cannot_be_compared_is_refused():
    predictions = classified(*scores_of(50, 3))
    with pytest.raises(UsageError, match="by 'acuracy'") as caught:
        compare([("a", predictions), ("b", predictions)], metric="acuracy")
    assert "'accuracy'" in caught.value.hint


@pytest.mark.parametrize(("rows", "outcome"), [(1, "no evidence"), (5, "no evidence"), (12, "better")])
def test_few_rows_that_all_speak_for_one_model_are_no_evidence(rows, outcome):
    """Their resamples never reach zero, but so it falls out by chance in 2 of 2**rows cases."""
    truth = np.arange(rows, dtype=float)[:, None]
    numbers = [("near", 0.1), ("far", 1.0)]
    far, near = (
        (name, Predictions.of_numbers(truth, truth + off * (1 + truth), subject=name)) for name, off in numbers[::-1]
    )
    pair = compare([far, near], metric="mae").pairs[0]
    assert (pair.outcome, pair.p_value >= 2.0 ** (1 - rows)) == (outcome, True)
    labels = np.zeros(rows, dtype=int)
    sure, unsure = (
        Predictions.of_classes(labels, np.tile(np.float32([chance, 1 - chance]), (rows, 1)), None, subject="it")
        for chance in (0.9, 0.6)
    )
    assert compare([("unsure", unsure), ("sure", sure)], metric="log_loss").pairs[0].outcome == outcome


def test_targets_that_one_model_was_given_as_float32_are_the_same_rows():
    truth = np.random.default_rng(0).normal(size=(30, 1))
    first, other = (
        Predictions.of_numbers(given, truth + off, subject="it")
        for given, off in ((truth, 0.1), (truth.astype(np.float32), 0.5))
    )
    comparison = compare([("a", first), ("b", other)])
    assert comparison.pairs[0].outcome == "worse"
    with pytest.raises(InvalidInput, match="not given the same rows"):
        compare([("a", first), ("b", Predictions.of_numbers(truth[::-1], truth, subject="it"))])
