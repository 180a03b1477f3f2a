"""What an endpoint's counters say at one moment, by version, and what was counted between two moments."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from maas_jupyter.monitoring.rows import ShadowCounts

#: The code of requests whose outcome the server does not count.
UNKNOWN_CODE = "0"


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
    rows, runs : int
        Rows that the model was run on, and the runs: their ratio is the batch size.
    waiting : int
        Requests that wait for their batch now.
    """

    by_code: Counter[str] = field(default_factory=Counter)
    buckets: Counter[float] = field(default_factory=Counter)
    duration_sum: float = 0.0
    duration_count: int = 0
    shadow: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    runs: int = 0
    waiting: int = 0

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
            whole.rows += part.rows
            whole.runs += part.runs
            whole.waiting += part.waiting
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
        """Return what was counted after ``earlier``; what waits is what waits now."""
        new = VersionCounts(self.by_code.copy(), self.buckets.copy(), shadow=self.shadow.copy(), waiting=self.waiting)
        new.by_code.subtract(earlier.by_code)
        new.buckets.subtract(earlier.buckets)
        new.shadow.subtract(earlier.shadow)
        new.duration_sum = self.duration_sum - earlier.duration_sum
        new.duration_count = self.duration_count - earlier.duration_count
        new.rows = self.rows - earlier.rows
        new.runs = self.runs - earlier.runs
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

    def grown_from(self, earlier: EndpointCounts) -> bool:
        """Say whether nothing became smaller in a version that is there still."""
        return all(counts.grown_from(earlier.of(version)) for version, counts in self.items())

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
    # A server that counts below zero has counted nothing that can be told.
    if total <= 0:
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
