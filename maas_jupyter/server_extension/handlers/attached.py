"""Endpoints that this product did not start: which are watched, one more, one less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
import tornado.web
from jupyter_server.auth.decorator import authorized

from maas_jupyter import plugins, schema
from maas_jupyter.errors import InvalidInput
from maas_jupyter.monitoring.background import in_thread
from maas_jupyter.server_extension.handlers.base import MaasHandler, Route
from maas_jupyter.server_extension.sources import before_start

if TYPE_CHECKING:
    from maas_jupyter.monitoring.foreign import AttachedServer, AttachedServers


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """What is to be watched; the arguments are those of `maas_jupyter.monitoring.foreign.attach`."""

    url: str
    name: str = ""
    metrics: str = ""
    token_env: str = ""
    ca_file: str = ""
    insecure: bool = False


class AttachedHandler(MaasHandler):
    """``GET attached`` lists what is watched, ``POST attached`` with a `Wanted` adds to it."""

    def initialize(self, home: Path) -> None:
        """Receive what the routes share."""
        self._home = home

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the list as JSON."""
        found = await in_thread(lambda: list(_servers(self._home).read().values()))
        self.finish(msgspec.json.encode(found))

    @tornado.web.authenticated
    @authorized
    async def post(self) -> None:
        """Recognise a server, and answer with what it is."""
        try:
            wanted = schema.decoder(Wanted).decode(self.request.body)
        except schema.UNREADABLE as error:
            raise InvalidInput(f"This does not say what is to be watched: {error}") from error
        server = await in_thread(_attach, self._home, wanted)
        self.set_status(201)
        self.finish(msgspec.json.encode(server))


class OneAttachedHandler(MaasHandler):
    """``DELETE attached/NAME``: watch a server no longer; it goes on."""

    def initialize(self, home: Path) -> None:
        """Receive what the routes share."""
        self._home = home

    @tornado.web.authenticated
    @authorized
    async def delete(self, name: str) -> None:
        """Forget it."""
        await in_thread(lambda: _servers(self._home).remove(unquote(name)))
        self.set_status(204)
        self.finish()


def _servers(home: Path) -> AttachedServers:
    # Imported with the first request: what it needs would make every Jupyter server start later.
    from maas_jupyter.monitoring.foreign import AttachedServers

    return AttachedServers(home)


def _attach(home: Path, wanted: Wanted) -> AttachedServer:
    from maas_jupyter.monitoring.foreign import attach
    from maas_jupyter.targets.connections import Connections

    return attach(
        _servers(home),
        wanted.url,
        name=wanted.name,
        metrics=wanted.metrics,
        token_env=wanted.token_env,
        ca_file=wanted.ca_file,
        insecure=wanted.insecure,
        taken={*plugins.available("target"), *Connections(home).read()},
        how_to_set=before_start,
    )


def routes(home: Path) -> list[Route]:
    """Return the routes."""
    given = {"home": home}
    return [("/attached", AttachedHandler, given), ("/attached/([^/]+)", OneAttachedHandler, given)]
