"""The result of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from maas_jupyter.plugins import Displayed


@dataclass(frozen=True)
class ClassReport:
    """Precision, recall and F1 of one class, and how many rows belong to it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, repr=False)
class Evaluation(Displayed):
    """What a model scored on data.

    Attributes
    ----------
    subject : str
        What was evaluated: ``digits/1``, or the name of a module's class.
    task : {'classification', 'regression'}
    rows : int
        Number of rows.
    metrics : dict of str to float
        ``accuracy``, ``precision``, ``recall``, ``f1`` (macro), or ``mae``, ``rmse``, ``r2``.
    classes : list of ClassReport
        One for each class; empty for regression.
    confusion : ndarray of int64, shape (classes, classes), or None
        Rows are the true classes, columns the predicted ones.
    """

    subject: str
    task: str
    rows: int
    metrics: dict[str, float]
    classes: list[ClassReport] = field(default_factory=list)
    confusion: np.ndarray | None = None

    def __repr__(self) -> str:
        lines = [f"Evaluation of {self.subject} on {self.rows:,} rows"]
        lines.append(", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items()))
        if self.classes:
            width = max(5, *(len(report.label) for report in self.classes))
            lines.append(f"{'class':<{width}}  precision  recall      f1  rows")
            lines += [
                f"{item.label:<{width}}  {item.precision:9.3f}  {item.recall:6.3f}  {item.f1:6.3f}  {item.support:4d}"
                for item in self.classes
            ]
        return "\n".join(lines)
