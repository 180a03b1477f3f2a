"""Bootstrap confidence intervals, computed on whole arrays of resamples.

A resample of rows drawn with replacement is a weight for each row: how often it was drawn. What depends on counts alone
(a confusion matrix) is resampled as counts, whatever the number of rows; everything else by weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

#: Resamples of an interval; of more than _WEIGHTS / RESAMPLES rows fewer are drawn, never less than _FEWEST.
RESAMPLES = 1000
_FEWEST = 200
_WEIGHTS = 20_000_000
#: Numbers that are held at a time.
_CHUNK = 1 << 20
_LEVEL = 0.95


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"[{self.low:.3f}, {self.high:.3f}]"


def percentile_interval(samples: np.ndarray) -> Interval | None:
    """Return the 95 % percentile interval of a number's resampled values.

    Parameters
    ----------
    samples : ndarray of float, shape (resamples,)
        NaN where a resample did not have what the number needs; those are left out.

    Returns
    -------
    Interval or None
        None where fewer than half of the resamples have a value.

    References
    ----------
    Efron, B. and Tibshirani, R. J. (1993). An Introduction to the Bootstrap, chapter 13. Chapman & Hall.
    """
    kept = samples[np.isfinite(samples)]
    if len(kept) * 2 < len(samples) or not len(kept):
        return None
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Interval(float(low), float(high))


def resampled_counts(counts: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Resample rows of which only the number in each cell matters.

    Parameters
    ----------
    counts : ndarray of int64, shape (cells,)
        Rows in each cell.

    Yields
    ------
    ndarray of int64, shape (cells, some resamples)
        Each column is a multinomial draw of as many rows.
    """
    rows = int(counts.sum())
    for columns in _chunks(len(counts)):
        yield np.ascontiguousarray(generator.multinomial(rows, counts / rows, size=columns).T)


def resampled_weights(rows: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Draw rows with replacement.

    Yields
    ------
    ndarray of float32, shape (rows, some resamples)
        How often each row was drawn; every column sums to ``rows``.
    """
    for columns in _chunks(rows):
        drawn = generator.integers(0, rows, size=(columns, rows))
        drawn += np.arange(columns)[:, None] * rows
        counts = np.bincount(drawn.ravel(), minlength=columns * rows).reshape(columns, rows)
        yield np.ascontiguousarray(counts.T, dtype=np.float32)


def _chunks(size: int) -> Iterator[int]:
    left = max(_FEWEST, min(RESAMPLES, _WEIGHTS // size))
    at_once = max(1, _CHUNK // size)
    while left > 0:
        yield min(at_once, left)
        left -= at_once


def resampled(
    compute: Callable[[np.ndarray], dict[str, np.ndarray]], draws: Iterator[np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute several numbers of every resample.

    Parameters
    ----------
    compute : callable
        Gives arrays by name, whose last axis is the resamples, for what ``draws`` yields.
    draws : iterator of ndarray
        `resampled_counts` or `resampled_weights`.
    """
    parts = [compute(draw) for draw in draws]
    return {name: np.concatenate([part[name] for part in parts], axis=-1) for name in parts[0]}


def resampled_medians(values: np.ndarray, generator: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """Resample rows and take the median of their values.

    The m-th smallest of ``rows`` draws with replacement has the rank ``floor(rows * u)``, where u is the m-th smallest
    of as many uniform numbers, which is Beta distributed: nothing has to be drawn row by row.

    Parameters
    ----------
    values : ndarray of float, shape (rows,)

    Returns
    -------
    ndarray of float64, shape (resamples,)

    References
    ----------
    David, H. A. and Nagaraja, H. N. (2003). Order Statistics, section 2.1. Wiley.
    """
    ordered = np.sort(values)
    rows = len(ordered)
    lower = (rows + 1) // 2
    u = generator.beta(lower, rows - lower + 1, size=resamples)
    first = ordered[np.minimum((u * rows).astype(int), rows - 1)]
    if rows % 2:
        return first
    u += (1 - u) * generator.beta(1, rows - lower, size=resamples)
    return (first + ordered[np.minimum((u * rows).astype(int), rows - 1)]) / 2


def intervals_of(samples: dict[str, np.ndarray], rows: int) -> dict[str, Interval]:
    """Return the intervals of several numbers; those without one are left out, and so are all of a single row."""
    if rows < 2:  # all of its resamples are alike
        return {}
    found = {name: percentile_interval(values) for name, values in samples.items()}
    return {name: interval for name, interval in found.items() if interval is not None}
