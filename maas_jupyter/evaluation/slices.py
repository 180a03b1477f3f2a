"""How good a model is on parts of the rows: by a column, an array, or a function of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from maas_jupyter.data import Source
from maas_jupyter.errors import InvalidInput, NotFound, nearest
from maas_jupyter.evaluation.intervals import Interval
from maas_jupyter.evaluation.metrics import headline
from maas_jupyter.evaluation.predictions import Predictions
from maas_jupyter.evaluation.raw import as_tensors

#: Numbers with more different values are cut into quartiles.
_MOST_VALUES = 10
_MOST_GROUPS = 100
_MISSING = "missing"
_BATCH = 4096


@dataclass(frozen=True)
class SliceGroup:
    """One part of the rows and what the model scored on it."""

    name: str
    rows: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]


@dataclass(frozen=True)
class SliceTable:
    """The parts that one column cuts the rows into."""

    column: str
    groups: list[SliceGroup]


def sliceable(value: Any, source: Source) -> Any:
    """Return the rows as what they are sliced by: a DataFrame, a dict of columns, or the array where they are one.

    Parameters
    ----------
    value : object
        The data as the user gave it: a table may have columns that the model does not take.
    source : Source
        The same, read.
    """
    table = value[0] if isinstance(value, tuple) and value else value
    table = table.to_pandas() if hasattr(table, "to_pandas") else table
    if hasattr(table, "columns") and hasattr(table, "iloc"):
        return table
    data = as_tensors(source) if source.form == "loader" else None
    if data is not None:
        batches = [batch.inputs for batch in data.batches(_BATCH)]
        columns = {
            f"input_{index}": torch.cat(parts).cpu().numpy() for index, parts in enumerate(zip(*batches, strict=True))
        }
    else:
        columns = source.raw()
    return next(iter(columns.values())) if source.form != "table" and len(columns) == 1 else columns


def slice_values(by: Any, table: Any, rows: int) -> tuple[str, np.ndarray]:
    """Return the name of a slicing and its value for each row.

    Parameters
    ----------
    by : str, array-like of length rows, or callable
        A column; a value for each row; or a function that makes such values of ``table``.
    table : DataFrame, dict of str to ndarray, or ndarray
        The rows; see `sliceable`.
    rows : int
        Number of rows.

    Raises
    ------
    NotFound
        If there is no such column; the hint offers the nearest ones.
    InvalidInput
        If there is not one value for each row.
    """
    if isinstance(by, str):
        columns = {} if isinstance(table, np.ndarray) else {str(column): column for column in table}
        if by not in columns:
            raise NotFound(
                f"The data has no column '{by}' to slice by.",
                hint=nearest(by, columns, what="columns", otherwise="Slice by a function of the rows instead."),
            )
        return by, _one_each(table[columns[by]], rows, by)
    if callable(by):
        named = getattr(by, "__name__", type(by).__name__)
        name = "slice" if named == "<lambda>" else named
        return name, _one_each(by(table), rows, name)
    return str(getattr(by, "name", None) or "slice"), _one_each(by, rows, "slice")


def _one_each(given: Any, rows: int, name: str) -> np.ndarray:
    values = np.asarray(given)
    if values.shape != (rows,):
        raise InvalidInput(
            f"The slices by '{name}' have the shape {list(values.shape)} for {rows:,} rows.",
            hint="Slice by a column, or by an array with one value for each row.",
        )
    return values


def slice_table(predictions: Predictions, column: str, values: np.ndarray, *, seed: int = 0) -> SliceTable:
    """Score each part of the rows.

    Raises
    ------
    InvalidInput
        If there are more than 100 parts.
    """
    names, places = groups_of(values)
    if len(names) > _MOST_GROUPS:
        raise InvalidInput(
            f"'{column}' has {len(names):,} different values.",
            hint="Slice by something coarser: a function of the rows, such as the first letter.",
        )
    groups = []
    for place, name in enumerate(names):
        chosen = places == place
        if chosen.any():
            metrics, intervals = headline(predictions.rows(chosen), seed=seed)
            groups.append(SliceGroup(name, int(chosen.sum()), metrics, intervals))
    return SliceTable(column, groups)


def groups_of(values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Cut values into groups.

    Numbers with more than ten different values are cut into quartiles; everything else is a group for each value. What
    is missing (NaN, None) is a group of its own.

    Returns
    -------
    names : list of str
    places : ndarray of int64, shape (rows,)
        Index of each row's group.
    """
    numbers = _as_numbers(values)
    if numbers is None:
        missing = np.array([_is_missing(value) for value in values.tolist()], dtype=bool)
        texts = np.array([_MISSING if gone else _text(value) for gone, value in zip(missing, values, strict=True)])
        found, places = np.unique(texts, return_inverse=True)
        return [str(name) for name in found], places
    missing = np.isnan(numbers)
    kinds = np.unique(numbers[~missing])
    if len(kinds) <= _MOST_VALUES:
        names = _told_apart(kinds, digits=6)
        places = np.searchsorted(kinds, numbers)
    else:
        edges = np.unique(np.quantile(numbers[~missing], [0.25, 0.5, 0.75]))
        shown = _told_apart(edges, digits=4)
        middle = [f"{low} to {high}" for low, high in pairwise(shown)]
        names = [f"up to {shown[0]}", *middle, f"above {shown[-1]}"]
        places = np.searchsorted(edges, numbers, side="left")
    places[missing] = len(names)
    return [*names, _MISSING], places


def _told_apart(values: np.ndarray, *, digits: int) -> list[str]:
    """Return different numbers as different texts, with more digits where these are not enough."""
    for enough in (digits, 9, 12, 17):
        names = [
            f"{value:.0f}" if abs(value) < 1e15 and value == int(value) else f"{value:.{enough}g}" for value in values
        ]
        if len(set(names)) == len(names):
            break
    return names


def _as_numbers(values: np.ndarray) -> np.ndarray | None:
    if values.dtype.kind in "iuf":
        return values.astype(np.float64)
    if values.dtype.kind != "O":
        return None
    present = [value for value in values.tolist() if not _is_missing(value)]
    if not present or not all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        return None
    return np.array([np.nan if _is_missing(value) else value for value in values.tolist()], dtype=np.float64)


def _is_missing(value: Any) -> bool:
    # Named, because pandas is not imported here: its NA and NaT.
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
