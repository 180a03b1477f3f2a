"""The time that a search has, and how long its methods are expected to take."""

from __future__ import annotations

import statistics
import time

from maas_jupyter.optimization.optimizer import Optimizer, seconds_of
from maas_jupyter.optimization.original import Original

#: A method is not expected to take more or less than it says by more than this.
_MOST_FACTOR = 5.0
#: A method that says that it takes no time is expected to take so many seconds.
_LEAST_SECONDS = 0.1


class Budget:
    """A time that begins now.

    Parameters
    ----------
    seconds : float or None
        Without a bound where None.

    Attributes
    ----------
    started : float
        By ``time.monotonic``.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.started = time.monotonic()
        self._factors: list[float] = []

    @property
    def used(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds that are left of it."""
        return float("inf") if self.seconds is None else self.seconds - self.used

    def note(self, optimizer: Optimizer, original: Original, seconds: float) -> None:
        """Remember how long a method took."""
        self._factors.append(seconds / max(seconds_of(optimizer, original), _LEAST_SECONDS))

    def expected(self, optimizer: Optimizer, original: Original) -> float:
        """Return how long a method should take: as much more or less than it says as those before did."""
        factor = statistics.median(self._factors) if self._factors else 1.0
        factor = min(max(factor, 1 / _MOST_FACTOR), _MOST_FACTOR)
        return factor * max(seconds_of(optimizer, original), _LEAST_SECONDS)
