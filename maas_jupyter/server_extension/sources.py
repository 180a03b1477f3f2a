"""The targets that the panel watches."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter import plugins
from maas_jupyter.errors import Unavailable
from maas_jupyter.monitoring import WatchedEndpoint

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint
    from maas_jupyter.targets.base import Target


class LocalSource:
    """The local target, loaded at the first look so that the Jupyter server's start does not pay for it.

    Parameters
    ----------
    home : Path
        Folder of the local model server.
    """

    name = "local"

    def __init__(self, home: Path) -> None:
        self._home = home
        self._answering: Endpoint | None = None

    @cached_property
    def _target(self) -> Target:
        target: Target = plugins.load("target", self.name)(self._home)
        return target

    def endpoints(self) -> list[WatchedEndpoint]:
        """Return every model that is published on this machine, serving or not."""
        found = self._target.endpoints()
        self._answering = next((endpoint for endpoint in found if endpoint.url), None)
        return [WatchedEndpoint(each.name, each.url, each.state, each.reason, each.traffic) for each in found]

    def metrics_text(self) -> str:
        """Return the Prometheus text of the local model server, which is one for all of its endpoints.

        Raises
        ------
        Unavailable
            If the server does not answer.
        """
        if self._answering is None:
            raise Unavailable("The local model server does not run.", hint="Publish a model: %maas publish MODEL.")
        return self._answering.metrics_text()
