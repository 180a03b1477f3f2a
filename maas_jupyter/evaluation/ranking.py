"""How well scores rank the rows of a class above the others: ROC and precision-recall curves and their areas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from maas_jupyter.evaluation.predictions import Predictions

#: Curves that are kept for a picture, and points of each.
MOST_CURVES = 10
_MOST_POINTS = 120


@dataclass(frozen=True)
class RankingCurve:
    """The curves of one class against the others.

    Attributes
    ----------
    label : str
        The class.
    roc : ndarray, shape (points, 2)
        False positive rate and true positive rate.
    pr : ndarray, shape (points, 2)
        Recall and precision.
    roc_auc, pr_auc : float
        Area under the ROC curve, and average precision.
    """

    label: str
    roc: np.ndarray
    pr: np.ndarray
    roc_auc: float
    pr_auc: float


def ranked_classes(predictions: Predictions) -> list[int]:
    """Return the classes that areas are taken of: the second of two, else all."""
    classes = predictions.output.shape[1]
    return [1] if classes == 2 else list(range(classes))


def ranking_curves(predictions: Predictions) -> list[RankingCurve]:
    """Compute the curves of each class against the others; every class must occur."""
    from sklearn.metrics import auc, precision_recall_curve, roc_curve

    found = []
    for index in ranked_classes(predictions):
        positive, scores = predictions.truth == index, predictions.output[:, index]
        false_rate, true_rate, _ = roc_curve(positive, scores)
        precision, recall, _ = precision_recall_curve(positive, scores)
        found.append(
            RankingCurve(
                predictions.labels[index],
                _thinned(np.stack([false_rate, true_rate], axis=1)),
                _thinned(np.stack([recall, precision], axis=1)),
                float(auc(false_rate, true_rate)),
                # Average precision: what scikit-learn takes for the area, without interpolation.
                float(-np.sum(np.diff(recall) * precision[:-1])),
            )
        )
    return found


def _thinned(points: np.ndarray) -> np.ndarray:
    """Keep points that are evenly spread along the curve, its ends included."""
    if len(points) <= _MOST_POINTS:
        return points
    way = np.concatenate([[0], np.abs(np.diff(points, axis=0)).sum(axis=1).cumsum()])
    places = np.searchsorted(way, np.linspace(0, way[-1], _MOST_POINTS))
    return points[np.unique(np.append(places, len(points) - 1))]


class WeightedAreas:
    """Macro areas under the ROC and precision-recall curves of weighted rows.

    Parameters
    ----------
    predictions : Predictions
        Of a classifier; every class occurs.
    """

    def __init__(self, predictions: Predictions) -> None:
        self._segments = [
            _segments(predictions.truth == index, predictions.output[:, index]) for index in ranked_classes(predictions)
        ]

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Return ``roc_auc`` and ``pr_auc`` for weights of shape (rows, resamples), each of shape (resamples,).

        NaN where a resample has no row of a class, or no other.
        """
        roc, pr = np.zeros(weights.shape[1]), np.zeros(weights.shape[1])
        for positive, negative in self._segments:
            # Segments run from the highest score down, so what is summed up is what lies above.
            hits, misses = positive @ weights, negative @ weights
            above_hits, above_misses = hits.cumsum(axis=0), misses.cumsum(axis=0)
            all_hits, all_misses = above_hits[-1], above_misses[-1]
            with np.errstate(invalid="ignore", divide="ignore"):
                below = all_misses - above_misses + misses / 2
                roc = roc + (hits * below).sum(axis=0, dtype=np.float64) / (all_hits * all_misses)
                share = above_hits / np.maximum(above_hits + above_misses, 1)
                pr = pr + (hits * share).sum(axis=0, dtype=np.float64) / all_hits
        return {"roc_auc": roc / len(self._segments), "pr_auc": pr / len(self._segments)}


def _segments(positive: np.ndarray, scores: np.ndarray) -> tuple[Any, Any]:
    """Sum rows by score, from the highest: a matrix for the positive rows and one for the others.

    Rows of one score are one segment, and so are neighbouring scores without a positive row: within them the order
    does not matter to either area.
    """
    from scipy.sparse import csr_array

    order = np.argsort(-scores, kind="stable")
    ties = np.concatenate([[0], np.cumsum(np.diff(scores[order]) != 0)])
    holds = np.zeros(ties[-1] + 1, dtype=bool)
    holds[ties[positive[order]]] = True
    # A tie starts a segment unless neither it nor the one before holds a positive row.
    starts = np.concatenate([[True], holds[1:] | holds[:-1]])
    segment = (np.cumsum(starts) - 1)[ties]
    shape = (int(segment[-1]) + 1, len(scores))

    def matrix(chosen: np.ndarray) -> Any:
        places = (segment[chosen], order[chosen])
        return csr_array((np.ones(int(chosen.sum()), dtype=np.float32), places), shape=shape)

    return matrix(positive[order]), matrix(~positive[order])
