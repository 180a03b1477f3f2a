"""The different values of a column, so that what is done to each of them is done once."""

from __future__ import annotations

from typing import Any

import numpy as np


def distinct(values: Any) -> tuple[np.ndarray, list[Any]]:
    """Return the place of each value among the different ones, and these in the order in which they come.

    Parameters
    ----------
    values : array or pandas.Series, shape (rows,)

    Returns
    -------
    places : ndarray of int64, shape (rows,)
        -1 where a value is missing (None, NaN, NaT).
    found : list
    """
    import pandas as pd

    places, found = pd.factorize(values)
    return places, found.tolist()
