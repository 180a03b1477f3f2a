"""What the panel shows, put together for one request: the registry's models, and endpoints with their recent past."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from maas_jupyter.errors import MaasError, NotFound, Unavailable
from maas_jupyter.monitoring.alerts import Alerts
from maas_jupyter.monitoring.background import in_thread
from maas_jupyter.monitoring.catalogue import Catalogue
from maas_jupyter.monitoring.counts import EndpointCounts
from maas_jupyter.monitoring.feed import Feed, in_words
from maas_jupyter.monitoring.history import History, Key, Minutes, Reading
from maas_jupyter.monitoring.rows import (
    AlertRow,
    EndpointRow,
    ModelVersions,
    Past,
    RunRow,
    Sample,
    Snapshot,
    TrafficRow,
)
from maas_jupyter.monitoring.scrape import Scrape
from maas_jupyter.monitoring.store import SampleStore
from maas_jupyter.schema import EndpointState, VersionStatus

#: Seconds that one request waits for a registry or a target that is slow.
PATIENCE = 3.0

#: Of looks at the registry.
_REST = 10.0
#: Seconds between two times that samples are written to disk.
_FLUSH_SECONDS = 10.0

_SILENT = ("unavailable", "stopped")

T = TypeVar("T")


@dataclass(frozen=True)
class WatchedEndpoint:
    """An endpoint as its target knows it, whether its server runs or not.

    ``kind`` and ``untold`` are those of `EndpointRow`; ``metrics`` is where its Prometheus text is, if not at its own
    address.
    """

    name: str
    url: str
    state: EndpointState
    reason: str = ""
    traffic: list[VersionStatus] = field(default_factory=list)
    kind: str = ""
    untold: tuple[str, ...] = ()
    metrics: str = ""


class Archive(Protocol):
    """Keeps the past of endpoints, whether somebody watches or not. Its calls may block; they are made in a thread."""

    @property
    def name(self) -> str:
        """What it is called where its samples are shown."""

    def samples(self, target: str, endpoint: WatchedEndpoint, since: float, until: float) -> list[Sample]:
        """Return an endpoint's samples, oldest first.

        Raises
        ------
        MaasError
            If it has none of the endpoint, or does not answer.
        """


class Source(Protocol):
    """A target whose endpoints are watched. Its calls may block; they are made in a thread."""

    @property
    def name(self) -> str:
        """The target's name."""

    def endpoints(self) -> Iterable[WatchedEndpoint]:
        """Return every endpoint that the target should serve; those of a dead server are unavailable or stopped."""

    def scrape(self) -> Scrape:
        """Read the metrics of the target's server; asked after its endpoints.

        Raises
        ------
        Unavailable
            If the server does not answer.
        """


