"""Looking at something slow, without ever holding up the event loop or looking twice at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

from maas_jupyter.errors import MaasError
from maas_jupyter.monitoring.background import in_thread

T = TypeVar("T")

_log = logging.getLogger(__name__)

#: Seconds that a request waits at most for a look at what was slower than this the last time.
_BRIEF = 0.25
#: How many times as long a first look may take where there is nothing to answer with before it.
_FIRST = 10


class Feed(Generic[T]):
    """Something that is looked at when somebody asks, in a thread, one look at a time.

    Parameters
    ----------
    what : str
        What is looked at, as the subject of a sentence: ``"The registry"``.
    look : callable
        Takes a look; may block and may raise.
    take : callable
        Receives what a look saw, on the event loop's thread.
    interval : float
        Seconds from the start of one look to the earliest start of the next.
    patience : float
        Seconds that a request waits for a look. One that takes longer goes on, for later requests; and what was slow
        the last time is waited for only briefly, so that it makes one request late and not every one.
    rest : float
        A look comes at the earliest so many times as long after the start of the one before as the last two took at
        least: for what costs processor time, and not only waiting. One that is slow by itself imported something.
    """

    def __init__(
        self,
        what: str,
        look: Callable[[], T],
        take: Callable[[T], None],
        *,
        interval: float,
        patience: float,
        rest: float = 1.0,
    ) -> None:
        self._what = what
        self._look = look
        self._take = take
        self._interval = interval
        self._patience = patience
        self._rest = rest
        self._took = 0.0
        self._started = self._earliest = -float("inf")
        self._pending: asyncio.Future[T] | None = None
        self._error = ""

    @property
    def trouble(self) -> str:
        """Why what is known may be out of date, in words; empty while all is well."""
        waiting = monotonic() - self._started
        if self._pending is not None and waiting >= self._patience:
            return f"{self._what} has not answered for {waiting:.0f} s."
        return self._error

    async def refresh(self) -> None:
        """Start a look if the last one is old enough, and wait for the one under way until patience ends."""
        if monotonic() >= self._earliest:
            self._start()
        await self._wait(self._patience if self._took < _BRIEF else min(_BRIEF, self._patience))

    async def look_anew(self) -> None:
        """Wait for a look that starts now, or for the one under way, until patience ends."""
        self._start()
        await self._wait(self._patience)

    async def first_look(self) -> None:
        """Wait for the first look, which may import what makes looks possible, much longer than for others."""
        self._start()
        await self._wait(_FIRST * self._patience)

    def _start(self) -> None:
        if self._pending is None:
            self._started = monotonic()
            self._earliest = self._started + self._interval
            self._pending = in_thread(self._look)
            self._pending.add_done_callback(self._done)

    async def _wait(self, seconds: float) -> None:
        if self._pending is not None:
            # wait, unlike wait_for, neither cancels the look nor raises what it raised.
            left = self._started + seconds - monotonic()
            await asyncio.wait([self._pending], timeout=max(0.0, left))

    def _done(self, look: asyncio.Future[T]) -> None:
        self._pending = None
        took, before = monotonic() - self._started, self._took
        self._took = took
        error = look.exception()
        if error is None:
            self._earliest = max(self._earliest, self._started + self._rest * min(took, before))
            try:
                self._take(look.result())
                self._error = ""
                return
            except Exception as odd:  # noqa: BLE001 (what was seen makes no sense, and that is said)
                error = odd
        words = in_words(error) if isinstance(error, MaasError) else f"{self._what} could not be looked at: {error!r}"
        if words != self._error:
            _log.warning(words, exc_info=None if isinstance(error, MaasError) else error)
        self._error = words


def in_words(error: MaasError) -> str:
    """Return an error's message and hint as one line."""
    return " ".join(str(error).split())
