"""What is to be predicted: the task, the classes and the targets as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maas_jupyter.data.source import Form, Source
from maas_jupyter.data.tensors import as_targets
from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import Task

Label = str | int

#: Integers in a table are classes up to this number of different ones, ...
FEW_INTEGERS = 20
#: ... and up to this number where they are at most this share of the rows.
SOME_INTEGERS, SHARE_OF_ROWS = 50, 0.1


@dataclass(frozen=True)
class Targets:
    """What a part's targets mean.

    Attributes
    ----------
    task : Task
    values : tuple or None
        The raw values in the order of the class indices; None where the targets are numbers or indices already.
    labels : tuple or None
        What the classes are called, in the same order.
    column : bool
        Whether numbers to predict are given the shape ``(rows, 1)``, as a last layer of one output gives it.
    notes : tuple of str
        What was inferred.
    """

    task: Task
    values: tuple[Label, ...] | None = None
    labels: tuple[Label, ...] | None = None
    column: bool = False
    notes: tuple[str, ...] = ()

    def tensor(self, source: Source) -> Tensor | None:
        """Return a part's targets: int64 class indices or float32 numbers.

        Raises
        ------
        InvalidInput
            If a target is no known class, no number or missing; names the row.
        """
        targets = source.targets()
        if targets is None:
            return None
        if self.values is not None:
            return _indices(targets, self.values, source.name)
        numbers = _numbers(targets, source.name)
        if self.task != "classification":
            tensor = torch.from_numpy(numbers.astype(np.float32)) if self.task == "regression" else _tensor(numbers)
            return tensor.reshape(-1, 1) if self.column and tensor.ndim == 1 else tensor
        if numbers.dtype.kind == "f":
            numbers = _whole(numbers, source.name)
        return _tensor(numbers)


def are_classes(targets: np.ndarray, form: Form) -> bool:
    """Say whether targets look like classes.

    Texts are. Floats are not. Integers are, except where many of them are different in a table: more than 50, or more
    than 20 that are more than a tenth of the rows.
    """
    if targets.dtype.kind == "f" or targets.ndim != 1:
        return targets.dtype.kind != "f"
    if targets.dtype == object or form != "table":
        return True
    distinct = len(np.unique(targets))
    return distinct <= FEW_INTEGERS or distinct <= min(SOME_INTEGERS, SHARE_OF_ROWS * len(targets))


def infer_targets(
    source: Source, *, task: Task | None, labels: Sequence[Label] | None, class_count: int | None
) -> Targets:
    """Decide what the targets of the training rows mean.

    Parameters
    ----------
    source : Source
        The training rows, in memory.
    task : Task, optional
        Inferred as `are_classes` says where it is not given.
    labels : sequence of str or int, optional
        The classes in the order of the model's outputs: the targets' own values, or a name for each in their order.
    class_count : int, optional
        How many outputs the model has.

    Raises
    ------
    InvalidInput
        If there is one class only, there are more than the model has outputs, or the targets do not fit the task.
    """
    targets = source.targets()
    given = tuple(labels) if labels is not None else None
    if targets is None:
        return Targets(task or "tensor", labels=given)
    chosen = task or ("classification" if are_classes(targets, source.form) else "regression")
    set_by = "as asked for" if task else _why(targets)
    column = source.form != "tensors"
    if chosen != "classification":
        if targets.dtype == object:
            raise InvalidInput(
                f"The targets of '{source.name}' are texts such as {targets[0][:60]!r}, which no {chosen} can predict.",
                hint="Leave task out for a classification, or turn them into numbers.",
            )
        return Targets(chosen, column=column, notes=(f"task: {chosen} ({set_by})",))
    if targets.dtype.kind == "f":
        targets = _whole(targets, source.name)
    distinct = np.unique(targets)
    if len(distinct) == 1:
        raise InvalidInput(
            f"All targets of '{source.name}' are of one class, {distinct.tolist()[0]!r}: there is nothing to learn.",
            hint="Check how the data was filtered or split; for numbers to predict pass floats: y.astype('float32').",
        )
    if targets.dtype != object and source.form == "tensors":
        return _indices_as_they_are(distinct, given, set_by, source.name)
    values, names = _classes(distinct.tolist(), source.label_order, given, class_count, source.name)
    shown = ", ".join(map(str, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return Targets("classification", values, names, column, (f"task: classification ({set_by})", f"classes: {shown}"))


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """Return weights that let each class count the same in a loss: ``rows / (classes * rows of the class)``.

    Parameters
    ----------
    targets : Tensor, INT64 (rows,)
        Class indices.
    classes : int
        How many there are; one without rows weighs 0.

    Returns
    -------
    Tensor, FP32 (classes,)
    """
    counts = torch.bincount(targets.flatten(), minlength=classes).float()
    present = int((counts > 0).sum())
    return torch.where(counts > 0, targets.numel() / (present * counts.clamp(min=1)), 0.0)


def _why(targets: np.ndarray) -> str:
    if targets.dtype == object:
        return "the targets are texts"
    if targets.dtype.kind == "f":
        return "the targets are floats"
    distinct = len(np.unique(targets))
    return f"the targets are integers, {distinct} different ones"


def _indices_as_they_are(distinct: np.ndarray, labels: tuple[Label, ...] | None, set_by: str, name: str) -> Targets:
    if labels is not None and len(labels) <= distinct.max():
        raise InvalidInput(
            f"There are {len(labels)} labels, but '{name}' has the class {distinct.max()}, the first being 0.",
            hint="Give one label for each output of the model.",
        )
    return Targets("classification", labels=labels, notes=(f"task: classification ({set_by})",))


def _classes(
    found: list[Label],
    order: tuple[Label, ...] | None,
    labels: tuple[Label, ...] | None,
    class_count: int | None,
    name: str,
) -> tuple[tuple[Label, ...], tuple[Label, ...]]:
    """Return the raw values and the names of the classes, in the order of the model's outputs."""
    values = tuple(found) if order is None else order
    indices = range(class_count or 0)
    if class_count is not None and order is None and all(value in indices for value in found):
        values = tuple(range(class_count))  # they are indices of the model's outputs already
    names = values
    if labels is not None:
        if set(found) <= set(labels):
            values = names = labels
        elif len(labels) == len(values):
            names = labels
        else:
            unknown = next(value for value in found if value not in labels)
            raise InvalidInput(
                f"The target {unknown!r} of '{name}' is not among the labels {list(labels)[:20]}.",
                hint=f"Give all classes: {', '.join(map(str, found[:20]))}.",
            )
    if class_count is not None and len(values) > class_count:
        raise InvalidInput(
            f"'{name}' has {len(values)} classes, but the model gives {class_count} numbers for a row.",
            hint=f"Let the model's last layer have {len(values)} outputs. Classes are {', '.join(map(str, names[:8]))}"
            f"{', ...' if len(names) > 8 else ''}.",
        )
    return values, names


