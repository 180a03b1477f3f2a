"""Watching endpoints for the sake of alerts while nobody looks at the panel."""

from __future__ import annotations

import logging

from tornado.ioloop import IOLoop, PeriodicCallback

from maas_jupyter.errors import MaasError
from maas_jupyter.monitoring import Watcher
from maas_jupyter.monitoring.alerts import Alerts
from maas_jupyter.monitoring.feed import in_words

_log = logging.getLogger(__name__)

#: Shortest time between two looks in seconds, whatever is configured.
_SHORTEST = 0.05


class Guard:
    """Looks at the endpoints at an interval while there are rules; without rules nothing runs.

    A timer of the event loop and no request: it ends with the loop, and a Jupyter server that does nothing else counts
    as idle.

    Parameters
    ----------
    watcher : Watcher
    alerts : Alerts
        The watcher's.
    interval : float
        Seconds between two looks.
    """

    def __init__(self, watcher: Watcher, alerts: Alerts, interval: float) -> None:
        self._watcher = watcher
        self._alerts = alerts
        self._timer = PeriodicCallback(self._look, max(interval, _SHORTEST) * 1e3)
        alerts.on_change = self.follow

    @property
    def running(self) -> bool:
        """Whether endpoints are looked at."""
        return self._timer.is_running()

    def start(self, loop: IOLoop) -> None:
        """Look whether there are rules as soon as the loop runs, if there is a file at all."""
        if self._alerts.path.exists():
            loop.add_callback(self._first)

    def follow(self) -> None:
        """Start or stop as there are rules or none."""
        if self._alerts.empty:
            self._timer.stop()
        elif not self.running:
            self._timer.start()

    async def _first(self) -> None:
        try:
            await self._alerts.catch_up()
        except MaasError as error:
            # The panel says the same; and the file is looked at again with every look of the panel.
            _log.warning(in_words(error))

    async def _look(self) -> None:
        await self._watcher.watch_endpoints()
