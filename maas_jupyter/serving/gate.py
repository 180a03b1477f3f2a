"""What every request passes on its way in and out: its id, its sender, and the answer to what goes wrong."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Mapping
from http import HTTPStatus
from itertools import count

# Private, but what the router behind the gate matches: another reading of a path here would open admin routes there.
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maas_jupyter.errors import Forbidden, InvalidInput
from maas_jupyter.serving.auth import ANONYMOUS, Authenticator, Principal
from maas_jupyter.serving.direct import DirectRoutes
from maas_jupyter.serving.exchange import Exchange, RequestContext
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.responses import error_response, status_of

#: Probes and the description of the API; they say nothing of what is served.
OPEN_PATHS = frozenset({"/", "/v2/health/live", "/v2/health/ready", "/openapi.json", "/docs", "/ping", "/health"})

#: Spellings of the ``Authorization`` header that are known without comparing tokens again.
_KNOWN_SENDERS = 1024
_ADMIN_PATHS = re.compile(r"/maas/|/v2/repository/models/")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")

log = logging.getLogger(__name__)


class Gate:
    """Outermost ASGI application; answers the direct routes itself and lets what it admits through to another.

    Puts ``context`` (a `RequestContext`) and ``local_path`` (without the mount) into the scope.

    Parameters
    ----------
    app : ASGI application
        What is behind the gate.
    direct : DirectRoutes
        What is answered here.
    authenticate : Authenticator
        Knows the tokens.
    limits : Limits
        For the bodies of the direct routes, and the deadline of a request that names none.
    """

    def __init__(self, app: ASGIApp, direct: DirectRoutes, authenticate: Authenticator, limits: Limits) -> None:
        self._app = app
        self._find = direct.find
        self._authenticate = authenticate
        self._limits = limits
        self._senders: dict[bytes, Principal] = {}
        # Unique among servers by its first part, within one by its second.
        self._first_part = secrets.token_hex(6)
        self._requests = count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        scope["context"] = context = self._context(headers)
        answer = _Answer(send, context)
        try:
            scope["local_path"] = path = get_route_path(scope)
            if path not in OPEN_PATHS:
                context.principal = self._sender(headers.get(b"authorization", b""))
                if context.principal.role != "admin" and _ADMIN_PATHS.match(path):
                    raise Forbidden(
                        "This token may ask models, but not administer the server.", hint="Use an admin's token."
                    )
            context.deadline = self._deadline(headers)
            direct = self._find(path)
            if direct is None:
                await self._app(scope, receive, answer)
            else:
                if scope["method"] != "POST":
                    raise HTTPException(405, headers={"Allow": "POST"})
                exchange = Exchange(scope, receive, headers, context, self._limits)
                reply = await direct.handler(exchange, direct.model, direct.version)
                if b"accept-encoding" in headers:
                    reply = await exchange.encoded(reply)
                answer.started = True
                head = [(b"content-length", b"%d" % len(reply.body)), *reply.headers, *_own_headers(context)]
                await send({"type": "http.response.start", "status": 200, "headers": head})
                await send({"type": "http.response.body", "body": reply.body})
            if context.afterwards is not None:
                context.afterwards()
        except ClientDisconnect:
            log.info("request %s was abandoned by its client", context.request_id)
        except Exception as error:
            if answer.started:
                raise
            await self._refuse(error, scope, receive, answer)

    def _context(self, headers: Mapping[bytes, bytes]) -> RequestContext:
        request_id = headers.get(b"x-request-id")
        traceparent = headers.get(b"traceparent")
        routing_key = headers.get(b"x-routing-key")
        return RequestContext(
            ANONYMOUS,
            request_id.decode()
            if request_id and _REQUEST_ID.fullmatch(request_id)
            else f"{self._first_part}-{next(self._requests)}",
            traceparent.decode() if traceparent and _TRACEPARENT.fullmatch(traceparent) else "",
            routing_key.decode("latin-1") if routing_key else "",
        )

    def _sender(self, authorization: bytes) -> Principal:
        known = self._senders.get(authorization)
        if known is None:
            known = self._authenticate(authorization)
            if len(self._senders) < _KNOWN_SENDERS:
                self._senders[authorization] = known
        return known

    def _deadline(self, headers: Mapping[bytes, bytes]) -> float:
        header = headers.get(b"x-request-timeout")
        if header is None:
            return time.monotonic() + self._limits.request_seconds
        try:
            seconds = float(header)
        except ValueError:
            seconds = -1.0
        if not 0 < seconds < 1e6:
            raise InvalidInput(
                "X-Request-Timeout is not a number of seconds.", hint="Send for example X-Request-Timeout: 2.5"
            )
        return time.monotonic() + seconds

    async def _refuse(self, error: Exception, scope: Scope, receive: Receive, answer: _Answer) -> None:
        context: RequestContext = scope["context"]
        status = status_of(error)
        if status >= 500:
            log.log(
                logging.ERROR if status == 500 else logging.WARNING,
                "request failed with %d: %s %s: %s",
                status,
                scope["method"],
                scope["path"][:200],
                error,
                exc_info=error if status == 500 else None,
                extra={
                    "request_id": context.request_id,
                    "traceparent": context.traceparent,
                    "principal": context.principal.name,
                },
            )
        if isinstance(error, HTTPException) and error.detail == HTTPStatus(status).phrase:
            # The router's own words do not say what was asked for.
            allowed = (error.headers or {}).get("Allow")
            hint = f"It takes {allowed}." if allowed else "GET /docs shows every route."
            words = f"There is no {scope['method']} {scope['local_path'][:200]} here.\n{hint}"
            error = HTTPException(status, words, error.headers)
        await error_response(error, context.request_id, scope["local_path"])(scope, receive, answer)


def _own_headers(context: RequestContext) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-request-id", context.request_id.encode())]
    if context.traceparent:
        headers.append((b"traceparent", context.traceparent.encode()))
    return headers


class _Answer:
    """Another application's way out: gives the answer's head the request's id and its trace."""

    __slots__ = ("_context", "_send", "started")

    def __init__(self, send: Send, context: RequestContext) -> None:
        self.started = False
        self._send = send
        self._context = context

    async def __call__(self, message: Message) -> None:
        if not self.started:
            self.started = True
            message["headers"] = [*message["headers"], *_own_headers(self._context)]
        await self._send(message)
