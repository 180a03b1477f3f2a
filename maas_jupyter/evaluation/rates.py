"""Accuracy, precision, recall and F1 from the counts of a confusion matrix, of one or of a thousand resamples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cells:
    """The cells of a confusion matrix that hold rows.

    Attributes
    ----------
    true, predicted : ndarray of int64, shape (cells,)
        Class indices; a pair may occur more than once.
    counts : ndarray of int64, shape (cells,) or (cells, resamples)
        Rows in each cell.
    classes : int
        Number of classes.
    """

    true: np.ndarray
    predicted: np.ndarray
    counts: np.ndarray
    classes: int

    @classmethod
    def of(cls, true: np.ndarray, predicted: np.ndarray, classes: int) -> Cells:
        """Count rows; ``true`` and ``predicted`` are class indices of shape ``(rows,)``."""
        places, counts = np.unique(true * classes + predicted, return_counts=True)
        return cls(places // classes, places % classes, counts, classes)

    @property
    def confusion(self) -> np.ndarray:
        """The matrix, int64 of shape (classes, classes): true classes down, predicted ones across."""
        matrix = np.zeros((self.classes, self.classes), dtype=np.int64)
        matrix[self.true, self.predicted] = self.counts
        return matrix


@dataclass(frozen=True)
class Rates:
    """Shares of each class, of shape (classes, resamples), and their means, of shape (resamples,).

    ``precision``, ``recall`` and ``f1`` are 0 where nothing was predicted or belongs to the class, as in scikit-learn
    with ``zero_division=0``. Means are macro means over the classes that occur in a resample, as scikit-learn's are
    where it is given no labels.
    """

    accuracy: np.ndarray
    balanced_accuracy: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    present: np.ndarray
    support: np.ndarray

    @classmethod
    def of(cls, cells: Cells) -> Rates:
        """Compute all rates of all resamples."""
        counts = cells.counts.reshape(len(cells.counts), -1).astype(np.float64)
        right = cells.true == cells.predicted
        found = _totals(cells.true[right], counts[right], cells.classes)
        support = _totals(cells.true, counts, cells.classes)
        chosen = _totals(cells.predicted, counts, cells.classes)
        recall = _share(found, support)
        return cls(
            accuracy=found.sum(axis=0) / support.sum(axis=0),
            balanced_accuracy=recall.sum(axis=0) / (support > 0).sum(axis=0),
            precision=_share(found, chosen),
            recall=recall,
            f1=_share(2 * found, support + chosen),
            present=support + chosen > 0,
            support=support,
        )

    def means(self) -> dict[str, np.ndarray]:
        """Return the headline numbers by name."""
        occur = self.present.sum(axis=0)
        macro = {name: getattr(self, name).sum(axis=0) / occur for name in ("precision", "recall", "f1")}
        return {"accuracy": self.accuracy, "balanced_accuracy": self.balanced_accuracy, **macro}


def _totals(groups: np.ndarray, counts: np.ndarray, classes: int) -> np.ndarray:
    from scipy.sparse import csr_array

    places = (groups, np.arange(len(groups)))
    total: np.ndarray = csr_array((np.ones(len(groups)), places), shape=(classes, len(groups))) @ counts
    return total


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