def _indices(targets: np.ndarray, values: tuple[Label, ...], name: str) -> Tensor:
    index = {value: place for place, value in enumerate(values)}
    if targets.dtype.kind == "f":
        targets = _whole(targets, name)
    distinct, inverse = np.unique(targets, return_inverse=True)
    codes = np.array([index.get(value, -1) for value in distinct.tolist()], dtype=np.int64)[inverse]
    unknown = np.flatnonzero(codes < 0)
    if len(unknown):
        value = targets.tolist()[unknown[0]]
        known = [str(each) for each in values]
        raise InvalidInput(
            f"'{name}' has the target {value!r} at row {unknown[0]}, a class that is not in the training data.",
            hint=nearest(str(value), known, what="classes", otherwise=""),
        )
    return torch.from_numpy(codes)


def _numbers(targets: np.ndarray, name: str) -> np.ndarray:
    if targets.dtype == object:
        raise InvalidInput(
            f"The targets of '{name}' are texts such as {targets[0]!r}, those of the training data numbers.",
            hint="Pass the same kind of targets.",
        )
    if targets.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(targets.reshape(len(targets), -1)).all(axis=1))
        if len(bad):
            raise InvalidInput(
                f"{len(bad)} targets of '{name}' are missing or infinite, the first at row {bad[0]}.",
                hint="Leave these rows out: keep = numpy.isfinite(y).",
            )
    return targets


def _whole(targets: np.ndarray, name: str) -> np.ndarray:
    _numbers(targets, name)
    odd = np.flatnonzero(targets != np.floor(targets))
    if len(odd):
        raise InvalidInput(
            f"The target {targets.flat[odd[0]]:g} of '{name}' is no class: classes are texts or integers.",
            hint="Numbers to predict are a regression: leave task out.",
        )
    return targets.astype(np.int64)


def _tensor(numbers: np.ndarray) -> Tensor:
    return as_targets(torch.from_numpy(np.array(numbers)))  # a copy: what a series gives cannot be written to
