"""The result of an explanation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from maas_jupyter.plugins import Displayed

Kind = Literal["table", "text", "image"]

#: What a text twin and a display show of one row, the most important first.
MOST_FEATURES = 15
_VALUE_LENGTH = 24


@dataclass(frozen=True)
class RowExplanation:
    """What the features of one row add to one output of the model.

    Attributes
    ----------
    row : int
        Which of the rows that were given.
    prediction : str or float
        The class that the model answers with, or the number.
    probability : float or None
        Of that class; None for a regression.
    target : str
        The class (or number of the output) that is explained.
    output, baseline_output : float
        What the model gives for the target: for the row, and for the baseline. Probabilities for a classifier.
    names : list of str
        The features: columns, words or tokens, patches of a picture.
    values : list
        What the row has there.
    attributions : ndarray of float64, shape (features,), or (height, width) for a picture
        What each adds to the output; all together about ``output - baseline_output``. For LIME the weights of the local
        fit.
    error : float or None
        Completeness error: by how much the sum of the attributions misses ``output - baseline_output``; None for LIME.
    r2 : float or None
        Weighted R2 of LIME's local fit.
    sampling_error : float or None
        KernelSHAP: the largest standard error of an attribution, from two halves of the samples; its sum is right by
        construction and says nothing about that.
    warnings : list of str
        Why not to rely on the numbers.
    picture : ndarray of uint8, shape (height, width) or (height, width, 3), or None
        What the model saw, where the row is a picture.
    spans : list of (int, int), or None
        Where each feature stands in `text`.
    text : str or None
    """

    row: int
    prediction: str | float
    probability: float | None
    target: str
    output: float
    baseline_output: float
    names: list[str]
    values: list[Any]
    attributions: np.ndarray
    error: float | None = None
    r2: float | None = None
    sampling_error: float | None = None
    warnings: list[str] = field(default_factory=list)
    picture: np.ndarray | None = None
    text: str | None = None
    spans: list[tuple[int, int]] | None = None

    @property
    def difference(self) -> float:
        """What there is to explain: the output less the baseline's."""
        return self.output - self.baseline_output

    def ranked(self) -> list[tuple[str, str, float]]:
        """Return name, shown value and attribution of each feature, the most important first."""
        flat = self.attributions.ravel()
        order = np.argsort(-np.abs(flat), kind="stable")
        if self.attributions.ndim == 2:
            width = self.attributions.shape[1]
            return [(f"row {i // width}, column {i % width}", "", float(flat[i])) for i in order]
        return [(self.names[i], shown(self.values[i]), float(flat[i])) for i in order]

    @property
    def headline(self) -> str:
        """What was predicted, what is explained, and how well the attributions add up."""
        predicted = self.prediction if isinstance(self.prediction, str) else f"{self.prediction:.4g}"
        sure = "" if self.probability is None else f" ({self.probability:.1%})"
        about = "" if self.probability is None else f" for {self.target}" if self.target != predicted else ""
        parts = [
            f"row {self.row}: predicted {predicted}{sure}",
            f"explained{about}: {self.output:.4g}, against {self.baseline_output:.4g} at the baseline",
        ]
        if self.error is not None:
            share = f" ({self.error / abs(self.difference):.1%} of the difference)" if self.difference else ""
            parts.append(f"completeness error {self.error:.2g}{share}")
        if self.sampling_error is not None:
            parts.append(f"sampling error {self.sampling_error:.2g}")
        if self.r2 is not None:
            parts.append(f"R2 of the local fit {self.r2:.3f}")
        return "; ".join(parts)

    def __repr__(self) -> str:
        ranked = self.ranked()
        width = max(len(name) for name, _, _ in ranked[:MOST_FEATURES])
        lines = [self.headline]
        for name, value, weight in ranked[:MOST_FEATURES]:
            equals = f" = {value}" if value and value != name else ""
            lines.append(f"  {weight:+.4f}  {name:<{width}}{equals}".rstrip())
        if len(ranked) > MOST_FEATURES:
            rest = sum(weight for _, _, weight in ranked[MOST_FEATURES:])
            lines.append(f"  {rest:+.4f}  {others(len(ranked) - MOST_FEATURES)}")
        return "\n".join([*lines, *(f"  warning: {warning}" for warning in self.warnings)])


@dataclass(frozen=True, repr=False)
class Explanation(Displayed):
    """Why a model answers as it does, for some rows.

    Attributes
    ----------
    subject : str
        What was explained: ``digits/1``, or the name of a module's class.
    method : {'integrated_gradients', 'lime', 'kernel_shap'}
    kind : {'table', 'text', 'image'}
        What the rows are.
    task : {'classification', 'regression'}
    baseline : str
        In words, what stands for a feature that is absent.
    samples : int
        Steps of the integral, or perturbed rows that the model was asked about, for each row.
    seed : int
    rows : list of RowExplanation
        One for each row.
    notes : list of str
        What else there is to know, such as that it was interrupted.
    """

    subject: str
    method: str
    kind: Kind
    task: str
    baseline: str
    samples: int
    seed: int
    rows: list[RowExplanation]
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> RowExplanation:
        return self.rows[index]

    @property
    def stated(self) -> str:
        """Method, baseline and samples, in words."""
        unit = "steps" if self.method == "integrated_gradients" else "samples"
        seeded = "" if self.method == "integrated_gradients" else f", seed {self.seed}"
        return f"{self.method}, {self.samples:,} {unit}{seeded}; baseline: {self.baseline}"

    def __repr__(self) -> str:
        return "\n".join(
            [
                f"Explanation of {self.subject}: {self.stated}",
                *(f"note: {note}" for note in self.notes),
                *map(repr, self.rows),
            ]
        )


def others(count: int) -> str:
    """Return what the row of the features is called that are not shown."""
    return "1 other" if count == 1 else f"{count:,} others together"


def shown(value: Any) -> str:
    """Return a feature's value as it is shown."""
    if isinstance(value, float | np.floating):
        return "missing" if np.isnan(value) else f"{value:.4g}"
    if value is None:
        return "missing"
    text = str(value)
    return text if len(text) <= _VALUE_LENGTH else f"{text[: _VALUE_LENGTH - 1]}…"
