"""Counting: with every request, so in plain numbers; what Prometheus reads is made of them when somebody looks."""

from __future__ import annotations

import time

from maas_jupyter.serving.counts import ROWS, SECONDS, Counts, Histogram, Served, ShadowOutcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meter:
    """Counts the runs of one version."""

    __slots__ = ("_counts", "_served")

    def __init__(self, counts: Counts, served: Served) -> None:
        self._counts = counts
        self._served = served
        # What is not counted yet is 0, not unknown.
        for histograms, bounds in (
            (counts.queue_seconds, SECONDS),
            (counts.inference_seconds, SECONDS),
            (counts.batch_rows, ROWS),
        ):
            _histogram_of(histograms, served, bounds)

    def waited(self, seconds: float) -> None:
        """Count how long one request waited for its run."""
        # Looked up each time: what was counted of a version is dropped while it is gone.
        _histogram_of(self._counts.queue_seconds, self._served, SECONDS).add(SECONDS, seconds)

    def ran(self, rows: int, seconds: float) -> None:
        """Count one run: how many rows it had and how long it took."""
        counts, served = self._counts, self._served
        _histogram_of(counts.inference_seconds, served, SECONDS).add(SECONDS, seconds)
        _histogram_of(counts.batch_rows, served, ROWS).add(ROWS, rows)
        counts.last_inference[served] = time.time()


class Metrics:
    """One worker's counters; everything is counted on the event loop's thread."""

    def __init__(self) -> None:
        self.counts = Counts()

    def count(self, model: str, version: str, protocol: str, code: int, principal: str, seconds: float) -> None:
        """Count one request that took so many seconds."""
        counts = self.counts
        key = (model, version, protocol, code)
        counts.requests[key] = counts.requests.get(key, 0) + 1
        counts.principals[principal] = counts.principals.get(principal, 0) + 1
        served = (model, version)
        _histogram_of(counts.request_seconds, served, SECONDS).add(SECONDS, seconds)
        if code != 200:
            counts.failed_seconds[served] = counts.failed_seconds.get(served, 0.0) + seconds

    def meter(self, model: str, version: str) -> Meter:
        """Return what counts the runs of one version."""
        return Meter(self.counts, (model, version))

    def shadowed(self, model: str, version: str, outcome: ShadowOutcome) -> None:
        """Count what became of one copy for a shadow version."""
        key = (model, version, outcome)
        self.counts.shadow[key] = self.counts.shadow.get(key, 0) + 1


def _histogram_of(histograms: dict[Served, Histogram], served: Served, bounds: tuple[float, ...]) -> Histogram:
    histogram = histograms.get(served)
    if histogram is None:
        histogram = histograms[served] = Histogram.over(bounds)
    return histogram


def render(counts: Counts) -> bytes:
    """Return counts in Prometheus' text format."""
    # Most workers are never asked, and a worker that is to be there soon imports nothing that it may not need.
    from maas_jupyter.serving.families import text

    return text(counts)
