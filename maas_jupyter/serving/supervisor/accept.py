"""Accepting connections on a socket that several workers share, each about as many as the others have.

The system wakes every worker for a new connection, and which is first is no matter of load: one would get all of them.
So each worker writes down how many connections it has, where the others see it, and one that has more than another lets
that one go first.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import socket
import ssl
from collections.abc import Callable

from maas_jupyter.serving.supervisor.launch import NOT_ACCEPTING

#: How long a worker with more connections leaves a new one to the others.
COURTESY_SECONDS = 0.001
#: How long nothing is accepted when descriptors or memory have run out.
EXHAUSTED_SECONDS = 0.1
#: How long a TLS handshake may take.
HANDSHAKE_SECONDS = 20.0

log = logging.getLogger(__name__)


class Shares:
    """How many connections each worker has: numbers in memory that all workers and the supervisor see.

    Parameters
    ----------
    descriptor : int
        As `launch.share_memory` made it.
    """

    def __init__(self, descriptor: int) -> None:
        self._numbers = memoryview(mmap.mmap(descriptor, 0)).cast("I")
        self._free = set(range(len(self._numbers)))

    def take(self) -> int:
        """Return a place that no worker has; called by the supervisor only."""
        return self._free.pop()

    def give_back(self, place: int) -> None:
        """Note that a worker accepts no more, however it ended."""
        self._numbers[place] = NOT_ACCEPTING
        self._free.add(place)

    def write(self, place: int, connections: int) -> None:
        """Note how many connections a worker has."""
        self._numbers[place] = connections

    def fewest(self) -> int:
        """Return how many connections the worker has that has fewest."""
        return min(self._numbers)


class Acceptor:
    """Accepts on a listening socket; has what uvicorn asks of a server.

    Parameters
    ----------
    listening : socket
        Not blocking; closed by whoever made it.
    protocol : callable
        Returns the protocol of a new connection.
    tls : ssl.SSLContext, optional
        For TLS.
    shares : Shares
        Of all workers.
    place : int
        This worker's place in them.
    count : callable
        Returns how many connections this worker has.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        *,
        shares: Shares,
        place: int,
        count: Callable[[], int],
    ) -> None:
        self.sockets = (listening,)
        self._listening = listening
        self._protocol = protocol
        self._tls = tls
        self._shares = shares
        self._place = place
        self._count = count
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._open = True
        self._note()
        self._loop.add_reader(listening.fileno(), self._ready)

    @property
    def opening(self) -> bool:
        """Whether connections were accepted that have no protocol yet."""
        return bool(self._opening)

    def close(self) -> None:
        """Accept no more."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._listening.fileno())
            if self._pause:
                self._pause.cancel()
            self._shares.write(self._place, NOT_ACCEPTING)

    async def wait_closed(self) -> None:
        """Do nothing: it is closed at once."""

    def _note(self) -> int:
        own = self._count() + len(self._opening)
        self._shares.write(self._place, own)
        return own

    def _ready(self) -> None:
        if self._note() > self._shares.fewest():
            # The other was woken too. Should it be busy, or end, the connection is taken a moment later.
            self._wait(COURTESY_SECONDS)
        else:
            self._accept()

    def _wait(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening.fileno())
        self._pause = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._loop.add_reader(self._listening.fileno(), self._ready)
        self._accept()

    def _accept(self) -> None:
        """Accept one connection; of many that wait the others get their part meanwhile."""
        try:
            accepted, _ = self._listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError as error:
            log.error("no connection can be accepted for now: %s", error)
            self._wait(EXHAUSTED_SECONDS)
            return
        accepted.setblocking(False)
        task = self._loop.create_task(self._begin(accepted))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        self._note()

    async def _begin(self, accepted: socket.socket) -> None:
        timeout = HANDSHAKE_SECONDS if self._tls else None
        try:
            await self._loop.connect_accepted_socket(
                self._protocol, accepted, ssl=self._tls, ssl_handshake_timeout=timeout
            )
        except OSError as error:  # the client is gone, or speaks no TLS
            log.debug("a connection did not begin: %s", error)
            accepted.close()
