"""Alert rules and what became of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

import msgspec
import tornado.web
from jupyter_server.auth.decorator import authorized
from msgspec import Struct

from maas_jupyter.errors import InvalidInput
from maas_jupyter.monitoring.alerts import Alerts, Rule
from maas_jupyter.monitoring.rows import AlertKind
from maas_jupyter.schema import UNREADABLE, decoder
from maas_jupyter.server_extension.handlers.base import MaasHandler, Route
from maas_jupyter.server_extension.handlers.watching import WatchingHandler

if TYPE_CHECKING:
    from maas_jupyter.monitoring import Watcher

#: Events of the history that are told if not asked otherwise.
_EVENTS = 100


class RuleBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``PUT alerts/rules/TARGET/NAME/KIND``."""

    threshold: float | None = None
    for_seconds: int = 0


class RulesHandler(WatchingHandler):
    """``GET alerts/rules``: all rules with their states, as of the last look."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the rows as JSON."""
        alerts = _alerts(self.watcher)
        await alerts.catch_up()
        self.finish(msgspec.json.encode(alerts.rows()))


class RuleHandler(MaasHandler):
    """``PUT`` and ``DELETE alerts/rules/TARGET/NAME/KIND``: add, change or remove a rule of an endpoint."""

    def initialize(self, watcher: Watcher) -> None:
        """Receive what the routes share."""
        self._alerts = _alerts(watcher)

    @tornado.web.authenticated
    @authorized
    async def put(self, target: str, name: str, kind: str) -> None:
        """Answer with the rule's row."""
        try:
            body = decoder(RuleBody).decode(self.request.body or b"{}")
        except UNREADABLE as error:
            raise InvalidInput(f"The rule cannot be read: {error}") from error
        rule = Rule(unquote(target), unquote(name), cast(AlertKind, kind), body.threshold, body.for_seconds)
        self.finish(msgspec.json.encode(await self._alerts.put(rule)))

    @tornado.web.authenticated
    @authorized
    async def delete(self, target: str, name: str, kind: str) -> None:
        """Answer with the row that the rule had."""
        row = await self._alerts.remove((unquote(target), unquote(name), cast(AlertKind, kind)))
        self.finish(msgspec.json.encode(row))


class AlertHistoryHandler(WatchingHandler):
    """``GET alerts/history?target=&name=&limit=100``: what fired and cleared, newest first."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with the events as JSON."""
        target, name = self.get_query_argument("target", ""), self.get_query_argument("name", "")
        limit = self.number("limit", _EVENTS)
        if limit < 0:
            raise InvalidInput(f"There cannot be {limit:g} events.")
        events = [
            event
            for event in await _alerts(self.watcher).history()
            if target in ("", event.target) and name in ("", event.name)
        ]
        self.finish(msgspec.json.encode(events[: int(limit)]))


def routes(watcher: Watcher) -> list[Route]:
    """Return the routes; none where the watcher has no alerts."""
    if watcher.alerts is None:
        return []
    given = {"watcher": watcher}
    return [
        ("/alerts/rules", RulesHandler, given),
        ("/alerts/rules/([^/]+)/([^/]+)/([^/]+)", RuleHandler, given),
        ("/alerts/history", AlertHistoryHandler, given),
    ]


def _alerts(watcher: Watcher) -> Alerts:
    assert watcher.alerts is not None, "without alerts there are no routes"
    return watcher.alerts
