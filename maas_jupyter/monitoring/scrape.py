"""The model server's Prometheus text, as counts per model and version and as what ``%maas metrics`` shows."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from maas_jupyter.errors import counted
from maas_jupyter.monitoring.rows import ShadowCounts
from maas_jupyter.plugins import Displayed
from maas_jupyter.schema import VersionStatus

REQUESTS = "maas_requests_total"
DURATION = "maas_request_duration_seconds"
SHADOW = "maas_shadow_requests_total"
DEPARTED = "maas_departed_requests_total"
MEMORY = "maas_process_resident_memory_bytes"
START = "maas_process_start_time_seconds"
#: So many versions are shown that serve no more.
_SHOWN_GONE = 5
_WANTED = (REQUESTS, f"{DURATION}_bucket", f"{DURATION}_sum", f"{DURATION}_count", SHADOW, DEPARTED, MEMORY, START)


@dataclass
class VersionCounts:
    """What the counters of one version, or of several together, say at one moment.

    Attributes
    ----------
    by_code : Counter of str
        Requests per HTTP status code.
    buckets : Counter of float
        Request durations: upper bound in seconds -> requests that took at most that long. The last bound is infinity.
    duration_sum : float
        Seconds spent in requests.
    duration_count : int
        Requests whose duration is known.
    shadow : Counter of str
        Copies of others' requests that it got, per outcome.
    """

    by_code: Counter[str] = field(default_factory=Counter)
    buckets: Counter[float] = field(default_factory=Counter)
    duration_sum: float = 0.0
    duration_count: int = 0
    shadow: Counter[str] = field(default_factory=Counter)

    @staticmethod
    def summed(parts: Iterable[VersionCounts]) -> VersionCounts:
        """Return the sum over versions."""
        whole = VersionCounts()
        for part in parts:
            # Not the plus of Counter: that drops the empty buckets, which say where the first one with requests starts.
            whole.by_code.update(part.by_code)
            whole.buckets.update(part.buckets)
            whole.shadow.update(part.shadow)
            whole.duration_sum += part.duration_sum
            whole.duration_count += part.duration_count
        return whole

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

    @property
    def copies(self) -> ShadowCounts:
        """What became of the copies that it got as a shadow."""
        outcomes = self.shadow
        return ShadowCounts(
            compared=outcomes["agree"] + outcomes["disagree"],
            disagreed=outcomes["disagree"],
            failed=outcomes["failed"],
            dropped=outcomes["dropped"],
        )

    def quantile_ms(self, q: float) -> float | None:
        """Estimate a quantile of the latency in milliseconds; None without requests."""
        return milliseconds(histogram_quantile(q, self.buckets))

    def grown_from(self, earlier: VersionCounts) -> bool:
        """Say whether nothing became smaller."""
        return earlier.by_code <= self.by_code and earlier.buckets <= self.buckets

    def since(self, earlier: VersionCounts) -> VersionCounts:
        """Return what was counted after ``earlier``."""
        new = VersionCounts(self.by_code.copy(), self.buckets.copy(), shadow=self.shadow.copy())
        new.by_code.subtract(earlier.by_code)
        new.buckets.subtract(earlier.buckets)
        new.shadow.subtract(earlier.shadow)
        new.duration_sum = self.duration_sum - earlier.duration_sum
        new.duration_count = self.duration_count - earlier.duration_count
        return new


class EndpointCounts(dict[str, VersionCounts]):
    """One model's counters by version; they only grow until the server restarts.

    Attributes
    ----------
    departed : Counter of str
        Requests per HTTP status code to versions that left so long ago that nothing else is known of them.
    """

    def __init__(self, *versions: Mapping[str, VersionCounts]) -> None:
        super().__init__(*versions)
        self.departed: Counter[str] = Counter()

    @property
    def whole(self) -> VersionCounts:
        """The sum over the versions."""
        return VersionCounts.summed([*self.values(), VersionCounts(self.departed)])

    def of(self, version: str) -> VersionCounts:
        """Return the counters of one version, which may have had no request yet."""
        return self.get(version) or VersionCounts()

    def since(self, earlier: EndpointCounts) -> EndpointCounts:
        """Return what was counted after ``earlier``.

        A version whose total became smaller counts from zero again: its server restarted, or it was published again
        after so long that its counters had been dropped. Everything that it has counted then is new; the others are
        looked at for themselves.
        """
        new = EndpointCounts()
        for version, counts in self.items():
            before = earlier.of(version)
            new[version] = counts.since(before) if counts.grown_from(before) else counts
        return new


@dataclass(frozen=True)
class Scrape:
    """One reading of a model server's ``/metrics``.

    Attributes
    ----------
    models : dict of str to EndpointCounts
        Counts per model.
    memory : int or None
        Resident memory of its processes in bytes.
    started : float or None
        When the first of its processes started, in epoch seconds.
    """

    models: dict[str, EndpointCounts]
    memory: int | None
    started: float | None


@dataclass(frozen=True)
class VersionMetrics:
    """What one version of an endpoint has done since its server started.

    Attributes
    ----------
    version : str
    serves : bool
        Whether it still does.
    share : float or None
        Of the traffic, as it is divided now, from 0 to 1; None where that is not known.
    requests_total, errors_total : int
    requests_per_second : float or None
        Mean since the server started.
    p50_ms, p95_ms : float or None
        Latencies in milliseconds; None without requests.
    shadow : ShadowCounts or None
        How its answers compared, for a version that gets copies of the traffic; None for any other.
    """

    version: str
    serves: bool
    share: float | None
    requests_total: int
    errors_total: int
    requests_per_second: float | None
    p50_ms: float | None
    p95_ms: float | None
    shadow: ShadowCounts | None


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
    versions: list[VersionMetrics]
    by_code: dict[str, int]
    memory_mb: float | None

    def __repr__(self) -> str:
        latency = "no latency yet" if self.p50_ms is None else f"p50 {self.p50_ms:.3g} ms, p95 {self.p95_ms:.3g} ms"
        lines = [f"{self.name}: {_answered(self)}, {latency}"]
        if len(self.versions) > 1:
            lines += map(_line, self.shown)
            lines += [f"  {self.more}"] if self.more else []
        return "\n".join(lines)

    @property
    def shown(self) -> list[VersionMetrics]:
        """The versions that serve, and the last of those that did."""
        gone = [row for row in self.versions if not row.serves]
        return [*(row for row in self.versions if row.serves), *gone[-_SHOWN_GONE:]]

    @property
    def more(self) -> str:
        """Says how many versions are not among those; empty where none is."""
        rest = len(self.versions) - len(self.shown)
        return f"and {counted(rest, 'earlier version')}" if rest else ""


def _answered(row: EndpointMetrics | VersionMetrics) -> str:
    return f"{counted(row.requests_total, 'request')}, {counted(row.errors_total, 'error')}"


def _line(row: VersionMetrics) -> str:
    words = [] if row.share is None or row.shadow else [f"{row.share:.0%} of the traffic"]
    words += [] if row.serves else ["serves no more"]
    if row.shadow:
        words += ["shadow", compared(row.shadow)]
    else:
        words += [_answered(row)]
        words += [] if row.requests_per_second is None else [f"{row.requests_per_second:.3g}/s"]
        words += [] if row.p50_ms is None else [f"p50 {row.p50_ms:.3g} ms, p95 {row.p95_ms:.3g} ms"]
    return f"  version {row.version}: {', '.join(words)}"


def compared(shadow: ShadowCounts) -> str:
    """Say in words how a shadow's answers compared."""
    words = "no answer compared yet"
    if shadow.disagreement is not None:
        words = f"{shadow.disagreed:,} of {shadow.compared:,} answers differ ({shadow.disagreement:.1%})"
    return words + (f", {shadow.failed:,} failed" if shadow.failed else "")


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
    started: float | None = None
    for family in text_string_to_metric_families(f"{lines}\n"):
        for sample in family.samples:
            if sample.name == MEMORY:
                memory = (memory or 0) + int(sample.value)
                continue
            if sample.name == START:
                started = min(sample.value, started or sample.value)
                continue
            labels = sample.labels
            if sample.name == DEPARTED:
                models.setdefault(labels["model"], EndpointCounts()).departed[labels["code"]] += int(sample.value)
                continue
            versions = models.setdefault(labels["model"], EndpointCounts())
            counts = versions.setdefault(labels["version"], VersionCounts())
            if sample.name == REQUESTS:
                counts.by_code[labels["code"]] += int(sample.value)
            elif sample.name == SHADOW:
                counts.shadow[labels["outcome"]] += int(sample.value)
            elif sample.name.endswith("_bucket"):
                counts.buckets[float(labels["le"])] += int(sample.value)
            elif sample.name.endswith("_sum"):
                counts.duration_sum += sample.value
            else:
                counts.duration_count += int(sample.value)
    return Scrape(models=models, memory=memory, started=started)


