"""Uvicorn's connections with limits of our own, and a shorter way for the requests that a load consists of.

Uvicorn limits neither how long a connection may owe the head of a request nor how large that may be: whoever opens
connections and sends nothing, or a byte now and then, holds them for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import lru_cache
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from maas_jupyter.serving.direct import LONGEST_PATH, DirectRoutes
from maas_jupyter.serving.exchange import WHOLE_BODY
from maas_jupyter.serving.options import Limits

#: Largest head of a request in bytes, where it arrives in several parts.
HEAD_BYTES = 64 * 1024

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
#: The time for a head is measured in so many steps.
_STEPS = 10

log = logging.getLogger(__name__)


def protocol_class(limits: Limits, direct: DirectRoutes) -> type[asyncio.Protocol]:
    """Return what uvicorn makes of each connection (its setting ``http``).

    Parameters
    ----------
    limits : Limits
        ``header_seconds`` counts here.
    direct : DirectRoutes
        Paths whose requests take the shorter way.

    Returns
    -------
    type
        One class for one server: its connections are watched together.
    """
    sweeper = _Sweeper(limits.header_seconds)
    try:
        from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    except ImportError:
        from uvicorn.protocols.http.h11_impl import H11Protocol

        class Watched(H11Protocol):
            """A connection that owes no request's head for long; h11 limits its size."""

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                sweeper.watch(self)

            def connection_lost(self, exc: Exception | None) -> None:
                sweeper.forget(self)
                super().connection_lost(exc)

        return Watched

    @lru_cache(maxsize=1024)
    def direct_path(url: bytes) -> str | None:
        path = url.decode("latin-1")
        return path if path.isascii() and not set(path) & set("%?#") and direct.find(path) else None

    class Connection(HttpToolsProtocol):
        """A connection that owes no request's head for long, and none that is large.

        Requests for direct routes that arrive whole are answered by `_WholeRequest` in place of uvicorn's own cycle.
        """

        _path: str | None = None
        _body = b""
        _head: Any = None
        _head_bytes = 0

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            sweeper.watch(self)

        def connection_lost(self, exc: Exception | None) -> None:
            sweeper.forget(self)
            if isinstance(self.cycle, _WholeRequest):
                self.cycle.hang_up()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._path is not None:
                self._pass_on()
            head = self.scope
            if head is not None and "method" not in head:
                # The head has begun and is not complete: the parser keeps all of it.
                self._head_bytes = len(data) if head is not self._head else self._head_bytes + len(data)
                self._head = head
                if self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
                    self.transport.write(_TOO_LARGE)
                    self.transport.close()

        def on_headers_complete(self) -> None:
            path = direct_path(self.url) if len(self.url) <= LONGEST_PATH else None
            if (
                path is None
                or (self.cycle is not None and not self.cycle.response_complete)
                or self.expect_100_continue
                or self.parser.get_method() != b"POST"
                or self.parser.should_upgrade()
            ):
                super().on_headers_complete()
            else:
                self._path, self._body = path, b""

        def on_body(self, body: bytes) -> None:
            if self._path is None:
                super().on_body(body)
            else:
                self._body = self._body + body if self._body else body

        def on_message_complete(self) -> None:
            path = self._path
            if path is None:
                super().on_message_complete()
                return
            self._path = None
            scope: Any = self.scope
            scope["method"] = "POST"
            scope["path"] = path
            scope["raw_path"] = self.url
            scope["query_string"] = b""
            scope[WHOLE_BODY] = self._body
            version = self.parser.get_http_version()
            if version != "1.1":
                scope["http_version"] = version
            keep_alive = version != "1.0" and self.parser.should_keep_alive()
            self.cycle = _WholeRequest(self, scope, keep_alive)  # type: ignore[assignment]
            self._start_asgi_task(self.cycle, self.app)

        def _pass_on(self) -> None:
            """Leave a request that did not arrive whole to uvicorn."""
            self._path = None
            if not self.transport.is_closing():
                super().on_headers_complete()
                if self._body:
                    super().on_body(self._body)

        def on_response_complete(self) -> None:
            # As uvicorn's, but the time until the next request is the sweeper's: a timer a request costs too much.
            self.server_state.total_requests += 1
            if self.transport.is_closing():
                return
            self.flow.resume_reading()
            if self.pipeline:
                cycle, app = self.pipeline.pop()
                self._start_asgi_task(cycle, app)

    return Connection


class _NoEvent:
    """Stands where uvicorn's protocol notes what only its own cycle waits for."""

    def set(self) -> None:
        """Do nothing."""


class _WholeRequest:
    """A request whose body is there, and its answer: a head with a length and one body.

    Takes the place of uvicorn's cycle, whose attributes without an underscore its protocol looks at.
    """

    __slots__ = ("_connection", "_gone", "_scope", "_start", "disconnected", "keep_alive", "response_complete")

    more_body = False
    message_event = _NoEvent()

    def __init__(self, connection: Any, scope: Scope, keep_alive: bool) -> None:
        self.disconnected = False
        self.response_complete = False
        self.keep_alive = keep_alive
        self._connection = connection
        self._scope = scope
        self._start: Message | None = None
        self._gone: asyncio.Future[None] | None = None

    async def run_asgi(self, app: ASGIApp) -> None:
        """Answer."""
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            log.exception("a request failed in its application")
            self._connection.transport.close()

    async def receive(self) -> Message:
        """Wait for the end: the body is in the scope."""
        if not self.disconnected and not self.response_complete:
            if self._gone is None:
                self._gone = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._gone)
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Keep the head until its body is there, then write both."""
        if self._start is None:
            self._start = message
            return
        connection = self._connection
        if connection.flow.write_paused and not self.disconnected:
            await connection.flow.drain()
        if self.disconnected:
            return
        parts = [_STATUS_LINES[self._start["status"]]]
        for name, value in (*connection.server_state.default_headers, *self._start["headers"]):
            if name == b"connection" and value == b"close":
                self.keep_alive = False
            else:
                parts += (name, b": ", value, b"\r\n")
        parts.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        connection.transport.writelines((b"".join(parts), message["body"]))
        self.response_complete = True
        if self._gone is not None:
            self.hang_up()
        if not self.keep_alive:
            connection.transport.close()
        connection.on_response_complete()

    def hang_up(self) -> None:
        """Note that nobody waits for the answer any more."""
        self.disconnected = not self.response_complete
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)


class _Sweeper:
    """Looks at all connections a few times in their allowance, which costs a request nothing."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._connections: set[Any] = set()
        # By connection: its last request, and since when it has been owing the next one.
        self._owing: dict[Any, tuple[Any, float]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, connection: Any) -> None:
        """Look at a connection until it is forgotten."""
        self._connections.add(connection)
        if self._timer is None:
            self._arm(connection.loop)

    def forget(self, connection: Any) -> None:
        """Look at a connection no longer."""
        self._connections.discard(connection)

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._seconds / _STEPS, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        before, self._owing = self._owing, {}
        for connection in self._connections:
            last = connection.cycle
            if last is not None and not last.response_complete:
                continue
            known, since = before.get(connection, (last, now))
            if known is not last:
                since = now
            if now - since < self._seconds:
                self._owing[connection] = (last, since)
            else:
                connection.transport.close()
        self._timer = None
        if self._connections:
            self._arm(loop)
