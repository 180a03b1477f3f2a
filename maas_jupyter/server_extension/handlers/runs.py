"""What can be done to a run, in whichever kernel it is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import tornado.web
from jupyter_server.auth.decorator import authorized

from maas_jupyter.errors import Conflict, NotFound
from maas_jupyter.runs import RunFolder
from maas_jupyter.schema import is_name
from maas_jupyter.server_extension.handlers.base import MaasHandler, Route


class StopHandler(MaasHandler):
    """``POST runs/ID/stop``: ask a run to stop and to keep a checkpoint, in whichever kernel it is, busy or not."""

    def initialize(self, home: Path) -> None:
        """Receive what the routes share."""
        self._home = home

    @tornado.web.authenticated
    @authorized
    async def post(self, run_id: str) -> None:
        """Leave word for the run, which looks for it a few times a second."""
        await asyncio.to_thread(_ask_to_stop, self._home, run_id)
        self.set_status(202)
        self.finish()


def _ask_to_stop(home: Path, run_id: str) -> None:
    folder = RunFolder(home, run_id)
    # What is no name might lead to a folder elsewhere.
    state = folder.read() if is_name(run_id) else None
    if state is None:
        raise NotFound(f"There is no run '{run_id[:128]}' on this machine.", hint="List them: %maas runs")
    if state.status != "training":
        raise Conflict(f"The run of '{state.name}' has ended already: {state.status}.")
    folder.request_stop()


def routes(home: Path) -> list[Route]:
    """Return the routes."""
    return [("/runs/([^/]+)/stop", StopHandler, {"home": home})]
