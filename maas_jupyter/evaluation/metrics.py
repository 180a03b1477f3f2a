"""The numbers of an evaluation, and their intervals."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from maas_jupyter.evaluation.calibration import Reliability, reliability
from maas_jupyter.evaluation.intervals import (
    Interval,
    intervals_of,
    resampled,
    resampled_counts,
    resampled_medians,
    resampled_weights,
)
from maas_jupyter.evaluation.predictions import Predictions
from maas_jupyter.evaluation.ranking import RankingCurve, WeightedAreas, ranking_curves
from maas_jupyter.evaluation.rates import Cells, Rates

#: Every headline number by task; what is better when it is lower.
METRICS = {
    "classification": (
        "accuracy",
        "balanced_accuracy",
        "precision",
        "recall",
        "f1",
        "roc_auc",
        "pr_auc",
        "log_loss",
        "calibration_error",
    ),
    "regression": ("mae", "rmse", "r2", "median_absolute_error"),
    "language": ("perplexity", "token_accuracy", "loss"),
}
LOWER_IS_BETTER = {
    "log_loss",
    "calibration_error",
    "mae",
    "rmse",
    "median_absolute_error",
    "perplexity",
    "loss",
}

#: Means over the classes, each of which counts the same.
_MACRO = ("precision", "recall", "f1")

#: More classes have no areas under curves; of more scores than this the areas have no intervals.
_MOST_RANKED_CLASSES = 100
_MOST_RANKED_SCORES = 20_000_000


def shown_name(metric: str) -> str:
    """Return what a headline number is called in a display."""
    return f"{metric} (macro)" if metric in _MACRO else metric


@dataclass(frozen=True)
class ClassReport:
    """Precision, recall and F1 of one class, their intervals, and how many rows belong to it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    intervals: dict[str, Interval] = field(default_factory=dict)


@dataclass
class Measured:
    """What was measured of predictions; see `Evaluation` for the fields."""

    metrics: dict[str, float]
    intervals: dict[str, Interval] = field(default_factory=dict)
    classes: list[ClassReport] = field(default_factory=list)
    confusion: np.ndarray | None = None
    curves: list[RankingCurve] = field(default_factory=list)
    reliability: Reliability | None = None
    notes: list[str] = field(default_factory=list)


def score(predictions: Predictions) -> dict[str, float]:
    """Compute the headline numbers alone."""
    if predictions.task == "regression":
        return _regression(predictions, [])
    cells = Cells.of(predictions.truth, predictions.predicted, len(predictions.labels))
    metrics = {name: float(value[0]) for name, value in Rates.of(cells).means().items()}
    return metrics | _scores(predictions, Measured(metrics))


def measure(predictions: Predictions, *, seed: int = 0) -> Measured:
    """Compute all numbers with their 95 % intervals; what the rows do not allow is left out with a note.

    Parameters
    ----------
    seed : int
        Of the resamples.
    """
    generator = np.random.default_rng(seed)
    if predictions.task == "regression":
        measured = Measured({})
        measured.metrics = _regression(predictions, measured.notes)
        samples = resampled_errors(predictions, generator)
        measured.intervals = _ordered(samples, measured.metrics, len(predictions))
        return measured
    return _classification(predictions, generator)


def comparable(predictions: Predictions) -> dict[str, float]:
    """Compute the numbers that two models are compared by: all that are sums over rows, or shares of them."""
    if predictions.task == "regression":
        return _regression(predictions, [])
    cells = Cells.of(predictions.truth, predictions.predicted, len(predictions.labels))
    metrics = {name: float(value[0]) for name, value in Rates.of(cells).means().items()}
    return metrics | ({"log_loss": float(row_losses(predictions).mean())} if predictions.probabilities else {})


