"""Curves of any length in a few hundred points."""

from __future__ import annotations

from math import isfinite

from msgspec import Struct, field

#: The most points that a curve keeps; where it is reached, every second one is dropped.
MOST_POINTS = 400


class Curve(Struct):
    """A metric over a run, thinned out as it grows: memory and picture stay small for a million points.

    Attributes
    ----------
    x : list of float
        Epochs that were complete, with fractions.
    y : list of float
        Mean of the values that a point stands for.
    count : int
        How many values were added.
    last : float or None
        The newest value, whatever was thinned out.
    """

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)
    count: int = 0
    last: float | None = None
    stride: int = 1
    pending: float = 0.0
    pending_count: int = 0

    def add(self, x: float, y: float) -> None:
        """Add a value; the mean of ``stride`` of them becomes a point. NaN and infinity cannot be drawn: left out."""
        if not isfinite(y):
            return
        self.count += 1
        self.last = y
        self.pending += y
        self.pending_count += 1
        if self.pending_count < self.stride:
            return
        self.x.append(x)
        self.y.append(self.pending / self.pending_count)
        self.pending, self.pending_count = 0.0, 0
        if len(self.x) >= MOST_POINTS:
            self._halve()

    def points(self) -> list[tuple[float, float]]:
        """Return what is to be drawn."""
        # A run in the background may be between the two appends of a point.
        return list(zip(self.x, self.y, strict=False))

    def _halve(self) -> None:
        pairs = range(0, len(self.x) - 1, 2)
        self.x = [self.x[index + 1] for index in pairs]
        self.y = [(self.y[index] + self.y[index + 1]) / 2 for index in pairs]
        self.stride *= 2
