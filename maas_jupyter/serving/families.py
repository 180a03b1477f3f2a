"""What the server counted, as prometheus-client's families."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from maas_jupyter.serving.counts import ROWS, SECONDS, Counts, Histogram, Served


def text(counts: Counts) -> bytes:
    """Return counts in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(counts))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        yield _family(
            CounterMetricFamily,
            "maas_requests",
            "Requests by their outcome; model and version are empty where the request named none that exists.",
            ["model", "version", "protocol", "code"],
            counts.requests,
        )
        yield _family(
            CounterMetricFamily,
            "maas_departed_requests",
            "Requests to versions that left so long ago that they have no series any more.",
            ["model", "code"],
            counts.departed,
        )
        principals = {(name,): number for name, number in counts.principals.items()}
        yield _family(
            CounterMetricFamily, "maas_principal_requests", "Requests by who asked.", ["principal"], principals
        )
        for name, text, bounds, histograms in (
            (
                "maas_request_duration_seconds",
                "A request from its arrival to its answer.",
                SECONDS,
                counts.request_seconds,
            ),
            ("maas_queue_duration_seconds", "A request's wait for its batch.", SECONDS, counts.queue_seconds),
            (
                "maas_inference_duration_seconds",
                "The model's own part of a request.",
                SECONDS,
                counts.inference_seconds,
            ),
            ("maas_batch_rows", "Rows of each run.", ROWS, counts.batch_rows),
        ):
            yield _histogram(name, text, bounds, histograms)
        yield _family(
            CounterMetricFamily,
            "maas_shadow_requests",
            "Copies for a shadow, by how its answer compared.",
            ["model", "version", "outcome"],
            counts.shadow,
        )
        yield _family(
            GaugeMetricFamily, "maas_queue_depth", "Requests that wait.", ["model", "version"], counts.queue_depth
        )
        loaded = {(name,): number for name, number in counts.loaded.items()}
        yield _family(GaugeMetricFamily, "maas_loaded_versions", "Versions in memory.", ["model"], loaded)
        for name, text, value in (
            ("maas_process_resident_memory_bytes", "Resident memory.", lambda process: process.resident_bytes),
            ("maas_process_cpu_seconds_total", "Processor time.", lambda process: process.cpu_seconds),
            ("maas_process_open_fds", "Open files.", lambda process: process.open_files),
            ("maas_process_start_time_seconds", "Start.", lambda process: process.started),
        ):
            rows = {(process.role, str(process.pid)): value(process) for process in counts.processes}
            kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
            yield _family(kind, name.removesuffix("_total"), text, ["role", "pid"], rows)


def _family(kind: type[Any], name: str, text: str, labels: list[str], rows: Mapping[Any, float]) -> Metric:
    family = kind(name, text, labels=labels)
    for key, value in rows.items():
        family.add_metric([str(part) for part in key], value)
    return family


def _histogram(name: str, text: str, bounds: tuple[float, ...], histograms: dict[Served, Histogram]) -> Metric:
    family = HistogramMetricFamily(name, text, labels=["model", "version"])
    texts = [*(floatToGoString(bound) for bound in bounds), "+Inf"]
    for (model, version), histogram in histograms.items():
        below = 0
        rows = []
        for bound, number in zip(texts, histogram.buckets, strict=True):
            below += number
            rows.append((bound, below))
        family.add_metric([model, version], rows, histogram.total)
    return family
