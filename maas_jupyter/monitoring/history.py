"""The recent past of endpoints: a bounded series of samples for each, made from the differences between scrapes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from maas_jupyter.monitoring.rows import Sample
from maas_jupyter.monitoring.scrape import EndpointCounts, VersionCounts

#: Samples kept for an endpoint: five minutes at two seconds.
KEPT = 150

#: An endpoint's target and name.
Key = tuple[str, str]


@dataclass
class _Series:
    time: float
    counts: EndpointCounts
    samples: deque[tuple[int, Sample]] = field(default_factory=lambda: deque(maxlen=KEPT))
    rates: dict[str, float] = field(default_factory=dict)


class History:
    """Samples of every watched endpoint. A sample's id is larger than that of every sample taken before it."""

    def __init__(self) -> None:
        self._series: dict[Key, _Series] = {}
        self.newest_id = 0

    def add(self, key: Key, time: float, counts: EndpointCounts) -> None:
        """Add a scrape.

        The first one of an endpoint is only the base of the next: what was counted before it has no known time.

        Parameters
        ----------
        key : (str, str)
            The endpoint's target and name.
        time : float
            When it was scraped, in epoch seconds. A scrape that is not later than the one before (the clock was set
            back) becomes the new base.
        counts : EndpointCounts
            What its counters say.
        """
        series = self._series.get(key)
        if series is None:
            self._series[key] = _Series(time, counts)
            return
        seconds = time - series.time
        if seconds > 0:
            self.newest_id += 1
            new = counts.since(series.counts)
            series.samples.append((self.newest_id, _sample(time, seconds, new.whole)))
            series.rates = {version: _rate(each.requests, seconds) for version, each in new.items()}
        series.time, series.counts = time, counts

    def keep(self, keys: Collection[Key]) -> None:
        """Forget every endpoint that is not among ``keys``."""
        self._series = {key: series for key, series in self._series.items() if key in keys}

    def counts(self, key: Key) -> EndpointCounts:
        """Return an endpoint's counters as last seen."""
        series = self._series.get(key)
        return series.counts if series else EndpointCounts()

    def rates(self, key: Key) -> dict[str, float] | None:
        """Return the requests per second of each version between the last two scrapes; None before the second one."""
        series = self._series.get(key)
        return series.rates if series and series.samples else None

    def samples(self, key: Key, after: int = 0) -> list[Sample]:
        """Return an endpoint's samples with an id above ``after``, oldest first."""
        series = self._series.get(key)
        return [sample for number, sample in series.samples if number > after] if series else []


def _sample(time: float, seconds: float, new: VersionCounts) -> Sample:
    return Sample(
        time=round(time, 3),
        requests_per_second=_rate(new.requests, seconds),
        errors_per_second=_rate(new.errors, seconds),
        p50_ms=new.quantile_ms(0.50),
        p95_ms=new.quantile_ms(0.95),
    )


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3)
