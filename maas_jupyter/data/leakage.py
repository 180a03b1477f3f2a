"""Columns that give the target away: with them a training learns nothing that new rows could show."""

from __future__ import annotations

import numpy as np

from maas_jupyter.data.distinct import distinct
from maas_jupyter.data.labels import are_classes
from maas_jupyter.data.source import Source, TableSource

#: Fewer rows may agree by chance.
_FEWEST_ROWS = 10
#: What rounding to 32 bits leaves of a correlation of one.
_CORRELATION = 1 - 1e-6


def telling_columns(source: Source) -> list[str]:
    """Return the columns of a table that alone tell its target.

    For classes those with one value for each class, and another one for each; for numbers those that are the target,
    but for its scale. Rows without a value in a column are left out of its test.
    """
    targets = source.targets()
    if not isinstance(source, TableSource) or targets is None or targets.ndim != 1 or source.rows < _FEWEST_ROWS:
        return []
    tells = _names_classes if are_classes(targets, source.form) else _is_scaled
    return [name for name, values in source.columns.items() if tells(values, targets)]


def _names_classes(values: np.ndarray, targets: np.ndarray) -> bool:
    given = values != "" if values.dtype == object else ~np.isnan(values)
    if given.sum() < _FEWEST_ROWS:
        return False
    (places, found), (classes, names) = distinct(values[given]), distinct(targets[given])
    return len(found) == len(names) > 1 and len(np.unique(places * len(names) + classes)) == len(names)


def _is_scaled(values: np.ndarray, targets: np.ndarray) -> bool:
    if values.dtype == object:
        return False
    given = ~np.isnan(values) & np.isfinite(targets)
    numbers, goals = values[given].astype(np.float64), targets[given].astype(np.float64)
    if len(numbers) < _FEWEST_ROWS or np.ptp(numbers) == 0 or np.ptp(goals) == 0:
        return False
    return bool(abs(np.corrcoef(numbers, goals)[0, 1]) > _CORRELATION)
