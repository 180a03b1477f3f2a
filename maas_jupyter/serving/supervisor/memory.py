"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import time

#: Processor seconds after which there may be something to give back, and below which a worker is idle for a second.
_WORKED = 0.5
_IDLE = 0.05
#: Processor seconds of one second below which a worker is not under load, and how often such a second is used.
_CALM = 0.5
_CALM_SECONDS = 60.0


def give_back() -> None:
    """Give what is freed back to the system; does nothing where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Reclaimer:
    """Keeps freed memory for the next run while there is work, and gives it back in the first idle second after it.

    A worker that always has a little to do has no such second, and one that did little keeps what that took: both give
    back once a minute, in a second in which they are not under load.
    """

    def __init__(self) -> None:
        self._seen = self._given = time.process_time()
        self._at = time.monotonic()

    def look(self) -> None:
        """Look whether this process is idle; to be called once a second."""
        now = time.process_time()
        used = now - self._seen
        idle_after_work = used < _IDLE and self._seen - self._given > _WORKED
        if idle_after_work or (used < _CALM and time.monotonic() - self._at >= _CALM_SECONDS):
            give_back()
            self._given, self._at = time.process_time(), time.monotonic()
        self._seen = now
