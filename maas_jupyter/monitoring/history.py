"""The recent past of endpoints: a bounded series of samples for each, made from the differences between scrapes."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property

from maas_jupyter.monitoring.counts import UNKNOWN_CODE, EndpointCounts, VersionCounts, milliseconds
from maas_jupyter.monitoring.rows import Sample

#: Samples kept in memory for an endpoint: five minutes at two seconds.
KEPT = 150

#: Seconds between two samples in which somebody did not look all the time.
_GAP = 12.0

#: An endpoint's target and name.
Key = tuple[str, str]


@dataclass(frozen=True)
class Reading:
    """What one scrape says of an endpoint and of its server.

    Attributes
    ----------
    time : float
        When, in epoch seconds.
    counts : EndpointCounts
        The endpoint's counters.
    memory : int or None
        Resident bytes of the server.
    cpu_seconds : float or None
        Processor time of the server since it started.
    """

    time: float
    counts: EndpointCounts
    memory: int | None = None
    cpu_seconds: float | None = None

    @cached_property
    def whole(self) -> VersionCounts:
        """The counters summed over the versions."""
        return self.counts.whole

    def sample_since(self, earlier: Reading) -> Sample:
        """Return what happened after an earlier reading."""
        seconds = self.time - earlier.time
        cpu = cores(earlier.cpu_seconds, self.cpu_seconds, seconds)
        return sample_of(self.time, seconds, self.counts.since(earlier.counts), self.memory, cpu)


def cores(before: float | None, after: float | None, seconds: float) -> float | None:
    """Return how many cores were used between two readings of processor time; None where one is not known."""
    if before is None or after is None:
        return None
    # Less than before: the server was started again meanwhile.
    used = after - before if after >= before else after
    return round(used / seconds, 4)


def sample_of(time: float, seconds: float, new: EndpointCounts, memory: int | None, cpu: float | None) -> Sample:
    """Return what was counted in so many seconds as a sample."""
    whole = new.whole
    return Sample(
        time=round(time, 3),
        requests_per_second=_rate(whole.requests, seconds),
        errors_per_second=_rate(whole.errors, seconds),
        p50_ms=whole.quantile_ms(0.50),
        p95_ms=whole.quantile_ms(0.95),
        p99_ms=whole.quantile_ms(0.99),
        waiting=whole.waiting,
        batch_rows=round(whole.rows / whole.runs, 2) if whole.runs > 0 else None,
        memory=memory,
        cpu=cpu,
        versions={version: _rate(each.requests, seconds) for version, each in new.items() if each.requests},
        codes={code: _rate(count, seconds) for code, count in whole.by_code.items() if count and code != UNKNOWN_CODE},
        mean_ms=milliseconds(whole.duration_sum / whole.duration_count) if whole.duration_count > 0 else None,
    )


@dataclass
class _Series:
    newest: Reading
    samples: deque[tuple[int, Sample]] = field(default_factory=lambda: deque(maxlen=KEPT))


_NOTHING = Reading(0.0, EndpointCounts())


class History:
    """Samples of every watched endpoint. A sample's id is larger than that of every sample taken before it."""

    def __init__(self) -> None:
        self._series: dict[Key, _Series] = {}
        self.newest_id = 0

    def add(self, key: Key, reading: Reading) -> Sample | None:
        """Add a reading and return the sample that it makes; None for the first one of an endpoint.

        The first one is only the base of the next: what was counted before it has no known time.

        Parameters
        ----------
        key : (str, str)
            The endpoint's target and name.
        reading : Reading
            One that is not later than the one before (the clock was set back) becomes the new base.
        """
        series = self._series.get(key)
        if series is None:
            self._series[key] = _Series(reading)
            return None
        before, series.newest = series.newest, reading
        if reading.time <= before.time:
            # Samples of a time that is still to come would stand before those that are taken now.
            while reading.time < before.time and series.samples and series.samples[-1][1].time > reading.time:
                series.samples.pop()
            return None
        self.newest_id += 1
        sample = reading.sample_since(before)
        series.samples.append((self.newest_id, sample))
        return sample

    def unbroken(self, key: Key) -> list[Sample]:
        """Return an endpoint's newest samples, oldest first, as far back as somebody looked all the time."""
        samples = self.samples(key)
        return samples[_unbroken_from([sample.time for sample in samples]) :]

    def keep(self, keys: Collection[Key]) -> None:
        """Forget every endpoint that is not among ``keys``."""
        self._series = {key: series for key, series in self._series.items() if key in keys}

    def newest(self, key: Key) -> Reading:
        """Return an endpoint's last reading; an empty one before the first."""
        series = self._series.get(key)
        return series.newest if series else _NOTHING

    def samples(self, key: Key, after: int = 0) -> list[Sample]:
        """Return an endpoint's samples with an id above ``after``, oldest first."""
        series = self._series.get(key)
        if series is None:
            return []
        newer = []
        for number, sample in reversed(series.samples):
            if number <= after:
                break
            newer.append(sample)
        return newer[::-1]


def _unbroken_from(times: list[float]) -> int:
    """Return the index from which on nothing is missing."""
    for index in range(len(times) - 1, 0, -1):
        if times[index] - times[index - 1] > _GAP:
            return index
    return 0


class Minutes:
    """One sample for each minute that an endpoint was watched."""

    def __init__(self) -> None:
        self._bases: dict[Key, Reading] = {}

    def add(self, key: Key, reading: Reading) -> Sample | None:
        """Add a reading; return the sample of the minute that it ends, if it ends one."""
        base = self._bases.get(key)
        if base is None or reading.time <= base.time:
            self._bases[key] = reading
            return None
        if reading.time // 60 == base.time // 60:
            return None
        self._bases[key] = reading
        return reading.sample_since(base)

    def keep(self, keys: Collection[Key]) -> None:
        """Forget every endpoint that is not among ``keys``."""
        self._bases = {key: base for key, base in self._bases.items() if key in keys}


def _rate(count: int, seconds: float) -> float:
    return round(count / seconds, 3)
