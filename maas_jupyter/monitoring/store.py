"""Samples on disk: an hour of all that were taken, and a day of one for each minute."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec

from maas_jupyter.errors import Unavailable
from maas_jupyter.monitoring.history import Key
from maas_jupyter.monitoring.rows import Sample

#: Seconds for which samples and those of minutes are kept.
HOUR, DAY = 3600.0, 86_400.0

_SCHEMA = "".join(
    f"CREATE TABLE IF NOT EXISTS {table} (endpoint TEXT, time REAL, sample BLOB, PRIMARY KEY (endpoint, time))"
    " WITHOUT ROWID;"
    for table in ("samples", "minutes")
)
#: Seconds between two times that what is too old is dropped.
_PRUNE = 60.0
#: Seconds by which the clock of another machine with this home may be ahead.
_AHEAD = 60.0

_DAMAGED = "If it is damaged, move it away: a new one is made, and only the past of the endpoints is lost."
_encode = msgspec.msgpack.Encoder().encode


class SampleStore:
    """Keeps samples in a database of sqlite. What is added is written by `flush`, many at once.

    Parameters
    ----------
    path : Path
        The file; made when something is written for the first time.
    clock : callable
        Epoch seconds.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._decode = msgspec.msgpack.Decoder(Sample).decode
        self._new: dict[str, list[tuple[str, float, bytes]]] = {"samples": [], "minutes": []}
        self._writing = threading.Lock()
        self._pruned = -float("inf")

    def add(self, key: Key, sample: Sample) -> None:
        """Keep a sample for an hour."""
        self._new["samples"].append((_name(key), sample.time, _encode(sample)))

    def add_minute(self, key: Key, sample: Sample) -> None:
        """Keep the sample of a minute for a day."""
        self._new["minutes"].append((_name(key), sample.time, _encode(sample)))

    def flush(self) -> None:
        """Write what was added, and drop what is too old. May block.

        Raises
        ------
        Unavailable
            If it cannot be written; what was added is tried again the next time, an hour of it at most.
        """
        with self._writing:
            if not any(self._new.values()) and not self._path.exists():
                return
            # They stay there, for who reads meanwhile, until they are written; more may come behind them.
            new = {table: rows.copy() for table, rows in self._new.items()}
            now = self._clock()
            # Not "later than": the clock may have been set back since.
            prune = abs(now - self._pruned) >= _PRUNE
            done: dict[str, list[tuple[str, float, bytes]]] = {}
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                with closing(self._open()) as database, database:
                    for table, kept in (("samples", HOUR), ("minutes", DAY)):
                        database.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", new[table])
                        if prune:
                            database.execute(f"DELETE FROM {table} WHERE time < ?", (now - kept,))
                self._pruned = now if prune else self._pruned
                done = new
            except (OSError, sqlite3.Error) as error:
                done = {table: [row for row in rows if row[1] < now - HOUR] for table, rows in new.items()}
                raise Unavailable(
                    f"The history of endpoints cannot be written to {self._path}: {error}", hint=_DAMAGED
                ) from error
            finally:
                for table, rows in done.items():
                    # They are the oldest, and taking them away is one step: nothing is added in between.
                    del self._new[table][: len(rows)]

    def read(self, key: Key, since: float) -> list[Sample]:
        """Return an endpoint's samples later than a time, oldest first: those of minutes where no others are kept.

        May block. What was taken by a clock that was ahead is left out.

        Raises
        ------
        Unavailable
            If the file cannot be read.
        """
        name = _name(key)
        samples = {at: body for each, at, body in self._new["samples"] if each == name and at > since}
        minutes = {at: body for each, at, body in self._new["minutes"] if each == name and at > since}
        if self._path.exists():
            try:
                with closing(self._open()) as database:
                    for table, found in (("samples", samples), ("minutes", minutes)):
                        query = f"SELECT time, sample FROM {table} WHERE endpoint = ? AND time > ?"
                        found.update(database.execute(query, (name, since)))
            except sqlite3.Error as error:
                raise Unavailable(
                    f"The history of endpoints cannot be read from {self._path}: {error}", hint=_DAMAGED
                ) from error
        first = min(samples, default=float("inf"))
        chosen = {**{at: body for at, body in minutes.items() if at < first}, **samples}
        latest = self._clock() + _AHEAD
        return [self._decode(chosen[at]) for at in sorted(chosen) if at <= latest]

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path, timeout=5.0)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
        return database


def _name(key: Key) -> str:
    return "/".join(key)
