"""Runtimes whose runs a test steers: fakes at the boundary that runtimes are plugged in at."""

from __future__ import annotations

import asyncio
import threading

import numpy as np

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec

#: x FP32[-1, 2] -> y FP32[-1, 2].
ROWS = Signature([TensorSpec("x", "FP32", [-1, 2])], [TensorSpec("y", "FP32", [-1, 2])])

#: What the runtime ``fake`` is made by; set by the fixture ``runtime``.
make = None


class Doubling:
    """Doubles its input ``x``; refuses negative values; notes what it ran, where, and how long it may not answer."""

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.began = threading.Semaphore(0)
        self.runs, self.threads = [], []
        self.unloaded = False
        self.running = 0

    def load(self, folder, manifest, threads=1):
        self.outputs = [spec.name for spec in manifest.signature.outputs]

    def warm_up(self):
        threading.Event().wait(0.005)  # slow enough not to be run on the event loop

    def run(self, inputs):
        assert not self.unloaded
        self.running += 1
        assert self.running == 1, "one run at a time"
        self.runs.append(inputs["x"])
        self.threads.append(threading.get_ident())
        self.began.release()
        assert self.free.wait(30)
        self.running -= 1
        return self.compute(inputs["x"])

    def compute(self, x):
        if x.dtype.kind == "f" and (x < 0).any():
            raise InvalidInput("A value is negative.")
        return {"y": np.array([value * 2 for value in x.flat], dtype=x.dtype).reshape(x.shape)}

    def unload(self):
        assert not self.running
        self.unloaded = True

    @property
    def rows(self):
        """Rows of each run."""
        return [len(x) for x in self.runs]


class QuickDoubling(Doubling):
    """Is quick enough for the event loop's thread."""

    def warm_up(self):
        pass


class SelfBatching(Doubling):
    """Batches for itself."""

    def __init__(self):
        super().__init__()
        self.asked, self.cancelled = [], []
        self.go = asyncio.Event()

    async def infer(self, inputs):
        self.asked.append(len(inputs["x"]))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(len(inputs["x"]))
            raise
        return self.compute(inputs["x"])


class Streaming(Doubling):
    """Answers in ten parts."""

    def __init__(self):
        super().__init__()
        self.yielded, self.closed = 0, 0
        self.steps = asyncio.Semaphore(0)

    async def stream(self, inputs):
        try:
            for part in range(10):
                await self.steps.acquire()
                self.yielded += 1
                yield {"y": inputs["x"] * part}
        finally:
            self.closed += 1
