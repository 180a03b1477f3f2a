"""Tensors, arrays, datasets and loaders as `Data`, without any preprocessing."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from maas_jupyter.data.batches import Data, LoaderData, TensorData
from maas_jupyter.data.tensors import FORMS, as_targets, as_tensor, is_array
from maas_jupyter.errors import InvalidInput


def as_data(value: Any, *, name: str = "data") -> Data:
    """Adapt a value to ``Data``.

    Parameters
    ----------
    value : (X, y) of arrays or tensors, X alone, Dataset or DataLoader
        The first axis of each array is the rows. float64 becomes float32, integer targets become int64.
    name : str
        How error messages call it.

    Raises
    ------
    InvalidInput
        If the form is not one of these, is empty, or X and y differ in length.
    """
    if isinstance(value, Data):
        return value
    if isinstance(value, TensorDataset):
        *inputs, targets = value.tensors
        data: Data = in_memory(tuple(inputs) if inputs else (targets,), targets if inputs else None, name)
    elif isinstance(value, DataLoader | Dataset):
        data = LoaderData(value)
    elif isinstance(value, tuple) and len(value) == 2 and all(map(is_array, value)):
        data = in_memory((value[0],), value[1], name)
    elif is_array(value):
        data = in_memory((value,), None, name)
    else:
        raise InvalidInput(
            f"'{name}' is a {type(value).__name__}, which is not a form of data that is known.", hint=FORMS
        )
    if data.rows == 0:
        raise no_rows(name)
    return data


def in_memory(inputs: tuple[Any, ...], targets: Any, name: str) -> TensorData:
    """Return arrays as tensors in memory.

    Raises
    ------
    InvalidInput
        If they hold no numbers or differ in length.
    """
    tensors = tuple(as_tensor(value, f"{name}'s inputs") for value in inputs)
    goals = None if targets is None else as_targets(as_tensor(targets, f"{name}'s targets"))
    check_lengths(name, *(len(tensor) for tensor in tensors), targets=None if goals is None else len(goals))
    return TensorData(tensors, goals)


def check_lengths(name: str, *inputs: int, targets: int | None) -> None:
    """Check that all inputs and the targets have as many rows.

    Raises
    ------
    InvalidInput
        If they do not, or there is no row.
    """
    if len({*inputs, *(() if targets is None else (targets,))}) > 1:
        raise InvalidInput(
            f"'{name}' has {inputs[0]} rows of inputs and {'?' if targets is None else targets} targets.",
            hint="Inputs and targets need the same number of rows.",
        )
    if not inputs[0]:
        raise no_rows(name)


def no_rows(name: str) -> InvalidInput:
    """Return the error for data that is empty."""
    return InvalidInput(f"'{name}' has no rows.", hint="Check how it was split or filtered.")


def finite_or_refuse(tensors: tuple[Tensor, ...], name: str) -> None:
    """Check that inputs hold no NaN and no infinity.

    Raises
    ------
    InvalidInput
        Says which columns hold how many, and the first row.
    """
    for tensor in tensors:
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        # NaN is the smallest and the largest: no memory is needed to see that there is none.
        if all(bool(extreme.isfinite()) for extreme in tensor.aminmax()):
            continue
        bad = ~tensor.isfinite()
        kinds = " and ".join(
            f"{int(count)} {word}"
            for word, count in (("missing (NaN)", tensor.isnan().sum()), ("infinite", tensor.isinf().sum()))
            if count
        )
        row = int(bad.reshape(len(bad), -1).any(1).nonzero()[0])
        where = ""
        if tensor.ndim == 2:
            counts = bad.sum(0)
            columns = counts.nonzero().flatten().tolist()
            shown = ", ".join(f"{column} ({int(counts[column])})" for column in columns[:8])
            more = f" and {len(columns) - 8} more" if len(columns) > 8 else ""
            where = f" in column{'s' if len(columns) > 1 else ''} {shown}{more}"
        raise InvalidInput(
            f"'{name}' holds {kinds} values{where}; the first in row {row}.",
            hint="Fill them, for example with numpy.nan_to_num(X), or drop the rows: X[numpy.isfinite(X).all(1)]. In a "
            "pandas DataFrame missing numbers are filled with the median.",
        )
