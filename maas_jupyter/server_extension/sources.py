"""What the panel watches: this machine's target, every connected server, and those that are attached."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from maas_jupyter import plugins
from maas_jupyter.errors import MaasError, Unavailable
from maas_jupyter.monitoring import Archive, Source, WatchedEndpoint
from maas_jupyter.monitoring.scrape import Scrape, parse

if TYPE_CHECKING:
    from maas_jupyter.config import MaasConfig
    from maas_jupyter.monitoring.foreign import AttachedServer, ForeignSource
    from maas_jupyter.targets.base import Target
    from maas_jupyter.targets.connections import Connection

_log = logging.getLogger(__name__)

L = TypeVar("L")


class Sources:
    """What is watched now: a server that is connected or disconnected comes and goes with the next look.

    Parameters
    ----------
    home : Path
        Folder of the settings, with the list of connected servers.
    server_home : Path
        Folder of the local model server.
    """

    def __init__(self, home: Path, server_home: Path) -> None:
        self._home = home
        self._local = TargetSource("local", lambda: _local(server_home))
        self._remote: dict[Connection, TargetSource] = {}
        self._attached: dict[AttachedServer, ForeignSource] = {}
        self._troubles: dict[str, str] = {}

    def __iter__(self) -> Iterator[Source]:
        """Return the sources, this machine's first."""
        yield self._local
        yield from self._connected()
        yield from self._foreign()

    def _connected(self) -> Iterator[Source]:
        # Most Jupyter servers have none, and start without what reading them needs.
        if not (self._home / "targets.json").exists():
            return
        from maas_jupyter.targets.connections import Connections

        found = self._listed("targets", Connections(self._home).read, self._remote)
        self._remote = {each: self._remote.get(each) or _source(each) for each in found}
        yield from self._remote.values()

    def _foreign(self) -> Iterator[Source]:
        if not (self._home / "attached.json").exists():
            return
        from maas_jupyter.monitoring.foreign import AttachedServers, ForeignSource

        found = self._listed("attached", AttachedServers(self._home).read, self._attached)
        self._attached = {each: self._attached.get(each) or ForeignSource(each, before_start) for each in found}
        # The name of a target is the target's, whoever had it first.
        names = {self._local.name, *(each.name for each in self._remote)}
        yield from (source for source in self._attached.values() if source.name not in names)

    def _listed(self, what: str, read: Callable[[], dict[str, L]], known: Iterable[L]) -> list[L]:
        try:
            found = list(read().values())
        except MaasError as error:
            if error.message != self._troubles.get(what):
                _log.warning(error.message)
            self._troubles[what] = error.message
            # They are still there, and so is their past.
            return list(known)
        self._troubles.pop(what, None)
        return found


class TargetSource:
    """A target, loaded at the first look so that the Jupyter server's start does not pay for it.

    Parameters
    ----------
    name : str
        What the target is called.
    load : callable
        Makes it.
    """

    def __init__(self, name: str, load: Callable[[], Target]) -> None:
        self.name = name
        self._load = load
        self._loaded: Target | None = None

    @property
    def _target(self) -> Target:
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def endpoints(self) -> list[WatchedEndpoint]:
        """Return every model that is published there, serving or not."""
        return [
            WatchedEndpoint(each.name, each.url, each.state, each.reason, each.traffic)
            for each in self._target.endpoints()
        ]

    def scrape(self) -> Scrape:
        """Read the metrics of the target's server, which is one for all of its endpoints.

        Raises
        ------
        Unavailable
            If the server does not answer, or its metrics are not understood.
        """
        try:
            return parse(self._target.connection().metrics_text())
        except (ValueError, KeyError, OverflowError) as error:
            raise Unavailable(
                f"The metrics of '{self.name}' cannot be read: {error}",
                hint="Does another release of maas-jupyter serve there?",
            ) from error


def archive(config: MaasConfig) -> Archive:
    """Return the configured Prometheus server."""
    # Imported only where there is one: what it needs would make every Jupyter server start later.
    from maas_jupyter.monitoring.prometheus import Prometheus

    return Prometheus(
        config.resolved_prometheus_url,
        token_env=config.prometheus_token_env,
        ca_file=config.prometheus_ca_file,
        how_to_set=before_start,
    )


def before_start(variable: str) -> str:
    """Return how a token's variable is set for the Jupyter server."""
    return f"Set {variable} before JupyterLab starts."


def _local(home: Path) -> Target:
    target: Target = plugins.load("target", "local")(home)
    return target


def _source(connection: Connection) -> TargetSource:
    def load() -> Target:
        from maas_jupyter.targets.remote import RemoteTarget

        return RemoteTarget(connection, how_to_set=before_start)

    return TargetSource(connection.name, load)
