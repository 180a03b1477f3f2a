"""The targets that the panel watches: this machine's, and every connected server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter import plugins
from maas_jupyter.errors import MaasError
from maas_jupyter.monitoring import Source, WatchedEndpoint

if TYPE_CHECKING:
    from maas_jupyter.targets.base import Target
    from maas_jupyter.targets.connections import Connection

_log = logging.getLogger(__name__)


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
        self._trouble = ""

    def __iter__(self) -> Iterator[Source]:
        """Return the sources, this machine's first."""
        yield self._local
        # Most Jupyter servers have none, and start without what reading them needs.
        if not (self._home / "targets.json").exists():
            return
        from maas_jupyter.targets.connections import Connections

        try:
            found = Connections(self._home).read().values()
            self._trouble = ""
        except MaasError as error:
            if error.message != self._trouble:
                _log.warning(error.message)
            self._trouble = error.message
            return
        self._remote = {each: self._remote.get(each) or _source(each) for each in found}
        yield from self._remote.values()


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

    def metrics_text(self) -> str:
        """Return the Prometheus text of the target's server, which is one for all of its endpoints.

        Raises
        ------
        Unavailable
            If the server does not answer.
        """
        return self._target.connection().metrics_text()


def _local(home: Path) -> Target:
    target: Target = plugins.load("target", "local")(home)
    return target


def _source(connection: Connection) -> TargetSource:
    def load() -> Target:
        from maas_jupyter.targets.remote import RemoteTarget

        return RemoteTarget(connection, how_to_set=lambda variable: f"Set {variable} before JupyterLab starts.")

    return TargetSource(connection.name, load)
