"""What a model said about rows whose truth is known: all that metrics, gates and tests work on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from maas_jupyter.errors import InvalidInput

EvaluatedTask = Literal["classification", "regression"]


@dataclass(frozen=True)
class Predictions:
    """A model's answers and the truth, row by row.

    Attributes
    ----------
    task : {'classification', 'regression'}
    truth : ndarray
        Class indices, int64 of shape ``(rows,)``; for regression float64 of shape ``(rows, outputs)``.
    output : ndarray
        A score for each class, ``(rows, classes)``: probabilities where ``probabilities`` says so; for regression
        float64 of shape ``(rows, outputs)``.
    labels : list of str
        A name for each class; empty for regression.
    named : bool
        Whether the labels are the model's own, not mere numbers of its outputs.
    """

    task: EvaluatedTask
    truth: np.ndarray
    output: np.ndarray
    labels: list[str]
    named: bool = False

    def __len__(self) -> int:
        return len(self.truth)

    @cached_property
    def predicted(self) -> np.ndarray:
        """Predicted class indices, int64 of shape ``(rows,)``; for regression the output."""
        return self.output.argmax(axis=1) if self.task == "classification" else self.output

    @cached_property
    def probabilities(self) -> bool:
        """Whether each row's scores are not negative and sum to one."""
        return bool((self.output >= 0).all() and np.allclose(self.output.sum(axis=1), 1, atol=1e-3))

    def rows(self, chosen: np.ndarray) -> Predictions:
        """Return some of the rows, by a mask or by indices."""
        return replace(self, truth=self.truth[chosen], output=self.output[chosen])

    @classmethod
    def of_classes(
        cls, truth: np.ndarray, scores: np.ndarray, labels: list[str] | None, *, subject: str
    ) -> Predictions:
        """Make the predictions of a classifier.

        Parameters
        ----------
        truth : ndarray of int
            Class indices, of shape ``(rows, ...)``.
        scores : ndarray of float
            Of shape ``(rows, classes, ...)``; what stands on further axes counts as rows.
        labels : list of str or None
            A name for each class; numbers where there are none.
        subject : str
            How error messages call the model.

        Raises
        ------
        InvalidInput
            If there are no rows, or a score is NaN or infinite.
        """
        _require_rows(len(truth))
        classes = scores.shape[1]
        scores = np.moveaxis(scores, 1, -1).reshape(-1, classes)
        _require_finite(scores, subject)
        return cls(
            "classification",
            truth.reshape(-1).astype(np.int64),
            scores,
            labels or [str(index) for index in range(classes)],
            named=labels is not None,
        )

    @classmethod
    def of_numbers(cls, truth: np.ndarray, predicted: np.ndarray, *, subject: str) -> Predictions:
        """Make the predictions of a regression; ``truth`` and ``predicted`` have one shape, rows first.

        Raises
        ------
        InvalidInput
            If there are no rows, or a number is NaN or infinite.
        """
        _require_rows(len(truth))
        _require_finite(truth, subject)
        _require_finite(predicted, subject)
        return cls(
            "regression",
            truth.reshape(len(truth), -1).astype(np.float64),
            predicted.reshape(len(predicted), -1).astype(np.float64),
            [],
        )


def aligned(other: Predictions, first: Predictions, *, names: tuple[str, str]) -> Predictions:
    """Bring predictions of the same rows into the class order of others.

    Parameters
    ----------
    other, first : Predictions
        What to bring in order, and whose order.
    names : (str, str)
        How error messages call ``other`` and ``first``.

    Raises
    ------
    InvalidInput
        If tasks or classes differ, or the truth does.
    """
    if other.task != first.task or len(other) != len(first) or other.output.shape != first.output.shape:
        raise InvalidInput(
            f"{names[0]} and {names[1]} do not answer the same question: {_shown(other)} against {_shown(first)}.",
            hint="Compare models of one task with the same classes.",
        )
    if other.labels != first.labels and other.named and first.named:
        if set(other.labels) != set(first.labels):
            missing = sorted(set(first.labels) ^ set(other.labels))
            raise InvalidInput(
                f"{names[0]} and {names[1]} do not predict the same classes; only one of them knows "
                f"{', '.join(map(repr, missing[:5]))}.",
                hint="Compare models that were trained on the same classes.",
            )
        place = np.array([first.labels.index(label) for label in other.labels])
        order = np.array([other.labels.index(label) for label in first.labels])
        other = replace(other, truth=place[other.truth], output=other.output[:, order], labels=first.labels)
    if first.task == "regression" and np.allclose(other.truth, first.truth, rtol=1e-6, atol=0):
        # A module's targets are float32, those of raw rows as they are.
        return replace(other, truth=first.truth)
    if not np.array_equal(other.truth, first.truth):
        raise InvalidInput(
            f"{names[0]} and {names[1]} were not given the same rows.",
            hint="A DataLoader that shuffles gives other rows each time: make it with shuffle=False.",
        )
    return other


def _shown(predictions: Predictions) -> str:
    rows, width = predictions.output.shape
    return f"{predictions.task}, {rows:,} rows x {width} outputs"


def _require_rows(rows: int) -> None:
    if not rows:
        raise InvalidInput("The data has no rows.", hint="Check how it was split or filtered.")


def _require_finite(values: np.ndarray, subject: str) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise InvalidInput(
            f"{subject} predicts NaN or infinity, or the targets hold it; the first is in row {row}.",
            hint="Train with a smaller --lr, and look for NaN in the data.",
        )
