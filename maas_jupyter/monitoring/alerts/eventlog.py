"""What fired and cleared, appended to a file of JSON lines that does not grow without bound.

Every Jupyter server of a home sees the same alerts. The one that holds the lock writes them down; when it ends, the
next one to look takes over, and adds what happened in between.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import structs

from maas_jupyter.errors import Unavailable
from maas_jupyter.monitoring.alerts.rulefile import WRITABLE
from maas_jupyter.monitoring.alerts.rules import RuleKey
from maas_jupyter.monitoring.rows import AlertEvent
from maas_jupyter.schema import UNREADABLE, decoder, write_atomic

if TYPE_CHECKING:
    from filelock import FileLock

#: Events that stay when the file is made smaller, which it is at twice as many.
KEPT = 1000


class EventLog:
    """The history of alerts. Its methods may block.

    Parameters
    ----------
    path : Path
        The file; made at the first event.
    kept : int
        Events that are kept at least.

    Attributes
    ----------
    is_writer : bool
        Whether this log holds the lock, and so writes.
    """

    def __init__(self, path: Path, kept: int = KEPT) -> None:
        self._path = path
        self._kept = kept
        self._lines: int | None = None
        self._writing = threading.Lock()
        self._lock: FileLock | None = None
        self.is_writer = False

    def take_over(self, firing: Mapping[RuleKey, AlertEvent], now: float) -> list[AlertEvent]:
        """Become the writer if there is no other, and return what the one before did not write.

        Parameters
        ----------
        firing : mapping
            What fires now.
        now : float
            When whatever cleared without a witness is said to have cleared, in epoch seconds.

        Raises
        ------
        Unavailable
            If the lock or the file cannot be had.
        """
        # Imported only where there are rules: it costs the Jupyter server's start.
        from filelock import FileLock, Timeout

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Not thread-local: whichever thread takes it, it is the process that holds it.
            self._lock = self._lock or FileLock(self._path.with_suffix(".lock"), thread_local=False)
            with suppress(Timeout):
                self._lock.acquire(timeout=0)
                newest = {_which(event): event for event in self._read()}
                self.is_writer = True
                return _missing(newest, firing, now)
        # A file system without locks raises the second.
        except (OSError, NotImplementedError) as error:
            self._release()
            raise self._unwritable(error) from error
        return []

    def close(self) -> None:
        """Let another one write."""
        with self._writing:
            self.is_writer = False
            self._release()

    def append(self, events: Iterable[AlertEvent]) -> None:
        """Write events down, as the writer.

        Raises
        ------
        Unavailable
            If they cannot be written.
        """
        lines = [msgspec.json.encode(event) + b"\n" for event in events]
        with self._writing:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with self._path.open("ab+") as file:
                    # A line that was cut when its writer died must not take the next one with it.
                    if file.tell() and not self._ends(file.tell()):
                        file.write(b"\n")
                    file.write(b"".join(lines))
                self._lines = len(self._read()) if self._lines is None else self._lines + len(lines)
                if self._lines >= 2 * self._kept:
                    self._shrink()
            except OSError as error:
                raise self._unwritable(error) from error

    def read(self) -> list[AlertEvent]:
        """Return the events, oldest first; a line that is no event is passed over.

        Raises
        ------
        Unavailable
            If the file cannot be read.
        """
        try:
            return self._read()
        except OSError as error:
            raise Unavailable(
                f"The history of alerts cannot be read from {self._path}: {error}",
                hint="Look at the rights of that file.",
            ) from error

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release(force=True)

    def _unwritable(self, error: Exception) -> Unavailable:
        return Unavailable(f"The history of alerts cannot be written to {self._path}: {error}", hint=WRITABLE)

    def _ends(self, size: int) -> bool:
        with self._path.open("rb") as file:
            file.seek(size - 1)
            return file.read(1) == b"\n"

    def _read(self) -> list[AlertEvent]:
        decode = decoder(AlertEvent).decode
        events = []
        try:
            lines = self._path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        for line in lines:
            try:
                events.append(decode(line))
            except UNREADABLE:
                continue
        return events

    def _shrink(self) -> None:
        events = self._read()
        before, kept = events[: -self._kept], events[-self._kept :]
        # What fires still is known from its event alone, however long ago that was.
        newest = {_which(event): event for event in events}
        still = [event for event in before if newest[_which(event)] is event and event.change == "fired"]
        write_atomic(self._path, b"".join(msgspec.json.encode(event) + b"\n" for event in [*still, *kept]))
        self._lines = len(still) + len(kept)


def _which(event: AlertEvent) -> RuleKey:
    return event.target, event.name, event.kind


def _missing(
    newest: Mapping[RuleKey, AlertEvent], firing: Mapping[RuleKey, AlertEvent], now: float
) -> list[AlertEvent]:
    written = {which: event for which, event in newest.items() if event.change == "fired"}
    cleared = [
        structs.replace(event, time=now, change="cleared", value=None, reason="")
        for which, event in written.items()
        if which not in firing
    ]
    fired = [event for which, event in firing.items() if which not in written]
    return sorted([*cleared, *fired], key=lambda event: event.time)
