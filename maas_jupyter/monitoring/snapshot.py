"""What the panel shows, put together for one request: the registry's models, and endpoints with their recent past."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from maas_jupyter.errors import MaasError
from maas_jupyter.monitoring.feed import Feed, in_words
from maas_jupyter.monitoring.history import History, Key
from maas_jupyter.monitoring.rows import EndpointRow, ModelRow, RunRow, Snapshot, TrafficRow
from maas_jupyter.monitoring.scrape import EndpointCounts, parse
from maas_jupyter.schema import EndpointState, VersionStatus

#: Seconds that one request waits for a registry or a target that is slow.
PATIENCE = 3.0

_SILENT = ("unavailable", "stopped")

T = TypeVar("T")


@dataclass(frozen=True)
class WatchedEndpoint:
    """An endpoint as its target knows it, whether its server runs or not."""

    name: str
    url: str
    state: EndpointState
    reason: str = ""
    traffic: list[VersionStatus] = field(default_factory=list)


class Source(Protocol):
    """A target whose endpoints are watched. Its calls may block; they are made in a thread."""

    @property
    def name(self) -> str:
        """The target's name."""

    def endpoints(self) -> Iterable[WatchedEndpoint]:
        """Return every endpoint that the target should serve; those of a dead server are unavailable or stopped."""

    def metrics_text(self) -> str:
        """Return the Prometheus text of the target's server.

        Raises
        ------
        Unavailable
            If the server does not answer.
        """


@dataclass(frozen=True)
class _Look:
    time: float
    endpoints: list[WatchedEndpoint]
    counts: dict[str, EndpointCounts]
    trouble: str


class _Newest(Generic[T]):
    """What was seen last, and a number that is another one whenever that changed."""

    def __init__(self) -> None:
        self.number = 0
        self._value: T | None = None

    def take(self, value: T) -> None:
        if value != self._value:
            self._value, self.number = value, self.number + 1

    def unless(self, seen: int) -> T | None:
        return self._value if seen != self.number else None


class Watcher:
    """Looks at registry, runs and targets while somebody asks, and answers each asker with what is new to it.

    All requests share the looks: however many ask, a look is taken when the last one is old enough, and one at a time.
    Nothing is looked at while nobody asks.

    Parameters
    ----------
    models : callable
        Lists the registry's models; may block and raise.
    runs : callable
        Lists the runs of this machine; may block and raise.
    sources : iterable of Source
        The targets to watch; gone through at every snapshot, so that they may change.
    interval : float
        Seconds between two requests of one asker.
    patience : float
        Seconds that a request waits for something slow before it is answered with what is known.
    clock : callable
        Epoch seconds.
    """

    def __init__(
        self,
        models: Callable[[], list[ModelRow]],
        runs: Callable[[], list[RunRow]],
        sources: Iterable[Source],
        *,
        interval: float,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._boot = secrets.token_hex(4)
        self._clock = clock
        self._models: _Newest[list[ModelRow]] = _Newest()
        self._runs: _Newest[list[RunRow]] = _Newest()
        self._history = History()
        self._looks: dict[str, _Look] = {}
        self._registry = Feed("The registry", models, self._models.take, interval=interval, patience=patience)
        self._trainings = Feed("The folder of runs", runs, self._runs.take, interval=interval / 2, patience=patience)
        self._sources = sources
        self._interval = interval
        self._patience = patience
        self._targets: dict[str, tuple[Source, Feed[_Look]]] = {}

    async def snapshot(self, since: str = "") -> Snapshot:
        """Return what is new since an earlier snapshot.

        Parameters
        ----------
        since : str
            The cursor of the asker's last snapshot. Any other text, such as a cursor from before a restart, asks for
            everything.
        """
        self._targets = {source.name: self._target(source) for source in self._sources}
        self._looks = {name: self._looks[name] for name in self._targets if name in self._looks}
        feeds: list[Feed[Any]] = [self._registry, self._trainings, *(feed for _, feed in self._targets.values())]
        await asyncio.gather(*(feed.refresh() for feed in feeds))
        seen_models, seen_runs, seen_samples = self._read(since)
        return Snapshot(
            cursor=f"{self._boot}.{self._models.number}.{self._runs.number}.{self._history.newest_id}",
            models=self._models.unless(seen_models),
            endpoints=[
                self._row(name, endpoint, look, seen_samples)
                for name, look in self._looks.items()
                for endpoint in look.endpoints
            ],
            runs=self._runs.unless(seen_runs),
            registry_error=self._registry.trouble or None,
            runs_error=self._trainings.trouble or None,
        )

    def _target(self, source: Source) -> tuple[Source, Feed[_Look]]:
        known = self._targets.get(source.name)
        if known and known[0] is source:
            return known
        return source, Feed(
            f"The target '{source.name}'",
            partial(self._look, source),
            partial(self._take_look, source),
            interval=self._interval / 2,
            patience=self._patience,
        )

    def _read(self, cursor: str) -> tuple[int, int, int]:
        try:
            boot, models, runs, samples = cursor.split(".")
            return (int(models), int(runs), int(samples)) if boot == self._boot else (0, 0, 0)
        except ValueError:
            return 0, 0, 0

    def _row(self, target: str, endpoint: WatchedEndpoint, look: _Look, seen_samples: int) -> EndpointRow:
        key = (target, endpoint.name)
        state, reason = endpoint.state, endpoint.reason
        trouble = self._targets[target][1].trouble or look.trouble
        if trouble and state not in _SILENT:
            state, reason = "unavailable", trouble
        whole = self._history.counts(key).whole
        samples = self._history.samples(key)
        return EndpointRow(
            name=endpoint.name,
            target=target,
            url=endpoint.url,
            state=state,
            reason=reason,
            traffic=[self._traffic_row(key, row, state not in _SILENT) for row in endpoint.traffic],
            requests_total=whole.requests,
            errors_total=whole.errors,
            latest=samples[-1] if samples and state not in _SILENT else None,
            samples=self._history.samples(key, after=seen_samples),
        )

    def _traffic_row(self, key: Key, row: VersionStatus, speaks: bool) -> TrafficRow:
        counts, rates = self._history.counts(key).of(row.version), self._history.rates(key)
        return TrafficRow(
            version=row.version,
            weight=row.weight,
            state=row.state,
            requests_total=counts.requests,
            requests_per_second=rates.get(row.version, 0.0) if speaks and rates is not None else None,
            shadow=counts.copies if row.shadow else None,
        )

    def _look(self, source: Source) -> _Look:
        endpoints = sorted(source.endpoints(), key=lambda endpoint: endpoint.name)
        if all(endpoint.state in _SILENT for endpoint in endpoints):
            return _Look(self._clock(), endpoints, {}, "")
        try:
            text = source.metrics_text()
        except MaasError as error:
            # It answered a moment ago: the rows are known, their counts are not.
            return _Look(self._clock(), endpoints, {}, in_words(error))
        return _Look(self._clock(), endpoints, parse(text).models, "")

    def _take_look(self, source: Source, look: _Look) -> None:
        if source.name not in self._targets or self._targets[source.name][0] is not source:
            return  # it was disconnected meanwhile
        self._looks[source.name] = look
        for endpoint in look.endpoints:
            if endpoint.state not in _SILENT and not look.trouble:
                counts = look.counts.get(endpoint.name, EndpointCounts())
                self._history.add((source.name, endpoint.name), look.time, counts)
        watched = {(name, endpoint.name) for name, look in self._looks.items() for endpoint in look.endpoints}
        self._history.keep(watched)
