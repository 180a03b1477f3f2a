"""What ``%maas metrics`` shows: an endpoint's counts and latencies since its server started."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from maas_jupyter.errors import counted
from maas_jupyter.monitoring.counts import EndpointCounts, milliseconds
from maas_jupyter.monitoring.rows import ShadowCounts
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.plugins import Displayed
from maas_jupyter.schema import VersionStatus

#: So many versions are shown that serve no more.
_SHOWN_GONE = 5


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