def endpoint_metrics(name: str, text: str, traffic: Sequence[VersionStatus] = ()) -> EndpointMetrics:
    """Sum up one endpoint since its server started.

    Parameters
    ----------
    name : str
        Name of the endpoint. One that has had no request yet has zeros and no latencies.
    text : str
        The body of its server's ``GET /metrics``.
    traffic : sequence of VersionStatus
        The versions that serve, in their order; those that did come after them.
    """
    reading = parse(text)
    counts = reading.models.get(name, EndpointCounts())
    whole = counts.whole
    # The clock of a server on another machine may be ahead of this one's.
    seconds = max(time.time() - reading.started, 1.0) if reading.started is not None else None
    rows = {row.version: row for row in traffic if row.version}
    weights = sum(row.weight for row in rows.values())

    def version_metrics(version: str) -> VersionMetrics:
        own, row = counts.of(version), rows.get(version)
        return VersionMetrics(
            version=version,
            serves=version in rows or not rows,
            share=row.weight / weights if row and weights else None,
            requests_total=own.requests,
            errors_total=own.errors,
            requests_per_second=own.requests / seconds if seconds else None,
            p50_ms=own.quantile_ms(0.50),
            p95_ms=own.quantile_ms(0.95),
            shadow=own.copies if row and row.shadow else None,
        )

    return EndpointMetrics(
        name=name,
        requests_total=whole.requests,
        errors_total=whole.errors,
        p50_ms=whole.quantile_ms(0.50),
        p95_ms=whole.quantile_ms(0.95),
        p99_ms=whole.quantile_ms(0.99),
        mean_ms=milliseconds(whole.duration_sum / whole.duration_count if whole.duration_count else None),
        versions=[version_metrics(version) for version in dict.fromkeys([*rows, *counts]) if version],
        by_code=dict(whole.by_code),
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
