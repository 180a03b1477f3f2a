"""What a version's last evaluation found, as it is kept with its run."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from msgspec import Struct, field

from maas_jupyter.registry.run_files import RunFiles
from maas_jupyter.schema import UNREADABLE, decoder

if TYPE_CHECKING:
    from maas_jupyter.registry.nouns import ModelVersion

#: Classes that a confusion matrix is shown of.
MOST_CLASSES = 30
_EVALUATION = "evaluation/evaluation.json"


class ClassScores(Struct, frozen=True):
    """How well one class was told; ``support`` is how many rows belong to it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Confusion(Struct, frozen=True):
    """How often each class was taken for which: a row for each true class, a column for each predicted one.

    Of many classes only those are there that were confused most; ``left_out`` says how many are not.
    """

    labels: list[str]
    counts: list[list[int]]
    left_out: int


class LastEvaluation(Struct, frozen=True):
    """What a version's last evaluation found; intervals are the ends of 95 % ones, ``time`` in epoch seconds."""

    subject: str
    rows: int
    time: float | None
    metrics: dict[str, float]
    intervals: dict[str, list[float]]
    classes: list[ClassScores]
    confusion: Confusion | None
    notes: list[str]


class _KeptEvaluation(Struct, frozen=True):
    """The parts of ``evaluation.json`` that are shown."""

    subject: str
    rows: int
    metrics: dict[str, float | None]
    intervals: dict[str, tuple[float | None, float | None] | None] = field(default_factory=dict)
    classes: list[ClassScores] = field(default_factory=list)
    confusion: list[list[int]] | None = None
    notes: list[str] = field(default_factory=list)


def last_evaluation(files: RunFiles, version: ModelVersion) -> LastEvaluation | None:
    """Return the last evaluation of a version's run."""
    text = files.text(version.run_id, _EVALUATION, most=None)
    if text is None:
        return None
    try:
        found: _KeptEvaluation = decoder(_KeptEvaluation).decode(text)
    except UNREADABLE as error:
        files.troubles.append(f"The last evaluation of {version.reference} cannot be read: {error}")
        return None
    return LastEvaluation(
        subject=found.subject,
        rows=found.rows,
        time=files.measured(version.run_id, f"eval_{next(iter(found.metrics))}") if found.metrics else None,
        metrics={name: value for name, value in found.metrics.items() if value is not None and isfinite(value)},
        intervals={
            name: [float(low), float(high)]
            for name, ends in found.intervals.items()
            if ends is not None
            for low, high in [ends]
            if low is not None and high is not None
        },
        classes=found.classes,
        confusion=None if found.confusion is None else confusion_of(found.classes, found.confusion),
        notes=found.notes,
    )


def confusion_of(classes: list[ClassScores], counts: list[list[int]]) -> Confusion | None:
    """Return a confusion matrix, of many classes the part in which most is confused; None where it fits no classes."""
    size = len(counts)
    if size == 0 or len(classes) != size or any(len(row) != size for row in counts):
        return None
    wrong = [sum(counts[place]) + sum(row[place] for row in counts) - 2 * counts[place][place] for place in range(size)]
    chosen = sorted(sorted(range(size), key=lambda place: -wrong[place])[:MOST_CLASSES])
    return Confusion(
        labels=[classes[place].label for place in chosen],
        counts=[[counts[row][column] for column in chosen] for row in chosen],
        left_out=size - len(chosen),
    )
