"""What a worker counted, as plain numbers that can be sent, summed and shown. Imports nothing heavy."""

from __future__ import annotations

import contextlib
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct, field

#: Upper bounds of durations in seconds: six steps in each decade from 0.1 ms to 10 s.
SECONDS = (
    # Read, not multiplied: 7 * 0.0001 is 0.0007000000000000001.
    *(float(f"{step}e{decade}") for decade in range(-4, 1) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)),
    10.0,
)
#: Upper bounds of rows in a batch: exact up to 16.
ROWS = (*(float(rows) for rows in range(1, 17)), 24.0, 32.0, 48.0, 64.0, 96.0, 128.0, 256.0, 512.0, 1024.0)

_STARTED = time.time()


def _start() -> None:
    global _STARTED
    _STARTED = time.time()


os.register_at_fork(after_in_child=_start)

#: Model and version.
Served = tuple[str, str]
ShadowOutcome = Literal["agree", "disagree", "dropped", "failed"]


class Histogram(Struct, array_like=True):
    """Numbers by bucket (the last one without an upper bound) and their sum."""

    buckets: list[int]
    total: float = 0.0

    @staticmethod
    def over(bounds: tuple[float, ...]) -> Histogram:
        """Return an empty one."""
        return Histogram([0] * (len(bounds) + 1))

    def add(self, bounds: tuple[float, ...], value: float) -> None:
        """Count one value."""
        self.buckets[bisect_left(bounds, value)] += 1
        self.total += value

    def plus(self, other: Histogram) -> Histogram:
        """Return the sum of both."""
        pairs = zip(self.buckets, other.buckets, strict=True)
        return Histogram([mine + theirs for mine, theirs in pairs], self.total + other.total)

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.buckets)


class ProcessFigures(Struct, frozen=True):
    """One process of the server: resident bytes, processor seconds, open files, and its start in epoch seconds."""

    role: Literal["supervisor", "worker"]
    pid: int
    resident_bytes: int
    cpu_seconds: float
    open_files: int
    started: float

    @staticmethod
    def of_this(role: Literal["supervisor", "worker"]) -> ProcessFigures:
        """Measure this process; resident memory and open files are 0 where the system does not tell them."""
        resident = open_files = 0
        proc = Path("/proc/self")
        # No /proc here, or this process has no descriptors left.
        with contextlib.suppress(OSError):
            resident = int((proc / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            open_files = sum(1 for _ in (proc / "fd").iterdir())
        return ProcessFigures(role, os.getpid(), resident, time.process_time(), open_files, _STARTED)


class Counts(Struct):
    """Everything that is counted.

    Attributes
    ----------
    requests : dict
        By model, version, protocol and HTTP code; model and version are empty where the request named none that exists.
    departed : dict
        Requests to versions that left so long ago that they have no series any more, by model and HTTP code.
    principals : dict
        Requests by who asked.
    request_seconds, queue_seconds, inference_seconds : dict
        Histograms over `SECONDS`: a request from its arrival to its answer; its wait for a batch; the run.
    batch_rows : dict
        Histograms over `ROWS`: rows of each run.
    failed_seconds : dict
        Seconds, in all, of the requests that were not answered with 200; part of ``request_seconds``.
    last_inference : dict
        Epoch seconds.
    shadow : dict
        Copies by model, shadow version and outcome.
    queue_depth : dict
        Requests that wait now.
    loaded : dict
        Versions of each model in memory; the largest number of any worker.
    processes : list of ProcessFigures
        The processes that live.
    """

    requests: dict[tuple[str, str, str, int], int] = field(default_factory=dict)
    departed: dict[tuple[str, int], int] = field(default_factory=dict)
    principals: dict[str, int] = field(default_factory=dict)
    request_seconds: dict[Served, Histogram] = field(default_factory=dict)
    queue_seconds: dict[Served, Histogram] = field(default_factory=dict)
    inference_seconds: dict[Served, Histogram] = field(default_factory=dict)
    batch_rows: dict[Served, Histogram] = field(default_factory=dict)
    failed_seconds: dict[Served, float] = field(default_factory=dict)
    last_inference: dict[Served, float] = field(default_factory=dict)
    shadow: dict[tuple[str, str, ShadowOutcome], int] = field(default_factory=dict)
    queue_depth: dict[Served, int] = field(default_factory=dict)
    loaded: dict[str, int] = field(default_factory=dict)
    processes: list[ProcessFigures] = field(default_factory=list)

    @staticmethod
    def summed(parts: Iterable[Counts]) -> Counts:
        """Return the sum over several workers."""
        whole = Counts()
        for part in parts:
            numbers: tuple[tuple[dict[Any, Any], dict[Any, Any]], ...] = (
                (whole.requests, part.requests),
                (whole.departed, part.departed),
                (whole.principals, part.principals),
                (whole.failed_seconds, part.failed_seconds),
                (whole.shadow, part.shadow),
                (whole.queue_depth, part.queue_depth),
            )
            for mine, theirs in numbers:
                for key, number in theirs.items():
                    mine[key] = mine.get(key, 0) + number
            for sums, histograms in (
                (whole.request_seconds, part.request_seconds),
                (whole.queue_seconds, part.queue_seconds),
                (whole.inference_seconds, part.inference_seconds),
                (whole.batch_rows, part.batch_rows),
            ):
                for served, histogram in histograms.items():
                    known = sums.get(served)
                    sums[served] = known.plus(histogram) if known else histogram
            for served, moment in part.last_inference.items():
                whole.last_inference[served] = max(moment, whole.last_inference.get(served, 0.0))
            for model, number in part.loaded.items():
                whole.loaded[model] = max(number, whole.loaded.get(model, 0))
            whole.processes.extend(part.processes)
        return whole

    def keep(self, has: Callable[[str, str], bool], knows: Callable[[str], bool]) -> None:
        """Drop the series of versions that left long ago, which would else grow in number for ever.

        What is kept of them is how many requests they had.

        Parameters
        ----------
        has : callable
            Says whether a version of a model has series; see `Series`.
        knows : callable
            Says whether anything is kept of a model.
        """
        for model, version, protocol, code in [key for key in self.requests if key[0] and not has(key[0], key[1])]:
            number = self.requests.pop((model, version, protocol, code))
            self.departed[model, code] = self.departed.get((model, code), 0) + number
        for key in [key for key in self.departed if not knows(key[0])]:
            del self.departed[key]
        series: tuple[dict[Any, Any], ...] = (
            self.request_seconds,
            self.queue_seconds,
            self.inference_seconds,
            self.batch_rows,
            self.failed_seconds,
            self.last_inference,
            self.shadow,
        )
        for each in series:
            for key in [key for key in each if key[0] and not has(key[0], key[1])]:
                del each[key]

    def without_gauges(self) -> Counts:
        """Return what stays true when the worker has ended: everything but queues, loaded versions and processes."""
        return Counts(
            self.requests,
            self.departed,
            self.principals,
            self.request_seconds,
            self.queue_seconds,
            self.inference_seconds,
            self.batch_rows,
            self.failed_seconds,
            self.last_inference,
            self.shadow,
        )