@dataclass(frozen=True)
class _Look:
    time: float
    endpoints: list[WatchedEndpoint]
    scrape: Scrape | None
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
        The targets to watch; gone through in a thread at every snapshot, so that they may change.
    interval : float
        Seconds between two requests of one asker.
    store : SampleStore, optional
        Keeps the samples on disk.
    archive : Archive, optional
        Where the past of endpoints comes from, instead of what was seen here.
    alerts : Alerts, optional
        Is told of every look at the targets.
    patience : float
        Seconds that a request waits for something slow before it is answered with what is known.
    clock : callable
        Epoch seconds.

    Attributes
    ----------
    catalogue : Catalogue
        The registry's models at the last look.
    """

    def __init__(
        self,
        models: Callable[[], list[ModelVersions]],
        runs: Callable[[], list[RunRow]],
        sources: Iterable[Source],
        *,
        interval: float,
        store: SampleStore | None = None,
        archive: Archive | None = None,
        alerts: Alerts | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._boot = secrets.token_hex(4)
        self._clock = clock
        self.catalogue = Catalogue()
        self._runs: _Newest[list[RunRow]] = _Newest()
        self._endpoints: _Newest[list[EndpointRow]] = _Newest()
        self._history = History()
        self._minutes = Minutes()
        self._store = store
        self._archive = archive
        self._looks: dict[str, _Look] = {}
        # Listing thousands of models takes the interpreter from all others for a part of a second.
        rest = _REST if interval else 1.0
        self._registry = Feed(
            "The registry", models, self.catalogue.take, interval=interval, patience=patience, rest=rest
        )
        self._trainings = Feed("The folder of runs", runs, self._runs.take, interval=interval / 2, patience=patience)
        self.alerts = alerts
        self._alert_rows: _Newest[list[AlertRow]] = _Newest()
        self._rules: Feed[Any] | None = None
        self._files: list[Feed[Any]] = []
        if alerts:
            self._rules = Feed(
                "The file of alert rules", alerts.read, alerts.take, interval=interval / 2, patience=patience
            )
            self._files.append(self._rules)
        if store:
            self._files.append(
                # Nobody waits for it: it may be locked by another Jupyter server of the home.
                Feed("The history", store.flush, lambda _: None, interval=_FLUSH_SECONDS, patience=0.0)
            )
        self._sources: list[Source] = []
        self._listing = Feed(
            "The list of targets", lambda: list(sources), self._take_sources, interval=0.0, patience=patience
        )
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
        await self._look_at(self._registry, self._trainings)
        seen_endpoints, seen_runs, seen_samples, seen_alerts = self._read(since)
        return Snapshot(
            cursor=f"{self._boot}.{self._endpoints.number}.{self._runs.number}.{self._history.newest_id}"
            f".{self._alert_rows.number}",
            models=self.catalogue.total,
            models_number=self.catalogue.number,
            endpoints=self._endpoints.unless(seen_endpoints),
            samples={
                f"{name}/{endpoint.name}": samples
                for name, look in self._looks.items()
                for endpoint in look.endpoints
                if (samples := self._history.samples((name, endpoint.name), after=seen_samples))
            },
            runs=self._runs.unless(seen_runs),
            registry_error=self._registry.trouble or None,
            runs_error=self._trainings.trouble or None,
            alerts=self._alert_rows.unless(seen_alerts),
            alerts_error=self._alerts_trouble or None,
        )

    async def versions(self, name: str) -> ModelVersions:
        """Return all versions of a model.

        Raises
        ------
        NotFound
            If there is no such model.
        Unavailable
            If the registry has not answered yet.
        """
        if self.catalogue.total is None:
            await self._registry.first_look()
        elif name not in self.catalogue:
            # It may have been registered since the last look.
            await self._registry.look_anew()
        if self.catalogue.total is None:
            raise Unavailable(self._registry.trouble or "The registry has not answered yet.", hint="Try again.")
        return self.catalogue.versions(name)

    async def watch_endpoints(self) -> None:
        """Look at the targets for the alerts' sake, while nobody asks."""
        await self._look_at()

    def _take_sources(self, sources: list[Source]) -> None:
        self._sources = sources

    async def _look_at(self, *feeds: Feed[Any]) -> None:
        await self._listing.refresh()
        self._targets = {source.name: self._target(source) for source in self._sources}
        self._looks = {name: self._looks[name] for name in self._targets if name in self._looks}
        targets = {name: feed for name, (_, feed) in self._targets.items()}
        await asyncio.gather(*(feed.refresh() for feed in [*feeds, *self._files, *targets.values()]))
        # In the order of the sources, whichever answered first.
        self._looks = {name: self._looks[name] for name in self._targets if name in self._looks}
        rows = [self._row(name, endpoint, look) for name, look in self._looks.items() for endpoint in look.endpoints]
        self._endpoints.take(rows)
        if self.alerts is not None:
            unknown = {name for name, feed in targets.items() if name not in self._looks and not feed.trouble}
            await self.alerts.evaluate(rows, unknown)
            if self.alerts.known:
                self._alert_rows.take(self.alerts.rows())

    @property
    def _alerts_trouble(self) -> str:
        return (self._rules and self._rules.trouble) or (self.alerts and self.alerts.trouble) or ""

    async def past(self, key: Key, seconds: float) -> Past:
        """Return an endpoint's samples of the last so many seconds.

        Raises
        ------
        Unavailable
            If they cannot be read.
        """
        now = self._clock()
        if self._archive is None:
            return Past(await self._seen(key, now - seconds))
        try:
            kept = await in_thread(self._archive.samples, key[0], await self._listed(key), now - seconds, now)
        except MaasError as error:
            return Past(await self._seen(key, now - seconds), trouble=in_words(error))
        # What was seen just now is finer.
        live = self._history.unbroken(key)
        older = [sample for sample in kept if not live or sample.time < live[0].time]
        return Past([*older, *(sample for sample in live if sample.time > now - seconds)], self._archive.name)

    async def _listed(self, key: Key) -> WatchedEndpoint:
        """Return an endpoint as its target lists it now."""
        target, name = key
        if target not in self._looks:
            await self._look_at()
        found = self._looks[target].endpoints if target in self._looks else []
        endpoint = next((each for each in found if each.name == name), None)
        if endpoint is None:
            raise NotFound(f"'{target}' does not list '{name}' now, so nobody knows whose past to ask for.")
        return endpoint

    async def _seen(self, key: Key, since: float) -> list[Sample]:
        if self._store is None:
            return [sample for sample in self._history.samples(key) if sample.time > since]
        return await in_thread(self._store.read, key, since)

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

    def _read(self, cursor: str) -> tuple[int, ...]:
        try:
            boot, endpoints, runs, samples, alerts = cursor.split(".")
            seen = int(endpoints), int(runs), int(samples), int(alerts)
            return seen if boot == self._boot else (0, 0, 0, 0)
        except ValueError:
            return 0, 0, 0, 0

    def _row(self, target: str, endpoint: WatchedEndpoint, look: _Look) -> EndpointRow:
        state, reason = endpoint.state, endpoint.reason
        trouble = self._targets[target][1].trouble or look.trouble
        if trouble and state not in _SILENT:
            state, reason = "unavailable", trouble
        newest = self._history.newest((target, endpoint.name))
        return EndpointRow(
            name=endpoint.name,
            target=target,
            url=endpoint.url,
            state=state,
            reason=reason,
            traffic=[
                TrafficRow(
                    row.version, row.weight, row.state, newest.counts.of(row.version).copies if row.shadow else None
                )
                for row in endpoint.traffic
            ],
            requests_total=newest.whole.requests,
            errors_total=newest.whole.errors,
            kind=endpoint.kind,
            untold=list(endpoint.untold),
        )

    def _look(self, source: Source) -> _Look:
        endpoints = sorted(source.endpoints(), key=lambda endpoint: endpoint.name)
        if all(endpoint.state in _SILENT for endpoint in endpoints):
            return _Look(self._clock(), endpoints, None, "")
        try:
            scrape = source.scrape()
        except MaasError as error:
            # It answered a moment ago: the rows are known, their counts are not.
            return _Look(self._clock(), endpoints, None, in_words(error))
        return _Look(self._clock(), endpoints, scrape, "")

    def _take_look(self, source: Source, look: _Look) -> None:
        if source.name not in self._targets or self._targets[source.name][0] is not source:
            return  # it was disconnected meanwhile
        self._looks[source.name] = look
        if look.scrape is not None:
            for endpoint in look.endpoints:
                if endpoint.state not in _SILENT:
                    self._take_reading((source.name, endpoint.name), look.time, look.scrape)
        watched = {(name, endpoint.name) for name, look in self._looks.items() for endpoint in look.endpoints}
        self._history.keep(watched)
        self._minutes.keep(watched)

    def _take_reading(self, key: Key, now: float, scrape: Scrape) -> None:
        counts = scrape.models.get(key[1], EndpointCounts())
        reading = Reading(now, counts, scrape.memory, scrape.cpu_seconds)
        if self.alerts is not None:
            self.alerts.add(key, reading)
        sample, minute = self._history.add(key, reading), self._minutes.add(key, reading)
        if self._store is not None:
            if sample is not None:
                self._store.add(key, sample)
            if minute is not None:
                self._store.add_minute(key, minute)
