"""Giving memory back to the system."""

from __future__ import annotations

import ctypes
import time

#: Processor seconds after which there may be something to give back, and below which a worker is idle for a second.
_WORKED = 0.5
_IDLE = 0.05


def give_back() -> None:
    """Give what is freed back to the system; does nothing where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class Reclaimer:
    """Keeps freed memory for the next run while there is work, and gives it back in the first idle second after it."""

    def __init__(self) -> None:
        self._seen = self._given = time.process_time()

    def look(self) -> None:
        """Look whether this process is idle; to be called once a second."""
        now = time.process_time()
        if now - self._seen < _IDLE and self._seen - self._given > _WORKED:
            give_back()
            self._given = time.process_time()
        self._seen = now
