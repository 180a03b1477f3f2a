"""Calls between two processes, both ways at once over one socket.

A frame is four bytes of length, big-endian, and that many bytes of msgpack: ``["call", number, method, arguments]``,
``["answer", number, result]`` or ``["failure", number, kind, message, hint, retry_after]``. The number is the caller's
own and pairs an answer with its call.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
import struct
from functools import lru_cache, partial
from itertools import count
from typing import Any, TypeVar, cast, get_type_hints

import msgspec
from msgspec import Raw, Struct

from maas_jupyter import errors
from maas_jupyter.errors import MaasError, Unavailable

#: Largest frame in bytes; a longer one means that the two ends do not speak the same language.
FRAME_LIMIT = 1 << 30

_LENGTH = struct.Struct(">I")
_KINDS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MaasError)}

log = logging.getLogger(__name__)


class PeerEnded(Unavailable):
    """The other end of a channel is gone; what was asked of it may have been done or not."""


class _Call(Struct, array_like=True, tag="call"):
    number: int
    method: str
    arguments: Raw


class _Answer(Struct, array_like=True, tag="answer"):
    number: int
    result: Raw


class _Failure(Struct, array_like=True, tag="failure"):
    number: int
    kind: str
    message: str
    hint: str = ""
    retry_after: float | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Call | _Answer | _Failure).decode


def frame(message: object) -> bytes:
    """Return a message as one frame."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


S = TypeVar("S", bound=Struct)


def receive(sock: socket.socket, kind: type[S]) -> S:
    """Wait for the one message that comes before the calls.

    Raises
    ------
    EOFError
        If the other end is gone.
    """
    (length,) = _LENGTH.unpack(_exactly(sock, _LENGTH.size))
    return msgspec.msgpack.decode(_exactly(sock, length), type=kind)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = sock.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


class Frames:
    """Cuts a stream of bytes into the bodies of its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; return the bodies that are complete.

        Raises
        ------
        ValueError
            If a frame claims to be longer than `FRAME_LIMIT`.
        """
        buffer = self._buffer
        buffer += data
        bodies = []
        start = 0
        while len(buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > FRAME_LIMIT:
                raise ValueError(f"a frame of {length} bytes")
            end = start + _LENGTH.size + length
            if len(buffer) < end:
                break
            bodies.append(bytes(buffer[start + _LENGTH.size : end]))
            start = end
        del buffer[:start]
        return bodies


class Method:
    """How one method's arguments and result are decoded, from its annotations."""

    def __init__(self, function: Any) -> None:
        hints = get_type_hints(function)
        result = hints.pop("return")
        self.arguments = msgspec.msgpack.Decoder(tuple[tuple(hints.values())])  # type: ignore[misc]
        self.result = msgspec.msgpack.Decoder(result)


@lru_cache
def methods(protocol: type) -> dict[str, Method]:
    """Return the coroutine methods of a protocol class."""
    members = inspect.getmembers(protocol, inspect.iscoroutinefunction)
    return {name: Method(function) for name, function in members if not name.startswith("_")}


class Channel(asyncio.Protocol):
    """One end.

    Parameters
    ----------
    asks : type
        The protocol class of what the other end offers.
    offers : type
        The protocol class of what this end offers.
    by : object
        What does it.
    peer : str
        The other end in the user's words, for errors: ``"The supervisor"``.

    Attributes
    ----------
    closed : asyncio.Future
        Done when the other end is gone.
    """

    def __init__(self, *, asks: type, offers: type, by: object, peer: str) -> None:
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asks = methods(asks)
        self._offers = methods(offers)
        self._by = by
        self._peer = peer
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._numbers = count()
        self._waiting: dict[int, tuple[Method, asyncio.Future[Any]]] = {}
        self._working: set[asyncio.Task[None]] = set()

    async def open(self, sock: socket.socket) -> None:
        """Begin to speak and to listen."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=sock)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    async def call(self, method: str, *arguments: Any) -> Any:
        """Ask the other end.

        Raises
        ------
        PeerEnded
            If the other end is gone, or ends before it has answered.
        MaasError
            What the other end raised. What it did not foresee is an internal error here; its log has the rest.
        """
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (self._asks[method], future)
        try:
            self._send(("call", number, method, arguments))
            return await future
        finally:
            del self._waiting[number]

    def __getattr__(self, method: str) -> Any:
        # The channel stands for its other end: `channel.prepare(...)` is `channel.call("prepare", ...)`.
        if method.startswith("_") or method not in self._asks:
            raise AttributeError(f"the other end offers no '{method}'")
        return partial(self.call, method)

    def tell(self, method: str, *arguments: Any) -> None:
        """Ask the other end without waiting for it; nothing happens where it is gone."""
        if self._transport is not None and not self._transport.is_closing():
            self._send(("call", next(self._numbers), method, arguments))

    def _send(self, message: object) -> None:
        if self._transport is None or self._transport.is_closing():
            raise self._ended()
        self._transport.write(frame(message))

    def _ended(self) -> PeerEnded:
        return PeerEnded(f"{self._peer} has ended.", hint="Try again.", retry_after=1.0)

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what can be written to."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Take frames apart: begin calls, end waits."""
        for body in self._frames.feed(data):
            message = _decode(body)
            if isinstance(message, _Call):
                task = asyncio.get_running_loop().create_task(self._answer(message))
                self._working.add(task)
                task.add_done_callback(self._working.discard)
            elif message.number in self._waiting:
                method, future = self._waiting[message.number]
                if not future.done():
                    self._settle(message, method, future)

    @staticmethod
    def _settle(message: _Answer | _Failure, method: Method, future: asyncio.Future[Any]) -> None:
        if isinstance(message, _Answer):
            future.set_result(method.result.decode(message.result))
            return
        kind = _KINDS.get(message.kind, MaasError)
        if issubclass(kind, Unavailable):
            future.set_exception(kind(message.message, message.hint, retry_after=message.retry_after))
        else:
            future.set_exception(kind(message.message, message.hint))

    async def _answer(self, call: _Call) -> None:
        try:
            arguments = self._offers[call.method].arguments.decode(call.arguments)
            answer = frame(("answer", call.number, await getattr(self._by, call.method)(*arguments)))
        except MaasError as error:
            kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in _KINDS)
            retry_after = getattr(error, "retry_after", None)
            answer = frame(("failure", call.number, kind, error.message, error.hint, retry_after))
        except asyncio.CancelledError:
            answer = frame(("failure", call.number, Unavailable.__name__, "The server is ending."))
        except Exception:
            log.exception("%s failed", call.method)
            # What went wrong in detail may hold what is nobody's business; it is in this end's log.
            answer = frame(("failure", call.number, MaasError.__name__, f"{call.method}: internal error"))
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """End every wait."""
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(self._ended())
        self.closed.set_result(None)
