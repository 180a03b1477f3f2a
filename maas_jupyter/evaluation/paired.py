"""Several models on the same rows: which one is better, and whether that is more than chance."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from maas_jupyter.errors import UsageError, nearest
from maas_jupyter.evaluation.intervals import Interval, percentile_interval, resampled, resampled_counts
from maas_jupyter.evaluation.intervals import resampled_weights as draw_weights
from maas_jupyter.evaluation.metrics import LOWER_IS_BETTER, WeightedErrors, comparable, row_losses, shown_name
from maas_jupyter.evaluation.predictions import Predictions, aligned
from maas_jupyter.evaluation.rates import Cells, Rates
from maas_jupyter.evaluation.significance import bootstrap_p, holm, mcnemar
from maas_jupyter.plugins import Displayed

#: A difference counts where its p value is below this.
SIGNIFICANCE = 0.05
#: What is compared by task; the first is decided on where nothing else is said.
COMPARED = {
    "classification": ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}

Outcome = Literal["better", "worse", "no evidence"]


@dataclass(frozen=True)
class Difference:
    """A number of two models on the same rows; ``change`` is the other's less the first's, with its 95 % interval."""

    metric: str
    first: float
    other: float
    interval: Interval | None

    @property
    def change(self) -> float:
        """The other's number less the first's."""
        return self.other - self.first

    def __str__(self) -> str:
        span = f" [{self.interval.low:+.3f}, {self.interval.high:+.3f}]" if self.interval else ""
        return f"{shown_name(self.metric)} {self.change:+.3f}{span}"


@dataclass(frozen=True)
class Pair:
    """One model against the first.

    Attributes
    ----------
    other : str
        Which model.
    outcome : {'better', 'worse', 'no evidence'}
        What it is, against the first.
    differences : list of Difference
        The one that is decided on first.
    p_value : float
        That there is no difference: McNemar's exact test for accuracy, else by paired bootstrap; corrected (Holm) where
        more than two models are compared.
    counts : dict of str to int
        Rows by which of the two is right (or nearer, for regression).
    disagreements : ndarray of int64
        Indices of the rows that the models answer differently; for regression empty.
    by_class : list of (str, int, int)
        For each class: rows that only the first, and only the other has right. Classes without such rows are left out.
    """

    other: str
    outcome: Outcome
    differences: list[Difference]
    p_value: float
    counts: dict[str, int]
    disagreements: np.ndarray
    by_class: list[tuple[str, int, int]]


@dataclass(frozen=True, repr=False)
class PairedComparison(Displayed):
    """Models on the same rows, each against the first.

    Attributes
    ----------
    first : str
        What the others are compared with.
    task : str
    rows : int
    metric : str
        What is decided on.
    pairs : list of Pair
    """

    first: str
    task: str
    rows: int
    metric: str
    pairs: list[Pair] = field(default_factory=list)

    @property
    def conclusion(self) -> str:
        """One sentence for each model."""
        return "\n".join(self.sentence(pair) for pair in self.pairs)

    def sentence(self, pair: Pair) -> str:
        """Say what came out for one pair."""
        numbers = f"{pair.differences[0]}, {_shown_p(pair.p_value)}"
        if pair.outcome == "no evidence":
            return f"{pair.other} and {self.first}: no evidence of a difference on {self.rows:,} rows: {numbers}"
        return f"{pair.other} is {pair.outcome} than {self.first}: {numbers}"

    def __repr__(self) -> str:
        lines = [f"{', '.join(pair.other for pair in self.pairs)} against {self.first} on {self.rows:,} rows"]
        for pair in self.pairs:
            width = max(len(shown_name(item.metric)) for item in pair.differences)
            lines.append(f"{'':<{width}}  {self.first:>12}  {pair.other:>12}  change")
            for item in pair.differences:
                span = f" [{item.interval.low:+.4f}, {item.interval.high:+.4f}]" if item.interval else ""
                numbers = f"{item.first:12.4f}  {item.other:12.4f}  {item.change:+.4f}{span}"
                lines.append(f"{shown_name(item.metric):<{width}}  {numbers}")
            lines.append(", ".join(f"{name}: {rows:,} rows" for name, rows in pair.counts.items()))
        return "\n".join([*lines, self.conclusion])


def compare(models: list[tuple[str, Predictions]], *, metric: str | None = None, seed: int = 0) -> PairedComparison:
    """Compare each model with the first on the same rows.

    Parameters
    ----------
    models : list of (str, Predictions)
        Names and answers; at least two.
    metric : str, optional
        What to decide on; accuracy or RMSE by default.
    seed : int
        Of the resamples.

    Raises
    ------
    InvalidInput
        If they do not answer the same question on the same rows.
    UsageError
        If the metric is not one that can be compared row by row.
    """
    (first, reference), *others = models
    known = COMPARED[reference.task]
    if metric is not None and metric not in known:
        raise UsageError(
            f"Models of the task {reference.task} cannot be compared by '{metric}'.",
            hint=nearest(metric, known, what="metrics", otherwise=""),
        )
    decisive = metric or known[0]
    pairs = [
        _pair(reference, name, aligned(answers, reference, names=(name, first)), decisive, seed)
        for name, answers in others
    ]
    corrected = holm([pair.p_value for pair in pairs])
    judged = [
        replace(pair, p_value=p_value, outcome=_outcome(pair.differences[0], p_value))
        for pair, p_value in zip(pairs, corrected, strict=True)
    ]
    return PairedComparison(first, reference.task, len(reference), decisive, judged)


def _outcome(difference: Difference, p_value: float) -> Outcome:
    if not p_value < SIGNIFICANCE or not difference.change:
        return "no evidence"
    return "better" if (difference.change > 0) != (difference.metric in LOWER_IS_BETTER) else "worse"


def _pair(first: Predictions, name: str, other: Predictions, metric: str, seed: int) -> Pair:
    generator = np.random.default_rng(seed)
    classes = first.task == "classification"
    samples = _resampled_classes(first, other, generator) if classes else _resampled_errors(first, other, generator)
    numbers = comparable(first), comparable(other)
    shared = [item for item in COMPARED[first.task] if item in samples and all(item in found for found in numbers)]
    if metric not in shared:
        raise UsageError(
            f"'{metric}' cannot be computed on these rows.", hint=f"Compare by one of {', '.join(shared)}."
        )
    differences = [
        Difference(item, numbers[0][item], numbers[1][item], percentile_interval(samples[item]))
        for item in sorted(shared, key=lambda item: item != metric)
    ]
    if not classes:
        nearer = np.abs(first.output - first.truth).mean(axis=1), np.abs(other.output - first.truth).mean(axis=1)
        counts = {
            "only the first is nearer": int((nearer[0] < nearer[1]).sum()),
            "only the other is nearer": int((nearer[1] < nearer[0]).sum()),
            "both are equally near": int((nearer[0] == nearer[1]).sum()),
        }
        empty = np.array([], dtype=np.int64)
        apart = int((nearer[0] != nearer[1]).sum())
        return Pair(name, "no evidence", differences, bootstrap_p(samples[metric], apart), counts, empty, [])
    right = first.predicted == first.truth, other.predicted == first.truth
    only = right[0] & ~right[1], right[1] & ~right[0]
    differ = first.predicted != other.predicted
    counts = {
        "both right": int((right[0] & right[1]).sum()),
        "only the first right": int(only[0].sum()),
        "only the other right": int(only[1].sum()),
        "both wrong, the same answer": int((~right[0] & ~right[1] & ~differ).sum()),
        "both wrong, different answers": int((~right[0] & ~right[1] & differ).sum()),
    }
    if metric == "accuracy":
        p_value = mcnemar(int(only[0].sum()), int(only[1].sum()))
    else:
        # The loss differs where the class does not.
        apart = (row_losses(first) != row_losses(other)) if metric == "log_loss" else differ
        p_value = bootstrap_p(samples[metric], int(apart.sum()))
    by_class = [np.bincount(first.truth[part], minlength=len(first.labels)) for part in only]
    return Pair(
        name,
        "no evidence",
        differences,
        p_value,
        counts,
        np.flatnonzero(differ),
        [(label, int(lost), int(won)) for label, lost, won in zip(first.labels, *by_class, strict=True) if lost or won],
    )


def _resampled_classes(first: Predictions, other: Predictions, generator: np.random.Generator) -> dict[str, np.ndarray]:
    """Resample rows and take the differences of the rates: rows with one truth and the same two answers are alike."""
    classes = len(first.labels)
    codes, counts = np.unique((first.truth * classes + first.predicted) * classes + other.predicted, return_counts=True)
    truth, answers = codes // classes**2, (codes // classes % classes, codes % classes)

    def compute(drawn: np.ndarray) -> dict[str, np.ndarray]:
        before, after = (Rates.of(Cells(truth, answer, drawn, classes)).means() for answer in answers)
        return {name: after[name] - before[name] for name in before}

    samples = resampled(compute, resampled_counts(counts, generator))
    if first.probabilities and other.probabilities:
        losses = (row_losses(other) - row_losses(first)).astype(np.float32)
        draws = draw_weights(len(losses), generator)
        samples |= resampled(lambda weights: {"log_loss": losses @ weights / len(losses)}, draws)
    return samples


def _resampled_errors(first: Predictions, other: Predictions, generator: np.random.Generator) -> dict[str, np.ndarray]:
    before, after = WeightedErrors(first), WeightedErrors(other)

    def compute(weights: np.ndarray) -> dict[str, np.ndarray]:
        numbers = before(weights), after(weights)
        return {name: numbers[1][name] - numbers[0][name] for name in numbers[0]}

    return resampled(compute, draw_weights(len(first), generator))


def _shown_p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"
