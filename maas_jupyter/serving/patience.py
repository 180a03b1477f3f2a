"""How long a request is waited for: until its deadline, and while its client is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.requests import ClientDisconnect

from maas_jupyter.errors import Unavailable
from maas_jupyter.serving.exchange import RequestContext

T = TypeVar("T")


def too_late(retry_after: float | None = None) -> Unavailable:
    """Return the error of a request that cannot be answered before its deadline."""
    return Unavailable(
        "The request cannot be answered before its deadline.",
        hint="Send it again later, or with a longer X-Request-Timeout.",
        retry_after=retry_after,
    )


class Patience:
    """Watches a request's deadline and client, as a context.

    Parameters
    ----------
    context : RequestContext
        Of the request.
    ended : callable, optional
        Called once, when patience ends, with `Unavailable` or `ClientDisconnect`.
    """

    def __init__(self, context: RequestContext, ended: Callable[[Exception], None] | None = None) -> None:
        self._context = context
        self._ended = ended
        self._error: Exception | None = None
        self._end: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Future[None] | None = None

    def __enter__(self) -> Patience:
        deadline, disconnected = self._context.deadline, self._context.disconnected
        if deadline is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(deadline - time.monotonic(), self._expire, too_late())
        if disconnected is not None:
            self._watch = asyncio.ensure_future(disconnected())
            self._watch.add_done_callback(self._hung_up)
        return self

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()

    async def wait_for(self, awaitable: Awaitable[T]) -> T:
        """Await something; cancel it when patience ends.

        Raises
        ------
        Unavailable
            If the deadline passes first.
        ClientDisconnect
            If the client hangs up first.
        """
        task = asyncio.ensure_future(awaitable)
        self._end = end = asyncio.get_running_loop().create_future()
        try:
            if self._error is None:
                await asyncio.wait({task, end}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            assert self._error is not None
            raise self._error
        finally:
            self._end = None
            if not task.done():
                task.cancel()
                await asyncio.wait({task})

    def _hung_up(self, watch: asyncio.Future[None]) -> None:
        if not watch.cancelled() and watch.exception() is None:
            self._expire(ClientDisconnect())

    def _expire(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            if self._ended is not None:
                self._ended(error)
            if self._end is not None and not self._end.done():
                self._end.set_result(None)