def headline(predictions: Predictions, *, seed: int = 0) -> tuple[dict[str, float], dict[str, Interval]]:
    """Compute the numbers that a part of the rows is described by: those that need no ranking and no second class."""
    generator = np.random.default_rng(seed)
    if predictions.task == "regression":
        metrics = _regression(predictions, [])
        return metrics, _ordered(resampled_errors(predictions, generator), metrics, len(predictions))
    cells = Cells.of(predictions.truth, predictions.predicted, len(predictions.labels))
    metrics = {name: float(value[0]) for name, value in Rates.of(cells).means().items()}
    return metrics, _ordered(_resampled_rates(cells, generator), metrics, len(predictions))


# -- classification ---------------------------------------------------------------------------------------------------


def _classification(predictions: Predictions, generator: np.random.Generator) -> Measured:
    labels = predictions.labels
    cells = Cells.of(predictions.truth, predictions.predicted, len(labels))
    rates = Rates.of(cells)
    measured = Measured({name: float(value[0]) for name, value in rates.means().items()})
    measured.confusion = cells.confusion
    samples = _resampled_rates(cells, generator)
    measured.classes = [
        ClassReport(
            label,
            float(rates.precision[index, 0]),
            float(rates.recall[index, 0]),
            float(rates.f1[index, 0]),
            int(rates.support[index, 0]),
            intervals_of(
                {name: samples[f"{name} by class"][index] for name in ("precision", "recall", "f1")}, len(predictions)
            )
            if rates.present[index, 0]
            else {},
        )
        for index, label in enumerate(labels)
    ]
    measured.metrics |= _scores(predictions, measured)
    weighted = []
    if "log_loss" in measured.metrics:
        losses = row_losses(predictions).astype(np.float32)
        weighted.append(lambda weights: {"log_loss": losses @ weights / len(losses)})
    if "roc_auc" in measured.metrics:
        if predictions.output.size <= _MOST_RANKED_SCORES:
            weighted.append(WeightedAreas(predictions))
        else:
            measured.notes.append(f"roc_auc and pr_auc of {predictions.output.size:,} scores have no intervals.")
    if weighted:
        draws = resampled_weights(len(predictions), generator)
        samples |= resampled(lambda weights: {k: v for compute in weighted for k, v in compute(weights).items()}, draws)
    measured.intervals = _ordered(samples, measured.metrics, len(predictions))
    _explain_certainty(measured, len(predictions))
    return measured


def _resampled_rates(cells: Cells, generator: np.random.Generator) -> dict[str, np.ndarray]:
    def compute(counts: np.ndarray) -> dict[str, np.ndarray]:
        rates = Rates.of(Cells(cells.true, cells.predicted, counts, cells.classes))
        # A class that no row of a resample belongs to has no recall there, and so on: not 0.
        chosen = np.isfinite(rates.f1) & rates.present
        return {
            **rates.means(),
            "precision by class": np.where(chosen, rates.precision, np.nan),
            "recall by class": np.where(rates.support > 0, rates.recall, np.nan),
            "f1 by class": np.where(chosen, rates.f1, np.nan),
        }

    return resampled(compute, resampled_counts(cells.counts, generator))


def _scores(predictions: Predictions, measured: Measured) -> dict[str, float]:
    """Compute what needs scores: areas under curves, log loss and calibration."""
    found: dict[str, float] = {}
    classes = len(predictions.labels)
    occur = np.bincount(predictions.truth, minlength=classes)
    absent = [label for label, rows in zip(predictions.labels, occur, strict=True) if not rows]
    if classes < 2:
        measured.notes.append("roc_auc and pr_auc are left out: the model has one class.")
    elif classes > _MOST_RANKED_CLASSES:
        measured.notes.append(f"roc_auc and pr_auc are left out: there are {classes:,} classes.")
    elif absent:
        shown = ", ".join(map(repr, absent[:5])) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        measured.notes.append(f"roc_auc and pr_auc are left out: no row belongs to {shown}.")
    else:
        measured.curves = ranking_curves(predictions)
        found["roc_auc"] = float(np.mean([curve.roc_auc for curve in measured.curves]))
        found["pr_auc"] = float(np.mean([curve.pr_auc for curve in measured.curves]))
    if predictions.probabilities:
        found["log_loss"] = float(row_losses(predictions).mean())
        measured.reliability = reliability(predictions)
        found["calibration_error"] = measured.reliability.expected_calibration_error
    else:
        measured.notes.append("log_loss and calibration are left out: the scores are not probabilities.")
    return found


