"""The routes under ``{base_url}maas-jupyter/``."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import tornado.web
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join

from maas_jupyter.errors import Conflict, InvalidInput, MaasError, NotFound, Unauthorized, Unavailable, UsageError
from maas_jupyter.runs import RunFolder
from maas_jupyter.schema import is_name

if TYPE_CHECKING:
    from maas_jupyter.monitoring import Watcher

_STATUS: dict[type[MaasError], int] = {
    InvalidInput: 400,
    UsageError: 400,
    NotFound: 404,
    Conflict: 409,
    Unavailable: 503,
    # Not 401: that would say that the user is not logged in to Jupyter.
    Unauthorized: 502,
}


class MaasHandler(APIHandler):
    """A handler whose errors are ours: the status that belongs to their kind, message and hint as JSON."""

    auth_resource = "maas-jupyter"

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log an error; one that is in the user's words needs no traceback."""
        if isinstance(value, MaasError):
            self.log.warning("%s %s: %s", self.request.method, self.request.path, value.message)
        else:
            super().log_exception(typ, value, tb)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with an error as JSON."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, MaasError):
            self.set_status(next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 500))
            self.finish({"message": error.message, "hint": error.hint})
        else:
            super().write_error(status_code, **kwargs)


class SnapshotHandler(MaasHandler):
    """``GET snapshot?since=CURSOR``: models, endpoints, runs and samples, as far as new since the cursor."""

    # An open panel is not a user at work: its polls must not keep an idle server from being culled.
    _track_activity = False

    def initialize(self, watcher: Watcher) -> None:
        """Receive what the routes share."""
        self._watcher = watcher

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with a snapshot as JSON."""
        snapshot = await self._watcher.snapshot(self.get_query_argument("since", ""))
        self.finish(msgspec.json.encode(snapshot))


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


def add_handlers(web_app: tornado.web.Application, watcher: Watcher, home: Path) -> None:
    """Add the routes to a Jupyter server's application."""
    # Routes are regular expressions; a user name in the base_url may hold characters that mean something there.
    base = re.escape(url_path_join(web_app.settings["base_url"], "maas-jupyter"))
    web_app.add_handlers(
        ".*$",
        [
            (f"{base}/snapshot", SnapshotHandler, {"watcher": watcher}),
            (f"{base}/runs/([^/]+)/stop", StopHandler, {"home": home}),
        ],
    )
