"""What the server counts, in Prometheus' terms. One registry per app, so that two apps in a process stay apart.

Counting happens with every request, looking every few seconds; so the counts are plain numbers, which become
prometheus-client's families when they are looked at.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Seconds: six steps in each decade from 0.1 ms to 10 s.
BUCKETS = (
    *(step * 10.0**decade for decade in range(-4, 1) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)),
    10.0,
)
_BOUNDS = [*(floatToGoString(bound) for bound in BUCKETS), "+Inf"]


class Durations:
    """A histogram of one series, in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * len(_BOUNDS)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.total += seconds

    def cumulative(self) -> list[tuple[str, float]]:
        """Return each bound with the number of durations up to it."""
        found: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip(_BOUNDS, self.counts, strict=True):
            below += count
            found.append((bound, below))
        return found


class Metrics(Collector):
    """The server's counters and histograms; everything is counted on the event loop's thread."""

    def __init__(self) -> None:
        self._requests: defaultdict[tuple[str, str, str, int], int] = defaultdict(int)
        self._request_seconds: defaultdict[tuple[str, str], Durations] = defaultdict(Durations)
        self._inference_seconds: defaultdict[tuple[str, str], Durations] = defaultdict(Durations)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self.loaded = Gauge("maas_loaded_versions", "Versions in memory.", ["model"], registry=self._registry)
        ProcessCollector(registry=self._registry)

    def count(self, model: str, version: str, protocol: str, code: int, seconds: float) -> None:
        """Count one request that took so many seconds."""
        self._requests[model, version, protocol, code] += 1
        self._request_seconds[model, version].add(seconds)

    def inferred(self, model: str, version: str, seconds: float) -> None:
        """Note how long a model computed."""
        self._inference_seconds[model, version].add(seconds)

    def collect(self) -> Iterator[Metric]:
        """Give the counts to prometheus-client."""
        requests = CounterMetricFamily(
            "maas_requests",
            "Requests by their outcome; model and version are empty where the request named none that exists.",
            labels=["model", "version", "protocol", "code"],
        )
        for (model, version, protocol, code), count in self._requests.items():
            requests.add_metric([model, version, protocol, str(code)], count)
        yield requests
        for name, text, series in (
            ("maas_request_duration_seconds", "A request from its arrival to its answer.", self._request_seconds),
            ("maas_inference_duration_seconds", "The model's own part of a request.", self._inference_seconds),
        ):
            family = HistogramMetricFamily(name, text, labels=["model", "version"])
            for (model, version), durations in series.items():
                family.add_metric([model, version], durations.cumulative(), durations.total)
            yield family

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