def row_losses(predictions: Predictions) -> np.ndarray:
    """Return each row's negative log probability of its class, in nats; clipped as by scikit-learn."""
    epsilon = np.finfo(predictions.output.dtype).eps
    chosen = predictions.output[np.arange(len(predictions)), predictions.truth].astype(np.float64)
    losses: np.ndarray = -np.log(np.clip(chosen, epsilon, 1 - epsilon))
    return losses


def _explain_certainty(measured: Measured, rows: int) -> None:
    """Say what resampling cannot: a model without a mistake on few rows is not known to be without mistakes."""
    accuracy = measured.metrics["accuracy"]
    if accuracy in (0.0, 1.0):
        from scipy.stats import binomtest

        exact = binomtest(int(accuracy * rows), rows).proportion_ci(0.95, method="exact")
        what = "No row is wrong" if accuracy else "No row is right"
        measured.notes.append(
            f"{what}, so resampling shows no spread; the exact binomial interval of accuracy on {rows:,} rows is "
            f"{Interval(float(exact.low), float(exact.high))}."
        )


# -- regression -------------------------------------------------------------------------------------------------------


def _regression(predictions: Predictions, notes: list[str]) -> dict[str, float]:
    from sklearn.metrics import mean_absolute_error, median_absolute_error, r2_score, root_mean_squared_error

    truth, predicted = predictions.truth, predictions.output
    metrics = {
        "mae": float(mean_absolute_error(truth, predicted)),
        "rmse": float(root_mean_squared_error(truth, predicted)),
        "median_absolute_error": float(median_absolute_error(truth, predicted)),
    }
    if (truth == truth[0]).all(axis=0).any():
        notes.append("r2 is left out: the targets do not vary.")
    else:
        metrics["r2"] = float(r2_score(truth, predicted))
    return {name: metrics[name] for name in METRICS["regression"] if name in metrics}


class WeightedErrors:
    """MAE, RMSE and R2 of weighted rows, each the mean over the outputs.

    Parameters
    ----------
    predictions : Predictions
        Of a regression.
    """

    def __init__(self, predictions: Predictions) -> None:
        centred = predictions.truth - predictions.truth.mean(axis=0)
        errors = predictions.output - predictions.truth
        self._outputs = errors.shape[1]
        self._sums = np.concatenate(
            [np.abs(errors).mean(axis=1, keepdims=True), errors**2, centred, centred**2], axis=1
        ).T.copy()

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return numbers of shape (resamples,) for weights of shape (rows, resamples)."""
        means = self._sums @ weights.astype(np.float64) / len(weights)
        squares, first, second = (means[1 + part * self._outputs :][: self._outputs] for part in range(3))
        variance = second - first**2
        # A resample of one repeated row has no variance; rounding leaves a little.
        flat = variance <= 1e-12 * second
        r2 = 1 - np.divide(squares, variance, out=np.full_like(squares, np.nan), where=~flat)
        return {"mae": means[0], "rmse": np.sqrt(squares).mean(axis=0), "r2": r2.mean(axis=0)}


def resampled_errors(predictions: Predictions, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Resample MAE, RMSE, R2 and, where there is one output, the median absolute error."""
    samples = resampled(WeightedErrors(predictions), resampled_weights(len(predictions), generator))
    if predictions.truth.shape[1] == 1:
        errors = np.abs(predictions.output - predictions.truth)[:, 0]
        samples["median_absolute_error"] = resampled_medians(errors, generator)
    return samples


def _ordered(samples: dict[str, np.ndarray], metrics: dict[str, float], rows: int) -> dict[str, Interval]:
    return intervals_of({name: samples[name] for name in metrics if name in samples}, rows)
