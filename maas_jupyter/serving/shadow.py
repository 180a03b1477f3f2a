"""Shadow traffic: copies of answered requests, run on another version, compared and counted, never returned."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from maas_jupyter.errors import NotFound, TooManyRequests, Unavailable
from maas_jupyter.serving.counts import Served, ShadowOutcome
from maas_jupyter.serving.metrics import Metrics

if TYPE_CHECKING:
    from maas_jupyter.serving.repository import LoadedVersion, ModelRepository

#: How much floating-point outputs may differ.
RELATIVE_TOLERANCE = 1e-3
ABSOLUTE_TOLERANCE = 1e-5
#: Copies that wait; they hold their inputs, so not many.
QUEUE = 4
#: After so many passes of the event loop without a request, none is on its way through it.
_QUIET_PASSES = 3

Arrays = dict[str, np.ndarray]

log = logging.getLogger(__name__)


class Copy(NamedTuple):
    """An answered request: who answered, its validated inputs, and all outputs."""

    model: str
    live: LoadedVersion
    shadow: str
    inputs: Arrays
    outputs: Arrays


class Shadow:
    """Runs copies one at a time, in a thread, while no request is on its way.

    Parameters
    ----------
    repository : ModelRepository
        Where the shadow versions are.
    metrics : Metrics
        Where outcomes are counted.
    started : callable
        Returns how many requests were begun so far.
    """

    def __init__(self, repository: ModelRepository, metrics: Metrics, started: Callable[[], int]) -> None:
        self._repository = repository
        self._metrics = metrics
        self._started = started
        self._waiting: deque[Copy] = deque()
        self._work: asyncio.Task[None] | None = None
        self._failing: set[Served] = set()

    def offer(self, copy: Copy) -> None:
        """Take a copy, or drop it where too much is to be done."""
        if len(self._waiting) >= QUEUE or copy.live.batcher.depth:
            self._metrics.shadowed(copy.model, copy.shadow, "dropped")
            return
        self._waiting.append(copy)
        if self._work is None:
            self._work = asyncio.create_task(self._run_all())

    async def _run_all(self) -> None:
        try:
            while self._waiting:
                await self._quiet()
                copy = self._waiting.popleft()
                self._metrics.shadowed(copy.model, copy.shadow, await self._run(copy))
        finally:
            self._work = None

    async def _quiet(self) -> None:
        before = -1
        while before != self._started():
            before = self._started()
            for _ in range(_QUIET_PASSES):
                await asyncio.sleep(0)

    async def _run(self, copy: Copy) -> ShadowOutcome:
        served = (copy.model, copy.shadow)
        try:
            shadow = self._repository.router(copy.model).pick(copy.shadow)
        except (NotFound, Unavailable):
            return "dropped"  # the traffic was changed meanwhile
        if copy.live.batcher.depth:
            return "dropped"
        shadow.enter()
        try:
            outputs = await shadow.batcher.infer_aside(copy.inputs, shadow.validate(copy.inputs))
            same = await asyncio.to_thread(agree, copy.outputs, outputs)
        except TooManyRequests:
            return "dropped"
        except Exception as error:
            if served not in self._failing:  # once, not for every request
                self._failing.add(served)
                log.warning("the shadow %s of model %s fails", copy.shadow, copy.model, exc_info=error)
            return "failed"
        finally:
            shadow.leave()
        self._failing.discard(served)
        return "agree" if same else "disagree"


def agree(live: Arrays, shadow: Arrays) -> bool:
    """Compare two versions' outputs.

    Parameters
    ----------
    live, shadow : dict of str to ndarray
        All outputs by name.

    Returns
    -------
    bool
        Where there are labels or other exact values: whether those are equal. Otherwise whether all numbers are within
        `RELATIVE_TOLERANCE` and `ABSOLUTE_TOLERANCE`.
    """
    if live.keys() != shadow.keys() or any(live[name].shape != shadow[name].shape for name in live):
        return False
    exact = [name for name, array in live.items() if array.dtype.kind != "f"]
    if exact:
        return all(np.array_equal(live[name], shadow[name]) for name in exact)
    return all(
        np.allclose(shadow[name], live[name], rtol=RELATIVE_TOLERANCE, atol=ABSOLUTE_TOLERANCE, equal_nan=True)
        for name in live
    )
