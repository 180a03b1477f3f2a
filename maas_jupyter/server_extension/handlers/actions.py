"""What can be done to endpoints, versions and models: the verbs, asked for by the panel."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit
from weakref import WeakValueDictionary

import tornado.web
from jupyter_server.auth.decorator import authorized
from msgspec import Struct

from maas_jupyter.errors import Conflict, InvalidInput
from maas_jupyter.monitoring.background import in_thread
from maas_jupyter.schema import UNREADABLE, check_name, decoder
from maas_jupyter.server_extension.handlers.base import MaasHandler, Route

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint

T = TypeVar("T")


class Publication(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``POST endpoints/TARGET/NAME/publish``: which version, with which share, and why."""

    version: str
    canary: int | None = None
    shadow: bool = False
    require_passed: bool = False
    reason: str = ""


class Change(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of what moves traffic: why, for the history."""

    reason: str = ""


class AliasedVersion(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of ``PUT models/NAME/aliases/ALIAS``: the version to point at."""

    version: str


#: One change of a target, or of the registry, at a time: two at once might both start the local server. Those that
#: nobody holds or waits for are forgotten, as anything can be asked for as a target.
Turns = WeakValueDictionary[str, asyncio.Lock]


class ActionHandler(MaasHandler):
    """A handler that carries out a verb in a thread, and answers when that is done."""

    def initialize(self, turns: Turns) -> None:
        """Receive what the routes share."""
        self._turns = turns

    def body_as(self, kind: type[T]) -> T:
        """Return the request's body, which may be empty where every field has a default.

        Raises
        ------
        InvalidInput
            If it is another one.
        """
        try:
            found: T = decoder(kind).decode(self.request.body or b"{}")
        except UNREADABLE as error:
            raise InvalidInput(f"The request cannot be read: {error}") from error
        return found

    async def carry_out(self, place: str, verb: Callable[[], str]) -> None:
        """Carry out a verb when it is the place's turn, and answer with what it says."""
        async with self._turns.setdefault(place, asyncio.Lock()):
            # Not in a thread that ends with the server: a change that has begun is carried out.
            message = await asyncio.to_thread(verb)
        self.finish({"message": message})


class PublishHandler(ActionHandler):
    """``POST endpoints/TARGET/NAME/publish``: serve a registered version."""

    @tornado.web.authenticated
    @authorized
    async def post(self, target: str, name: str) -> None:
        """Answer when it is up and warm."""
        to, model = unquote(target), check_name(unquote(name))
        asked = self.body_as(Publication)

        def publish() -> str:
            from maas_jupyter import api

            return _said(
                api.publish(
                    _reference(model, asked.version),
                    to=to,
                    canary=asked.canary,
                    shadow=asked.shadow,
                    require_passed=asked.require_passed,
                    reason=asked.reason,
                )
            )

        await self.carry_out(to, publish)


class TrafficHandler(ActionHandler):
    """``POST endpoints/TARGET/NAME/promote``, ``rollback``, ``load``, ``unload`` and ``unpublish``."""

    @tornado.web.authenticated
    @authorized
    async def post(self, target: str, name: str, action: str) -> None:
        """Answer when it is done."""
        place, model = unquote(target), check_name(unquote(name))
        reason = self.body_as(Change).reason

        def change() -> str:
            from maas_jupyter import api

            verbs: dict[str, Callable[..., Any]] = {
                "promote": api.promote,
                "rollback": api.rollback,
                "load": api.load,
                "unload": api.unload,
                "unpublish": api.unpublish,
            }
            return _said(verbs[action](model, reason=reason, on=place))

        await self.carry_out(place, change)


class ServerHandler(ActionHandler):
    """``POST targets/TARGET/start`` and ``stop``: of the local server, with everything that it serves."""

    @tornado.web.authenticated
    @authorized
    async def post(self, target: str, action: str) -> None:
        """Answer when it is up, or down."""
        place = unquote(target)

        def change() -> str:
            from maas_jupyter import api

            return _said(api.start(on=place) if action == "start" else api.stop(on=place))

        await self.carry_out(place, change)


class CurlHandler(MaasHandler):
    """``GET endpoints/TARGET/NAME/curl``: a line for a shell that asks the endpoint; it holds no token."""

    @tornado.web.authenticated
    @authorized
    async def get(self, target: str, name: str) -> None:
        """Answer with the line."""
        self.finish({"text": await in_thread(_curl, unquote(target), check_name(unquote(name)))})


class AliasHandler(ActionHandler):
    """``PUT models/NAME/aliases/ALIAS``: point an alias at a version."""

    @tornado.web.authenticated
    @authorized
    async def put(self, name: str, alias: str) -> None:
        """Answer when it points there."""
        reference = _reference(check_name(unquote(name)), self.body_as(AliasedVersion).version)
        await self.carry_out("", partial(_set_alias, reference, unquote(alias)))


class DeletionHandler(ActionHandler):
    """``DELETE models/NAME/versions/VERSION`` and, of all of them with the model, ``DELETE models/NAME/versions``.

    The argument ``confirm`` is what was typed: the version's reference, or the model's name.
    """

    @tornado.web.authenticated
    @authorized
    async def delete(self, name: str, version: str | None = None) -> None:
        """Answer when it is gone; what serves is refused."""
        model = check_name(unquote(name))
        subject = model if version is None else _reference(model, unquote(version))
        await self.carry_out("", partial(_delete, subject, self.get_query_argument("confirm", "")))


class TargetsHandler(MaasHandler):
    """``GET targets``: where models can be published, and where MLflow's own pages are, or what shows them."""

    @tornado.web.authenticated
    @authorized
    async def get(self) -> None:
        """Answer with names; no target is asked."""
        self.finish(await in_thread(_targets))


def _reference(model: str, version: str) -> str:
    """Return the reference of a version by its number, never that of the newest or of an alias."""
    if not (version.isascii() and version.isdigit()):
        raise InvalidInput(f"'{version[:64]}' is no version of '{model}'.", hint="Give its number.")
    return f"{model}/{int(version)}"


def _said(found: Any) -> str:
    """Return what a verb did in one line."""
    line: str = getattr(found, "line", "") or str(found)
    return line


def _curl(target: str, name: str) -> str:
    from maas_jupyter import api

    found: Endpoint = api.subjects.to_endpoint(name, target)
    line = found.curl
    if not line:
        raise Conflict(f"{found.line}: there is nothing to send a request to.", hint=found.reason)
    return line


def _set_alias(reference: str, alias: str) -> str:
    from maas_jupyter import api

    return f"{api.alias(reference, alias).reference} is @{alias} now."


def _delete(subject: str, confirm: str) -> str:
    from maas_jupyter import api

    return _said(api.delete(subject, confirm=confirm))


def _targets() -> dict[str, Any]:
    from maas_jupyter import api, config

    settings = config.current()
    uri = settings.resolved_registry_uri
    return {
        "targets": api.subjects.target_names(),
        "default": settings.target,
        "mlflow_url": _pages(uri),
        # The addresses of other databases hold passwords.
        "mlflow_command": shlex.join(["mlflow", "ui", "--backend-store-uri", uri])
        if uri.startswith("sqlite:")
        else None,
    }


def _pages(uri: str) -> str | None:
    """Return where a browser finds MLflow, without the password that the URI may hold; None where it is no server."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        return None
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/"), "", ""))


def routes() -> list[Route]:
    """Return the routes."""
    given: dict[str, Any] = {"turns": Turns()}
    endpoint, model = "/endpoints/([^/]+)/([^/]+)", "/models/([^/]+)"
    return [
        ("/targets", TargetsHandler, {}),
        ("/targets/([^/]+)/(start|stop)", ServerHandler, given),
        (f"{endpoint}/publish", PublishHandler, given),
        (f"{endpoint}/(promote|rollback|load|unload|unpublish)", TrafficHandler, given),
        (f"{endpoint}/curl", CurlHandler, {}),
        (f"{model}/aliases/([^/]+)", AliasHandler, given),
        (f"{model}/versions/([^/]+)", DeletionHandler, given),
        (f"{model}/versions", DeletionHandler, given),
    ]
