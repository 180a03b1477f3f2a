"""How fast a training is, how long it will take, and the memory it needs."""

from __future__ import annotations

import time
from collections import deque

import psutil
import torch

from maas_jupyter.runs import RunState

_RATE_SECONDS = 3.0


class Meter:
    """Fills in the seconds, rates and memory of a state.

    Parameters
    ----------
    state : RunState
        The seconds of a resumed run go on from those it has.
    device : torch.device
    """

    def __init__(self, state: RunState, device: torch.device) -> None:
        self._state, self._device = state, device
        self._process = psutil.Process()
        self._seen: deque[tuple[float, int]] = deque()
        self._began = time.perf_counter() - state.seconds
        self._pace_from: tuple[float, float] | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)

    def measure(self) -> None:
        """Measure now: rows a second of the last seconds, the rest by what was needed so far, the memory's peak."""
        state, seen, now = self._state, self._seen, time.perf_counter()
        state.seconds, state.updated = now - self._began, time.time()
        seen.append((now, state.rows))
        while len(seen) > 2 and now - seen[1][0] >= _RATE_SECONDS:
            seen.popleft()
        if state.rows > seen[0][1]:
            # Where rows are being validated, the rate before stays.
            state.rows_per_second = (state.rows - seen[0][1]) / (now - seen[0][0])
        done = state.fraction
        if self._pace_from is None and done > 0:
            # The first step warms up: what follows it says how fast the others are.
            self._pace_from = (now, done)
        began, at = self._pace_from or (now, done)
        going_on = state.status == "training" and done > at
        state.remaining = (now - began) * (1 - done) / (done - at) if going_on else None
        if self._device.type == "cuda":
            state.memory = torch.cuda.max_memory_allocated(self._device)
        else:
            state.memory = max(state.memory or 0, self._process.memory_info().rss)
