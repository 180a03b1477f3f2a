"""What every call passes on its way in and out: its id, its sender, its deadline, and the answer to what goes wrong."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from itertools import count
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc.aio import ServicerContext

from maas_jupyter.errors import (
    BundleError,
    Conflict,
    Forbidden,
    InvalidInput,
    MaasError,
    MissingDependency,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UsageError,
)
from maas_jupyter.serving.auth import ANONYMOUS, Authenticator, Principal
from maas_jupyter.serving.exchange import RequestContext, off_loop
from maas_jupyter.serving.options import Limits

#: Longer messages would not fit into the trailers that carry them.
_DETAILS = 1000
_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

_CODES: dict[type[BaseException], grpc.StatusCode] = {
    InvalidInput: grpc.StatusCode.INVALID_ARGUMENT,
    UsageError: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthorized: grpc.StatusCode.UNAUTHENTICATED,
    Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    BundleError: grpc.StatusCode.FAILED_PRECONDITION,
    MissingDependency: grpc.StatusCode.FAILED_PRECONDITION,
    TooManyRequests: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}

log = logging.getLogger(__name__)


class Incoming:
    """One call: who makes it, and what its metadata says."""

    def __init__(self, call: ServicerContext, request_id: str, seconds: float) -> None:
        found = {key: value for key, value in call.invocation_metadata() or () if isinstance(value, str)}
        asked_id, trace = found.get("x-request-id", ""), found.get("traceparent", "")
        self.principal: Principal = ANONYMOUS
        self.request_id = asked_id if _REQUEST_ID.fullmatch(asked_id) else request_id
        self.authorization = found.get("authorization", "")
        self._traceparent = trace if _TRACEPARENT.fullmatch(trace) else ""
        self._routing_key = found.get("x-routing-key", "")
        self._seconds = seconds
        self._context: RequestContext | None = None
        remaining = call.time_remaining()
        self._end = None if remaining is None else time.monotonic() + remaining
        trailers = [("x-request-id", self.request_id)]
        if self._traceparent:
            trailers.append(("traceparent", self._traceparent))
        call.set_trailing_metadata(tuple(trailers))

    @property
    def late(self) -> bool:
        """Whether the call's own deadline is over."""
        return self._end is not None and time.monotonic() >= self._end

    def context(self, seconds: float | None = None) -> RequestContext:
        """Return the context of one request of the call, which names perhaps a time limit of its own."""
        ends = [time.monotonic() + (seconds or self._seconds)] if seconds or self._end is None else []
        if self._end is not None:
            ends.append(self._end)
        self._context = RequestContext(self.principal, self.request_id, self._traceparent, self._routing_key, min(ends))
        return self._context

    def answered(self) -> None:
        """Do what is left to do when the answer to the last request is out."""
        if self._context is not None and self._context.afterwards is not None:
            self._context.afterwards()


#: Takes a request's message and its call; returns the answer's message.
Unary = Callable[[Any, Incoming], Awaitable[Any]]
#: Takes the messages of a stream and their call; yields messages.
Stream = Callable[[AsyncIterator[Any], Incoming], AsyncGenerator[Any, None]]


class Gate:
    """Turns what answers messages into what gRPC calls.

    Parameters
    ----------
    authenticate : Authenticator
        Knows the tokens.
    limits : Limits
        Of which the deadline of a call that names none counts here.
    """

    def __init__(self, authenticate: Authenticator, limits: Limits) -> None:
        self._authenticate = authenticate
        self._seconds = limits.request_seconds
        # Unique among servers by its first part, within one by its second.
        self._first_part = secrets.token_hex(6)
        self._calls = count(1)

    def unary(self, answer: Unary, request: Any, *, probe: bool, admin: bool) -> grpc.RpcMethodHandler:
        """Return the handler of a method with one request and one answer.

        Parameters
        ----------
        answer : Unary
            Answers.
        request : type
            Class of the request's message.
        probe : bool
            Whether no token is asked for.
        admin : bool
            Whether an admin's token is asked for.
        """

        async def handle(body: bytes, call: ServicerContext) -> bytes:
            incoming = self._enter(call)
            try:
                if not probe:
                    self._admit(incoming, admin)
                body = (await answer(await off_loop(len(body), _parse, request, body), incoming)).SerializeToString()
                call.add_done_callback(lambda _: incoming.answered())
                return body
            except Exception as error:
                await _refuse(error, incoming, call)
                raise

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(self, answer: Stream, request: Any) -> grpc.RpcMethodHandler:
        """Return the handler of a method with streams both ways."""

        async def handle(bodies: AsyncIterator[bytes], call: ServicerContext) -> AsyncIterator[bytes]:
            incoming = self._enter(call)
            try:
                self._admit(incoming, False)
                messages = (await off_loop(len(body), _parse, request, body) async for body in bodies)
                async with aclosing(answer(messages, incoming)) as answers:
                    async for message in answers:
                        yield message.SerializeToString()
            except Exception as error:
                await _refuse(error, incoming, call)
                raise

        return grpc.stream_stream_rpc_method_handler(handle)

    def _enter(self, call: ServicerContext) -> Incoming:
        return Incoming(call, f"{self._first_part}-{next(self._calls)}", self._seconds)

    def _admit(self, incoming: Incoming, admin: bool) -> None:
        incoming.principal = self._authenticate(incoming.authorization.encode())
        if admin and incoming.principal.role != "admin":
            raise Forbidden("This token may ask models, but not administer the server.", hint="Use an admin's token.")


def _parse(kind: Any, body: bytes) -> Any:
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise InvalidInput(f"The request is not a {kind.DESCRIPTOR.name}: {error}") from error


def describe(error: Exception, incoming: Incoming) -> tuple[grpc.StatusCode, str]:
    """Return status and words of an error. What is ours to fix is logged, and only named by the request's id."""
    code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), grpc.StatusCode.INTERNAL)
    if code is grpc.StatusCode.UNAVAILABLE and incoming.late:
        code = grpc.StatusCode.DEADLINE_EXCEEDED
    if isinstance(error, MaasError) and code is not grpc.StatusCode.INTERNAL:
        words = str(error)
        return code, words if len(words) <= _DETAILS else f"{words[:_DETAILS]}..."
    log.error("request %s failed", incoming.request_id, exc_info=error, extra={"request_id": incoming.request_id})
    return code, f"internal error (request {incoming.request_id})"


async def _refuse(error: Exception, incoming: Incoming, call: ServicerContext) -> None:
    """End the call with an error's status; does not return."""
    code, words = describe(error, incoming)
    trailers = call.trailing_metadata()
    if isinstance(error, Unavailable) and error.retry_after is not None:
        # What clients with a retry policy wait for, in milliseconds.
        trailers = (*trailers, ("grpc-retry-pushback-ms", str(int(error.retry_after * 1000))))
    await call.abort(code, words, trailers)
