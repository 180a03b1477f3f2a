"""What the server counts, in Prometheus' terms. One registry per app, so that two apps in a process stay apart."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Seconds: six steps in each decade from 0.1 ms to 10 s.
BUCKETS = (
    *(step * 10.0**decade for decade in range(-4, 1) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)),
    10.0,
)


class Metrics:
    """The server's counters and histograms."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = Counter(
            "maas_requests",
            "Requests by their outcome; model and version are empty where the request named none that exists.",
            ["model", "version", "protocol", "code"],
            registry=self._registry,
        )
        self._duration = Histogram(
            "maas_request_duration_seconds",
            "A request from its arrival to its encoded answer.",
            ["model", "version"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._inference = Histogram(
            "maas_inference_duration_seconds",
            "The model's own part of a request.",
            ["model", "version"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self.loaded = Gauge("maas_loaded_versions", "Versions in memory.", ["model"], registry=self._registry)
        ProcessCollector(registry=self._registry)
        # Looking a series up by its labels takes longer than counting.
        self._request_series = lru_cache(4096)(self._requests.labels)
        self._duration_series = lru_cache(4096)(self._duration.labels)
        self._inference_series = lru_cache(4096)(self._inference.labels)

    def count(self, model: str, version: str, protocol: str, code: int, seconds: float) -> None:
        """Count one request that took so many seconds."""
        self._request_series(model, version, protocol, str(code)).inc()
        self._duration_series(model, version).observe(seconds)

    def inferred(self, model: str, version: str, seconds: float) -> None:
        """Note how long a model computed."""
        self._inference_series(model, version).observe(seconds)

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
