"""The result of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from maas_jupyter.evaluation.calibration import Reliability
from maas_jupyter.evaluation.gates import Verdict
from maas_jupyter.evaluation.intervals import Interval
from maas_jupyter.evaluation.metrics import ClassReport, measure, shown_name
from maas_jupyter.evaluation.predictions import Predictions
from maas_jupyter.evaluation.ranking import RankingCurve
from maas_jupyter.evaluation.slices import SliceTable
from maas_jupyter.plugins import Displayed

#: Classes that a display has room for.
_MOST_CLASSES = 50
#: Points of the residual picture.
_MOST_RESIDUALS = 1000


@dataclass(frozen=True)
class ModuleDifference:
    """How far a torch module's answers are from those of the bundle that was made of it.

    Attributes
    ----------
    rows, changed : int
        Rows compared, and rows with another predicted class (for regression: a number beyond the tolerance of the
        export's check).
    max_difference : float
        The largest absolute difference of a probability or a predicted number.
    """

    rows: int
    changed: int
    max_difference: float

    def __str__(self) -> str:
        if not self.changed:
            return (
                f"The torch module predicts the same on all {self.rows:,} rows; its numbers differ by at most "
                f"{self.max_difference:.2g}."
            )
        return (
            f"The torch module differs from what will be served: {self.changed:,} of {self.rows:,} predictions, by up "
            f"to {self.max_difference:.2g}. It was changed after it was registered, or the version is quantized."
        )


@dataclass(frozen=True, repr=False)
class Evaluation(Displayed):
    """What a model scored on data.

    Attributes
    ----------
    subject : str
        What was evaluated: ``digits/1``, or the name of a module's class.
    task : {'classification', 'regression', 'language'}
    rows : int
        Number of rows.
    metrics : dict of str to float
        ``accuracy``, ``balanced_accuracy``, ``precision``, ``recall``, ``f1`` (macro), ``roc_auc``, ``pr_auc`` (of the
        second of two classes, else the macro mean of each class against the others), ``log_loss``,
        ``calibration_error``; or ``mae``, ``rmse``, ``r2``, ``median_absolute_error``; or ``perplexity``,
        ``token_accuracy``, ``loss``. What the rows do not allow is left out, and ``notes`` say why.
    classes : list of ClassReport
        One for each class; empty for regression.
    confusion : ndarray of int64, shape (classes, classes), or None
        Rows are the true classes, columns the predicted ones.
    intervals : dict of str to Interval
        95 % bootstrap intervals of the metrics.
    curves : list of RankingCurve
        ROC and precision-recall curves: of the second of two classes, else of each class against the others.
    reliability : Reliability or None
    residuals : ndarray of float, shape (points, 2), or None
        Predicted number and what the truth is above it; a thousand of them at the most.
    slices : list of SliceTable
    notes : list of str
        What was left out and why, and what else is worth knowing.
    module_difference : ModuleDifference or None
        For a run whose version was evaluated: how far its torch module is from the version.
    verdict : Verdict or None
        Of the gates that were asked for.
    """

    subject: str
    task: str
    rows: int
    metrics: dict[str, float]
    classes: list[ClassReport] = field(default_factory=list)
    confusion: np.ndarray | None = None
    intervals: dict[str, Interval] = field(default_factory=dict)
    curves: list[RankingCurve] = field(default_factory=list)
    reliability: Reliability | None = None
    residuals: np.ndarray | None = None
    slices: list[SliceTable] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    module_difference: ModuleDifference | None = None
    verdict: Verdict | None = None

    @classmethod
    def of(cls, predictions: Predictions, *, subject: str, seed: int = 0) -> Evaluation:
        """Measure predictions.

        Parameters
        ----------
        subject : str
            What made them.
        seed : int
            Of the resamples: the same one gives the same intervals.
        """
        measured = measure(predictions, seed=seed)
        return cls(
            subject,
            predictions.task,
            len(predictions),
            measured.metrics,
            measured.classes,
            measured.confusion,
            measured.intervals,
            measured.curves,
            measured.reliability,
            _residuals(predictions, seed) if predictions.task == "regression" else None,
            notes=measured.notes,
        )

    def judged(self, verdict: Verdict) -> Evaluation:
        """Return the evaluation with a verdict."""
        return replace(self, verdict=verdict)

    @property
    def shown_classes(self) -> tuple[list[ClassReport], str]:
        """The classes that a display has room for, those with the lowest F1, and what to say of the others."""
        if len(self.classes) <= _MOST_CLASSES:
            return self.classes, ""
        places = sorted(range(len(self.classes)), key=lambda place: self.classes[place].f1)[:_MOST_CLASSES]
        others = len(self.classes) - _MOST_CLASSES
        said = f"{others:,} classes with a higher F1 are not shown; evaluation.classes holds them all."
        return [self.classes[place] for place in sorted(places)], said

    def __repr__(self) -> str:
        lines = [f"Evaluation of {self.subject} on {self.rows:,} rows"]
        width = max(len(shown_name(name)) for name in self.metrics)
        lines += [
            f"{shown_name(name):<{width}} {value:9.4f} {self.intervals.get(name, '')}".rstrip()
            for name, value in self.metrics.items()
        ]
        if self.classes:
            shown, others = self.shown_classes
            width = max(5, *(len(report.label) for report in shown))
            lines.append(f"{'class':<{width}}  precision  recall      f1  rows")
            lines += [
                f"{item.label:<{width}}  {item.precision:9.3f}  {item.recall:6.3f}  {item.f1:6.3f}  {item.support:4d}"
                for item in shown
            ]
            lines += [others] if others else []
        for table in self.slices:
            width = max(len(table.column), *(len(group.name) for group in table.groups))
            main = main_metric(self.task)
            lines.append(f"{table.column:<{width}}    rows  {main}")
            lines += [
                f"{group.name:<{width}}  {group.rows:6,}  {group.metrics[main]:.3f} {group.intervals.get(main, '')}"
                for group in table.groups
            ]
        if self.module_difference is not None:
            lines.append(str(self.module_difference))
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *([repr(self.verdict)] if self.verdict is not None else [])])


def main_metric(task: str) -> str:
    """Return the number that stands for a model of a task."""
    return {"classification": "accuracy", "regression": "rmse", "language": "perplexity"}[task]


def _residuals(predictions: Predictions, seed: int) -> np.ndarray:
    pairs = np.stack([predictions.output.ravel(), (predictions.truth - predictions.output).ravel()], axis=1)
    if len(pairs) <= _MOST_RESIDUALS:
        return pairs
    chosen: np.ndarray = pairs[np.random.default_rng(seed).choice(len(pairs), _MOST_RESIDUALS, replace=False)]
    return chosen
