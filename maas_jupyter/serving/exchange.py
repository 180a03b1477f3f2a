"""One request as the protocols see it, whatever transport brought it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, ParamSpec, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope

from maas_jupyter.serving.auth import Principal
from maas_jupyter.serving.encoding import COMPRESSED_FROM, compressed, decompressed
from maas_jupyter.serving.options import Limits

#: What makes or reads more bytes than this happens in a thread: the event loop has other clients.
OFF_LOOP_BYTES = 128 * 1024
#: Few: values take several times the memory of their text while they are decoded.
_THREADS = ThreadPoolExecutor(2, thread_name_prefix="maas-code")

P = ParamSpec("P")
T = TypeVar("T")


async def off_loop(size: int, function: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Call a function, in a thread where it has much to do.

    Parameters
    ----------
    size : int
        Of what it decodes or encodes, in bytes.
    function, arguments, named
        The call.

    Returns
    -------
    object
        What the function returned.
    """
    if size <= OFF_LOOP_BYTES:
        return function(*arguments, **named)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, partial(function, *arguments, **named))


class RequestContext:
    """What limits, counts, routing and logs hang on.

    Attributes
    ----------
    principal : Principal
        Who asks.
    request_id : str
        The client's ``X-Request-Id``, else one of our own.
    traceparent : str
        W3C trace context as it came, empty where none did.
    routing_key : str
        What sticky assignment hashes (header ``X-Routing-Key``), empty where the request has none.
    deadline : float or None
        When the answer is no longer wanted, on the clock of `time.monotonic` (header ``X-Request-Timeout``, seconds).
    disconnected : callable, optional
        Returns an awaitable that ends when the client hung up. Not awaited before the body was read to its end.
    afterwards : callable, optional
        What is left to do when the answer is out; set by the data plane, called by the door that sent the answer.
    """

    __slots__ = ("afterwards", "deadline", "disconnected", "principal", "request_id", "routing_key", "traceparent")

    def __init__(
        self,
        principal: Principal,
        request_id: str = "",
        traceparent: str = "",
        routing_key: str = "",
        deadline: float | None = None,
        disconnected: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.principal = principal
        self.request_id = request_id
        self.traceparent = traceparent
        self.routing_key = routing_key
        self.deadline = deadline
        self.disconnected = disconnected
        self.afterwards: Callable[[], None] | None = None


#: Where an ASGI scope holds a body that arrived together with its head; it is not received then.
WHOLE_BODY = "maas.body"

JSON_HEADERS: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]


class Reply(NamedTuple):
    """A successful answer; its ``content-length`` and ``x-request-id`` are added where it is sent."""

    body: bytes
    headers: list[tuple[bytes, bytes]] = JSON_HEADERS

    def response(self) -> Response:
        """Return it for Starlette's router."""
        response = Response(self.body)
        response.raw_headers.extend(self.headers)
        return response


class Exchange:
    """An HTTP request on one of the direct routes, with its body not read yet.

    Parameters
    ----------
    scope : ASGI scope
        Of the request.
    receive : ASGI channel
        Of the request.
    headers : mapping of bytes to bytes
        By their names in lower case.
    context : RequestContext
        Gets its ``disconnected``.
    limits : Limits
        For the body.
    """

    __slots__ = ("_headers", "_limits", "_receive", "context", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, headers: Mapping[bytes, bytes], context: RequestContext, limits: Limits
    ) -> None:
        self.scope = scope
        self.context = context
        self._headers = headers
        self._receive = receive
        self._limits = limits
        context.disconnected = self.gone

    def header(self, name: bytes) -> bytes:
        """Return a header by its name in lower case; empty where the request has none."""
        return self._headers.get(name, b"")

    async def body(self) -> bytes:
        """Return the body, decompressed where it came with a ``Content-Encoding``.

        Raises
        ------
        HTTPException
            413 if it is, decompressed or not, larger than the limit, 408 if it takes too long to arrive, 415 if its
            encoding is unknown.
        InvalidInput
            If it is not in the encoding that it came with.
        ClientDisconnect
            If the client hung up before its end.
        """
        body = await self._body()
        encoding = self._headers.get(b"content-encoding")
        return await decompressed(body, encoding, self._limits.body_bytes) if encoding else body

    async def encoded(self, reply: Reply) -> Reply:
        """Return an answer compressed, where the request's ``Accept-Encoding`` asks for that and it is worth it."""
        accepted = self._headers.get(b"accept-encoding")
        if not accepted or len(reply.body) < COMPRESSED_FROM:
            return reply
        body, encoding = await compressed(reply.body, accepted)
        if not encoding:
            return reply
        return Reply(body, [*reply.headers, (b"content-encoding", encoding.encode()), (b"vary", b"accept-encoding")])

    async def _body(self) -> bytes:
        whole: bytes | None = self.scope.get(WHOLE_BODY)
        if whole is not None:
            if len(whole) > self._limits.body_bytes:
                raise _too_large(self._limits.body_bytes)
            return whole
        return await read_body(self._receive, self._limits)

    async def gone(self) -> None:
        """Wait until the client hangs up; for the time after the body was read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def read_body(receive: Receive, limits: Limits) -> bytes:
    """Return a request's body as it comes.

    Parameters
    ----------
    receive : ASGI channel
        Of the request.
    limits : Limits
        Of which ``body_bytes`` and ``body_seconds`` count here.

    Raises
    ------
    HTTPException
        413 if the body is larger (it is not read to its end), 408 if it takes too long to arrive.
    ClientDisconnect
        If the client hung up before its end.
    """
    try:
        return await asyncio.wait_for(_parts(receive, limits.body_bytes), limits.body_seconds)
    except asyncio.TimeoutError as error:
        raise HTTPException(408, f"The body took longer than {limits.body_seconds:g} s to arrive.") from error


async def _parts(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(
        413, f"The body is larger than the {limit:,} bytes that are taken here.\nSend it in several smaller requests."
    )


#: Takes the exchange, the model, and the version (None where the path names none).
Handler = Callable[[Exchange, str, "str | None"], Awaitable[Reply]]
