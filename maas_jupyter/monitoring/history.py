"""The recent past of endpoints: a bounded series of samples for each, made from the differences between scrapes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field

from maas_jupyter.monitoring.scrape import EndpointCounts, histogram_quantile, milliseconds
from maas_jupyter.schema import Sample

#: Samples kept for an endpoint: five minutes at two seconds.
KEPT = 150

#: An endpoint's target and name.
Key = tuple[str, str]


@dataclass
class _Series:
    time: float
    counts: EndpointCounts
    samples: deque[tuple[int, Sample]] = field(default_factory=lambda: deque(maxlen=KEPT))


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
            series.samples.append((self.newest_id, _sample(time, seconds, counts.since(series.counts))))
        series.time, series.counts = time, counts

    def keep(self, keys: Collection[Key]) -> None:
        """Forget every endpoint that is not among ``keys``."""
        self._series = {key: series for key, series in self._series.items() if key in keys}

    def counts(self, key: Key) -> EndpointCounts:
        """Return an endpoint's counters as last seen."""
        series = self._series.get(key)
        return series.counts if series else EndpointCounts()

    def samples(self, key: Key, after: int = 0) -> list[Sample]:
        """Return an endpoint's samples with an id above ``after``, oldest first."""
        series = self._series.get(key)
        return [sample for number, sample in series.samples if number > after] if series else []


def _sample(time: float, seconds: float, new: EndpointCounts) -> Sample:
    return Sample(
        time=round(time, 3),
        requests_per_second=round(new.requests / seconds, 3),
        errors_per_second=round(new.errors / seconds, 3),
        p50_ms=milliseconds(histogram_quantile(0.50, new.buckets)),
        p95_ms=milliseconds(histogram_quantile(0.95, new.buckets)),
    )
