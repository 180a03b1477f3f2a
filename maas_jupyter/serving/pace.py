"""How long runs take."""

from __future__ import annotations

#: The share of the newest run in an estimate.
_NEWEST = 0.1
_SIZES = 64


class Pace:
    """Expects runs to take as long as those of about as many rows took.

    Parameters
    ----------
    seconds : float
        What a row is expected to take until runs were measured.
    """

    def __init__(self, seconds: float) -> None:
        # By powers of two: a run costs something whatever its rows, so that many together cost less each.
        self._row_seconds = [seconds] * _SIZES

    def expected(self, rows: int) -> float:
        """Return how many seconds a run of so many rows is expected to take."""
        return self._row_seconds[rows.bit_length()] * rows

    def learn(self, rows: int, seconds: float) -> None:
        """Take in how long a run took."""
        size = rows.bit_length()
        known = self._row_seconds[size]
        self._row_seconds[size] = known + _NEWEST * (seconds / rows - known)
