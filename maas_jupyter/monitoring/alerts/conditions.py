"""Whether what a rule watches for is the case, over the last minute of an endpoint."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise

from maas_jupyter.monitoring.alerts.rules import WINDOW, Rule
from maas_jupyter.monitoring.counts import VersionCounts
from maas_jupyter.monitoring.history import Key, Reading
from maas_jupyter.monitoring.rows import EndpointRow

_DOWN = ("unavailable", "stopped", "failed")


@dataclass(frozen=True)
class Finding:
    """What was found of a rule's condition.

    Attributes
    ----------
    holds : bool or None
        None where it is not known yet.
    value : float or None
        What was compared with the threshold.
    reason : str
        Why the endpoint is down.
    """

    holds: bool | None
    value: float | None = None
    reason: str = ""


class Windows:
    """The readings of the last minute of the endpoints that have rules."""

    def __init__(self) -> None:
        # Each with whether its counters had only grown since the one before.
        self._readings: dict[Key, deque[tuple[Reading, bool]]] = {}

    def add(self, key: Key, reading: Reading) -> None:
        """Add a reading; where the clock was set back, it is the first of a new window."""
        readings = self._readings.setdefault(key, deque())
        if readings and reading.time <= readings[-1][0].time:
            readings.clear()
        readings.append((reading, not readings or reading.counts.grown_from(readings[-1][0].counts)))
        # The one that the window begins with may be older than it, as of a watcher that looks once in an hour.
        while len(readings) > 2 and readings[1][0].time <= reading.time - WINDOW:
            readings.popleft()

    def keep(self, keys: Collection[Key]) -> None:
        """Forget every endpoint that is not among ``keys``."""
        self._readings = {key: readings for key, readings in self._readings.items() if key in keys}

    def forget(self, key: Key) -> None:
        """Begin a new window for an endpoint, whose readings were interrupted."""
        self._readings.pop(key, None)

    def counted(self, key: Key) -> VersionCounts | None:
        """Return what was counted in the window; None before there are two readings."""
        readings = self._readings.get(key)
        if readings is None or len(readings) < 2:
            return None
        counted, base = [], readings[0][0].counts
        for (before, _), (after, grown) in pairwise(readings):
            # What was counted before a server started again would be lost between the first reading and the last.
            if not grown:
                counted += [before.counts.since(base).whole, after.counts.since(before.counts).whole]
                base = after.counts
        newest = readings[-1][0].counts.since(base).whole
        return VersionCounts.summed([*counted, newest]) if counted else newest


def find(rule: Rule, rows: Mapping[Key, EndpointRow], counted: VersionCounts | None) -> Finding:
    """Find out whether a rule's condition holds.

    Parameters
    ----------
    rule : Rule
    rows : mapping of (str, str) to EndpointRow
        All endpoints that there are now, by target and name.
    counted : VersionCounts or None
        What the endpoint counted in the window.
    """
    row = rows.get((rule.target, rule.name))
    # A target that does not answer, and whose endpoints are not known, has one row for all.
    every = rows.get((rule.target, "*"))
    down = row is None or row.state in _DOWN
    if rule.kind == "endpoint_down":
        return Finding(down, reason=(row or every).reason if row or every else "")  # type: ignore[union-attr]
    if down:
        # As in Prometheus: what is not measured is neither above nor below; what is down has no traffic.
        return Finding(rule.kind == "no_traffic", 0.0 if rule.kind == "no_traffic" else None)
    if counted is None:
        return Finding(None)
    if rule.kind == "no_traffic":
        return Finding(counted.requests == 0, float(counted.requests))
    if rule.kind == "p95_above":
        value = counted.quantile_ms(0.95)
    elif rule.kind == "error_rate_above":
        value = counted.errors / counted.requests if counted.requests > 0 else None
    else:
        value = counted.copies.disagreement
    return Finding(value is not None and value > (rule.threshold or 0.0), value)
