"""Raw rows for a model that takes them: its inputs by their names, and the truth as the model's own classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch

from maas_jupyter.data import Data, LoaderData, Source, TensorData
from maas_jupyter.data.source import LoaderSource, TableSource, TensorSource
from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import Signature
from maas_jupyter.signature import conform

#: Gives a model's scores or predicted numbers for the inputs of its signature.
Run = Callable[[dict[str, np.ndarray]], np.ndarray]

_BATCH = 256


def as_tensors(source: Source) -> Data | None:
    """Return a source whose rows and targets are tensors already; None where they are not."""
    if isinstance(source, LoaderSource):
        return LoaderData(source.loader)
    if isinstance(source, TensorSource):
        targets = source.targets()
        if targets is None:
            return TensorData(source.inputs, None)
        if targets.dtype != object:
            goals = torch.from_numpy(np.ascontiguousarray(targets))
            return TensorData(source.inputs, goals if goals.is_floating_point() else goals.long())
    return None


def answers(run: Run, source: Source, signature: Signature) -> np.ndarray:
    """Run rows, in memory, through a model in batches.

    Raises
    ------
    InvalidInput
        If a column is missing or does not fit the signature.
    """
    rows = source.rows or 0
    parts = []
    for start in range(0, rows, _BATCH):
        part = source.select(np.arange(start, min(start + _BATCH, rows)))
        parts.append(run(conform(named_inputs(part, signature), signature)))
    return np.concatenate(parts)


def named_inputs(source: Source, signature: Signature) -> Mapping[str, np.ndarray]:
    """Return raw rows by the names of a signature's inputs.

    Raises
    ------
    InvalidInput
        If a column is missing, or the rows are of another form.
    """
    raw = source.raw()
    names = [spec.name for spec in signature.inputs]
    first = signature.inputs[0]
    if isinstance(source, TableSource):
        if len(names) == 1 and len(first.shape) == 2 and first.name not in raw and first.datatype != "BYTES":
            # The model was trained with an array of all columns.
            texts = [name for name, kind in source.kinds.items() if kind == "text"]
            if texts:
                raise InvalidInput(
                    f"The model takes numbers alone, but column '{texts[0]}' of '{source.name}' holds text.",
                    hint="Leave such columns out, or train on the table itself: %maas train net --data frame.",
                )
            return {first.name: np.column_stack(list(raw.values()))}
        missing = [name for name in names if name not in raw]
        if missing:
            raise InvalidInput(
                f"'{source.name}' has no column '{missing[0]}', which the model takes.",
                hint=nearest(missing[0], raw, what="columns", otherwise=""),
            )
        return {name: raw[name] for name in names}
    # Texts, images and arrays have no names of their own: they are taken in order.
    if len(raw) != len(names):
        raise InvalidInput(
            f"The model takes the inputs {', '.join(map(repr, names))}; '{source.name}' holds {source.form}.",
            hint="Pass data of the form that the model was trained on.",
        )
    return dict(zip(names, raw.values(), strict=True))


def class_indices(source: Source, labels: list[str | int] | None, classes: int) -> np.ndarray:
    """Return the truth as indices of a model's classes.

    Texts are the model's labels. Integers are these too where its labels are integers and the data is a table, texts or
    images; otherwise they are indices.

    Parameters
    ----------
    labels : list of str or int, or None
        The model's labels; None where it only numbers its classes.
    classes : int
        Number of classes.

    Raises
    ------
    InvalidInput
        If there are no targets, or one is no class of the model; names it and its row.
    """
    targets = _required(source)
    if targets.ndim != 1:
        targets = targets.reshape(len(targets), -1)
        if targets.shape[1] != 1:
            raise InvalidInput(
                f"The labels of '{source.name}' have the shape {list(targets.shape)}, expected is a class a row.",
                hint="From one-hot rows take y.argmax(axis=1).",
            )
        targets = targets[:, 0]
    known: dict[str | int, int] = {label: index for index, label in enumerate(labels or range(classes))}
    if targets.dtype == object:
        known = {str(label): index for label, index in known.items()}
        values: list[str | int] = [str(value) for value in targets]
    else:
        values = [int(value) if value == int(value) else str(value) for value in targets.tolist()]
        by_name = source.form != "tensors" and all(isinstance(label, int) for label in known)
        if not by_name:
            known = {index: index for index in range(classes)}
    found = np.array([known.get(value, -1) for value in values], dtype=np.int64)
    unknown = np.flatnonzero(found < 0)
    if len(unknown):
        names = list(dict.fromkeys(str(values[row]) for row in unknown))
        shown = ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        raise InvalidInput(
            f"The model does not know the label{'s' if len(names) > 1 else ''} {shown} of '{source.name}', the first "
            f"at row {unknown[0]}.",
            hint=nearest(names[0], map(str, known), what="classes", otherwise=""),
        )
    return found


def numbers(source: Source, shape: tuple[int, ...]) -> np.ndarray:
    """Return the truth as numbers of the shape of a model's answers.

    Raises
    ------
    InvalidInput
        If there are no targets, they are texts, or they have another shape.
    """
    targets = _required(source)
    if targets.dtype == object:
        raise InvalidInput(
            f"The targets of '{source.name}' are texts such as {targets[0]!r}, but the model predicts numbers.",
            hint="Name the column of numbers: --target COLUMN.",
        )
    if targets.ndim == 1 and len(shape) == 2 and shape[1] == 1:
        targets = targets[:, None]
    if targets.shape != shape:
        raise InvalidInput(
            f"The targets of '{source.name}' have the shape {list(targets.shape)}, the model's answers {list(shape)}.",
            hint="Pass targets of the shape that the model was trained on.",
        )
    return targets.astype(np.float64)


def _required(source: Source) -> np.ndarray:
    targets = source.targets()
    if targets is None:
        raise InvalidInput(
            f"'{source.name}' has no targets, only inputs.", hint="Name their column, --target COLUMN, or pass (X, y)."
        )
    return targets
