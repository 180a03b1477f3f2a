"""Whether a difference between two models on the same rows is more than chance."""

from __future__ import annotations

import numpy as np


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p value of McNemar's exact test.

    Parameters
    ----------
    only_first, only_second : int
        Rows that only the first, and only the second model has right.

    Returns
    -------
    float
        The chance that rows on which just one of two equally good models is right fall apart at least so unevenly.

    References
    ----------
    McNemar, Q. (1947). Note on the sampling error of the difference between correlated proportions or percentages.
    Psychometrika 12, 153-157. The exact form is the binomial test of the rows that the models disagree on.
    """
    from scipy.stats import binomtest

    disagreed = only_first + only_second
    return float(binomtest(only_first, disagreed, 0.5).pvalue) if disagreed else 1.0


def bootstrap_p(differences: np.ndarray, pairs: int) -> float:
    """Return the two-sided p value of a difference being zero, from its resampled values.

    Parameters
    ----------
    differences : ndarray of float, shape (resamples,)
        NaN is left out.
    pairs : int
        Rows that the two models answer differently. Resamples of few rows that all speak for one model never reach
        zero; that all of them do so by chance has the probability ``2 / 2**pairs`` (the sign test), so p is not below.

    References
    ----------
    Efron, B. and Tibshirani, R. J. (1993). An Introduction to the Bootstrap, chapter 15: the level at which the
    percentile interval just reaches zero; never 0, as it is one of so many resamples.
    """
    kept = differences[np.isfinite(differences)]
    fewer = min(np.count_nonzero(kept <= 0), np.count_nonzero(kept >= 0))
    return float(min(1.0, max(2 * (fewer + 1) / (len(kept) + 1), 2.0 ** (1 - pairs))))


def holm(values: list[float]) -> list[float]:
    """Correct p values for being one of several.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6,
    65-70.
    """
    order = np.argsort(values)
    steps = np.asarray(values)[order] * np.arange(len(values), 0, -1)
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return corrected.tolist()
