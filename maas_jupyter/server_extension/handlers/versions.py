"""What the page of a model shows: all that is known of one version, and its card."""

from __future__ import annotations

from urllib.parse import unquote

import msgspec
import tornado.web
from jupyter_server.auth.decorator import authorized

from maas_jupyter import config
from maas_jupyter.errors import InvalidInput
from maas_jupyter.monitoring import RegisteredVersions
from maas_jupyter.monitoring.background import in_thread
from maas_jupyter.server_extension.handlers.base import MaasHandler, Route


class DetailsHandler(MaasHandler):
    """``GET models/NAME/versions/VERSION/details`` and ``.../card``."""

    # A page that stays open reads again when the registry changes: that is no user at work.
    _track_activity = False

    def initialize(self, versions: RegisteredVersions) -> None:
        """Receive what the routes share."""
        self._versions = versions

    @tornado.web.authenticated
    @authorized
    async def get(self, name: str, version: str, part: str) -> None:
        """Answer with what the registry has now."""
        model, number = unquote(name), unquote(version)
        if not (number.isascii() and number.isdigit()):
            raise InvalidInput(f"'{number[:64]}' is no version of '{model[:128]}'.", hint="Give its number.")
        read = self._versions.details if part == "details" else self._versions.card
        self.finish(msgspec.json.encode(await in_thread(read, model, str(int(number)))))


def routes() -> list[Route]:
    """Return the routes."""
    given = {"versions": RegisteredVersions(config.current)}
    return [("/models/([^/]+)/versions/([^/]+)/(details|card)", DetailsHandler, given)]
