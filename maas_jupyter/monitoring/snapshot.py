"""What the panel shows, put together for one request: the registry's models, and endpoints with their recent past."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from maas_jupyter.errors import MaasError
from maas_jupyter.monitoring.feed import Feed, in_words
from maas_jupyter.monitoring.history import History
from maas_jupyter.monitoring.scrape import EndpointCounts, parse
from maas_jupyter.schema import EndpointRow, EndpointState, ModelRow, Snapshot, TrafficRow

#: Seconds that one request waits for a registry or a target that is slow.
PATIENCE = 3.0

_SILENT = ("unavailable", "stopped")


@dataclass(frozen=True)
class WatchedEndpoint:
    """An endpoint as its target knows it, whether its server runs or not."""

    name: str
    url: str
    state: EndpointState
    reason: str = ""
    traffic: list[TrafficRow] = field(default_factory=list)


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


class Watcher:
    """Looks at the registry and at targets while somebody asks, and answers each asker with what is new to it.

    All requests share the looks: however many ask, a look is taken when the last one is old enough, and one at a time.
    Nothing is looked at while nobody asks.

    Parameters
    ----------
    models : callable
        Lists the registry's models; may block and raise.
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
        sources: Iterable[Source],
        *,
        interval: float,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._boot = secrets.token_hex(4)
        self._clock = clock
        self._models: list[ModelRow] | None = None
        self._models_id = 0
        self._history = History()
        self._looks: dict[str, _Look] = {}
        self._registry = Feed("The registry", models, self._take_models, interval=interval, patience=patience)
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
        await asyncio.gather(self._registry.refresh(), *(feed.refresh() for _, feed in self._targets.values()))
        seen_models, seen_samples = self._read(since)
        return Snapshot(
            cursor=f"{self._boot}.{self._models_id}.{self._history.newest_id}",
            models=self._models if seen_models != self._models_id else None,
            endpoints=[
                self._row(name, endpoint, look, seen_samples)
                for name, look in self._looks.items()
                for endpoint in look.endpoints
            ],
            registry_error=self._registry.trouble or None,
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

    def _read(self, cursor: str) -> tuple[int, int]:
        try:
            boot, models, samples = cursor.split(".")
            return (int(models), int(samples)) if boot == self._boot else (0, 0)
        except ValueError:
            return 0, 0

    def _row(self, target: str, endpoint: WatchedEndpoint, look: _Look, seen_samples: int) -> EndpointRow:
        key = (target, endpoint.name)
        state, reason = endpoint.state, endpoint.reason
        trouble = self._targets[target][1].trouble or look.trouble
        if trouble and state not in _SILENT:
            state, reason = "unavailable", trouble
        counts = self._history.counts(key)
        samples = self._history.samples(key)
        return EndpointRow(
            name=endpoint.name,
            target=target,
            url=endpoint.url,
            state=state,
            reason=reason,
            traffic=endpoint.traffic,
            requests_total=counts.requests,
            errors_total=counts.errors,
            latest=samples[-1] if samples and state not in _SILENT else None,
            samples=self._history.samples(key, after=seen_samples),
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

    def _take_models(self, models: list[ModelRow]) -> None:
        if models != self._models:
            self._models, self._models_id = models, self._models_id + 1

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
