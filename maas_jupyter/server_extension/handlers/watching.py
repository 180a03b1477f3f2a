"""What the panel shows: snapshots, pages of models, and the past of endpoints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
import tornado.web
from jupyter_server.auth.decorator import authorized

from maas_jupyter.errors import InvalidInput
from maas_jupyter.monitoring.catalogue import PAGE
from maas_jupyter.monitoring.store import DAY
from maas_jupyter.server_extension.handlers.base import MaasHandler, Route

if TYPE_CHECKING:
    from maas_jupyter.monitoring import Watcher


class WatchingHandler(MaasHandler):
    """A handler that answers with what the watcher knows."""

    # An open panel is not a user at work: what it asks for must not keep an idle server from being culled.
    _track_activity = False

    def initialize(self, watcher: Watcher) -> None:
        """Receive what the routes share."""
        self.watcher = watcher

    def number(self, name: str, default: float) -> float:
        """Return an argument of the query as a finite number.

        Raises
        ------
        InvalidInput
            If it is none.
        """
        text = self.get_query_argument(name, "")
        try:
            number = float(text) if text else default
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InvalidInput(f"'{text[:64]}' is no number for '{name}'.", hint=f"Such as {name}={default:g}")
        return number


class SnapshotHandler(WatchingHandler):
    """``GET snapshot?since=CURSOR``: endpoints, samples and runs, as far as new since the cursor."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with a snapshot as JSON."""
        snapshot = await self.watcher.snapshot(self.get_query_argument("since", ""))
        self.finish(msgspec.json.encode(snapshot))


class ModelsHandler(WatchingHandler):
    """``GET models?search=&sort=&order=asc|desc&offset=&limit=``: a page of the list of models."""

    @tornado.web.authenticated
    @authorized
    def get(self) -> None:
        """Answer with what the last snapshot saw."""
        page = self.watcher.catalogue.page(
            self.get_query_argument("search", ""),
            self.get_query_argument("sort", "updated"),
            descending=self.get_query_argument("order", "desc") == "desc",
            offset=int(self.number("offset", 0)),
            limit=int(self.number("limit", PAGE)),
        )
        self.finish(msgspec.json.encode(page))


class VersionsHandler(WatchingHandler):
    """``GET models/NAME``: all versions of a model."""

    @tornado.web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """Answer with what the last look saw; the first one is waited for."""
        self.finish(msgspec.json.encode(await self.watcher.versions(unquote(name))))


class SamplesHandler(WatchingHandler):
    """``GET endpoints/TARGET/NAME/samples?seconds=3600``: an endpoint's past."""

    @tornado.web.authenticated
    @authorized
    async def get(self, target: str, name: str) -> None:
        """Answer with what is known of it."""
        seconds = self.number("seconds", 300.0)
        if not 0 < seconds <= DAY:
            raise InvalidInput(f"There is no past of {seconds:g} seconds.", hint=f"At most {DAY:g}, a day.")
        past = await self.watcher.past((unquote(target), unquote(name)), seconds)
        self.finish(msgspec.json.encode(past))


def routes(watcher: Watcher) -> list[Route]:
    """Return the routes."""
    given = {"watcher": watcher}
    return [
        ("/snapshot", SnapshotHandler, given),
        ("/models", ModelsHandler, given),
        ("/models/([^/]+)", VersionsHandler, given),
        ("/endpoints/([^/]+)/([^/]+)/samples", SamplesHandler, given),
    ]
