"""The model server's Prometheus text, as counts per model and as what ``%maas metrics`` shows."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from maas_jupyter.plugins import Displayed

REQUESTS = "maas_requests_total"
DURATION = "maas_request_duration_seconds"
MEMORY = "maas_process_resident_memory_bytes"
_WANTED = (REQUESTS, f"{DURATION}_bucket", f"{DURATION}_sum", f"{DURATION}_count", MEMORY)


@dataclass
class EndpointCounts:
    """What one model's counters say at one moment; all of them only grow until the server restarts.

    Attributes
    ----------
    by_version, by_code : Counter of str
        Requests per model version and per HTTP status code.
    buckets : Counter of float
        Request durations: upper bound in seconds -> requests that took at most that long, summed over versions. The
        last bound is infinity.
    duration_sum : float
        Seconds spent in requests.
    duration_count : int
        Requests whose duration is known.
    """

    by_version: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    buckets: Counter[float] = field(default_factory=Counter)
    duration_sum: float = 0.0
    duration_count: int = 0

    @property
    def requests(self) -> int:
        """Requests answered, whatever the answer."""
        return self.by_code.total()

    @property
    def client_errors(self) -> int:
        """Requests answered with 4xx: the request was wrong."""
        return sum(count for code, count in self.by_code.items() if 400 <= int(code) < 500)

    @property
    def server_errors(self) -> int:
        """Requests answered with 5xx: the server failed."""
        return sum(count for code, count in self.by_code.items() if int(code) >= 500)

    @property
    def errors(self) -> int:
        """Requests that brought their client no result: 4xx and 5xx."""
        return self.client_errors + self.server_errors

    def since(self, earlier: EndpointCounts) -> EndpointCounts:
        """Return what was counted after ``earlier``.

        A total that became smaller means that the server restarted and counts from zero again; everything that it has
        counted then is new.
        """
        grown = (
            earlier.by_version <= self.by_version
            and earlier.by_code <= self.by_code
            and earlier.buckets <= self.buckets
        )
        if not grown:
            return self
        # Not the minus of Counter: that drops the empty buckets, which say where the first one with requests starts.
        new = EndpointCounts(self.by_version.copy(), self.by_code.copy(), self.buckets.copy())
        new.by_version.subtract(earlier.by_version)
        new.by_code.subtract(earlier.by_code)
        new.buckets.subtract(earlier.buckets)
        new.duration_sum = self.duration_sum - earlier.duration_sum
        new.duration_count = self.duration_count - earlier.duration_count
        return new


@dataclass(frozen=True)
class Scrape:
    """One reading of a model server's ``/metrics``: counts per model, and its processes' resident memory in bytes."""

    models: dict[str, EndpointCounts]
    memory: int | None


@dataclass(frozen=True, repr=False)
class EndpointMetrics(Displayed):
    """What one endpoint has done since its server started. Latencies in milliseconds, null without requests."""

    name: str
    requests_total: int
    errors_total: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    mean_ms: float | None
    by_version: dict[str, int]
    by_code: dict[str, int]
    memory_mb: float | None

    def __repr__(self) -> str:
        latency = "no latency yet" if self.p50_ms is None else f"p50 {self.p50_ms:.3g} ms, p95 {self.p95_ms:.3g} ms"
        return f"{self.name}: {self.requests_total} requests, {self.errors_total} errors, {latency}"


def parse(text: str) -> Scrape:
    """Read a model server's Prometheus text.

    Parameters
    ----------
    text : str
        The body of ``GET /metrics``. Series that are not ours are passed over.

    Raises
    ------
    ValueError
        If the text is not in the Prometheus text format.
    """
    from prometheus_client.parser import text_string_to_metric_families

    # The parser costs about 20 us a line, and most lines of a large server are not looked at.
    lines = "\n".join(line for line in text.splitlines() if line.startswith(_WANTED))
    models: dict[str, EndpointCounts] = {}
    memory: int | None = None
    for family in text_string_to_metric_families(f"{lines}\n"):
        for sample in family.samples:
            if sample.name == MEMORY:
                memory = (memory or 0) + int(sample.value)
                continue
            labels = sample.labels
            counts = models.setdefault(labels["model"], EndpointCounts())
            if sample.name == REQUESTS:
                counts.by_code[labels["code"]] += int(sample.value)
                counts.by_version[labels["version"]] += int(sample.value)
            elif sample.name.endswith("_bucket"):
                counts.buckets[float(labels["le"])] += int(sample.value)
            elif sample.name.endswith("_sum"):
                counts.duration_sum += sample.value
            else:
                counts.duration_count += int(sample.value)
    return Scrape(models=models, memory=memory)


def endpoint_metrics(name: str, text: str) -> EndpointMetrics:
    """Sum up one endpoint since its server started.

    Parameters
    ----------
    name : str
        Name of the endpoint. One that has had no request yet has zeros and no latencies.
    text : str
        The body of its server's ``GET /metrics``.
    """
    reading = parse(text)
    counts = reading.models.get(name, EndpointCounts())
    return EndpointMetrics(
        name=name,
        requests_total=counts.requests,
        errors_total=counts.errors,
        p50_ms=milliseconds(histogram_quantile(0.50, counts.buckets)),
        p95_ms=milliseconds(histogram_quantile(0.95, counts.buckets)),
        p99_ms=milliseconds(histogram_quantile(0.99, counts.buckets)),
        mean_ms=milliseconds(counts.duration_sum / counts.duration_count if counts.duration_count else None),
        by_version=dict(counts.by_version),
        by_code=dict(counts.by_code),
        memory_mb=None if reading.memory is None else reading.memory / 1e6,
    )


def histogram_quantile(q: float, buckets: Mapping[float, int]) -> float | None:
    """Estimate a quantile from cumulative buckets, as Prometheus' function of the same name does.

    The values of a bucket are taken as spread evenly over it (linear interpolation), the lowest bucket as starting at
    zero; a quantile that falls into the bucket without an upper bound is that bucket's lower bound. Source: the
    Prometheus documentation, "Query functions", ``histogram_quantile()``, for classic histograms.

    Parameters
    ----------
    q : float
        The quantile, from 0 to 1.
    buckets : mapping of float to int
        Upper bound -> number of values at or below it; the bounds are positive and one of them is infinity.

    Returns
    -------
    float or None
        The estimate in the unit of the bounds; None where nothing was counted.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"A quantile is between 0 and 1, not {q}.")
    ordered = [(0.0, 0), *sorted(buckets.items())]
    total = ordered[-1][1]
    if not total:
        return None
    rank = q * total
    for (lower, below), (upper, count) in pairwise(ordered):
        if count < rank or count == below:
            continue
        return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
    raise ValueError("The counts of the buckets are not cumulative.")


def milliseconds(seconds: float | None) -> float | None:
    """Turn seconds into milliseconds, rounded to a microsecond."""
    return None if seconds is None else round(seconds * 1e3, 3)
