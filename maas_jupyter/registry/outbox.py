"""What a run has to tell MLflow: kept in the run's folder first, sent when MLflow answers, now or later."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct, field

from maas_jupyter.errors import BundleError, MaasError
from maas_jupyter.registry.nouns import NestedRun
from maas_jupyter.registry.registry import Registry
from maas_jupyter.runs import lives
from maas_jupyter.schema import decode, decoder, encode, write_atomic

#: Name, value, epoch milliseconds, step.
Point = tuple[str, float, int, int]

POINTS, NESTED, _RECORD, _LOCK = "points.jsonl", "nested.jsonl", "unsent.json", ".sending.lock"
_MOST_AT_ONCE = 500


class Unsent(Struct, kw_only=True):
    """How far a run's points were sent; the file is there as long as something is missing.

    Attributes
    ----------
    uri : str
        The MLflow that it belongs to.
    sent : int
        Bytes of the points' file that were sent.
    nested : int
        Bytes of the file of nested runs that were sent.
    pid, host : int, str
        Who sends them while the run goes on.
    status : str
        MLflow's word for how it ended; empty while it goes on.
    ended : int
        Epoch milliseconds.
    files : list of (path, artifact path)
        What is to be stored with the run.
    """

    uri: str
    sent: int = 0
    nested: int = 0
    pid: int = 0
    host: str = ""
    status: str = ""
    ended: int = 0
    files: list[tuple[str, str]] = field(default_factory=list)


class Outbox:
    """Points and files of one run on their way to MLflow.

    Parameters
    ----------
    registry : Registry
    run_id : str
    folder : Path
        The run's.
    """

    def __init__(self, registry: Registry, run_id: str, folder: Path) -> None:
        self._registry, self._run_id, self._folder = registry, run_id, folder
        self._lock = threading.Lock()
        #: Points with the place in the file where each ends.
        self._waiting: list[tuple[Point, int]] = []
        self._nested: list[tuple[NestedRun, int]] = []
        self._size = _whole_lines(folder / POINTS)
        self._record = _read(folder) or Unsent(uri=registry.uri, sent=self._size)
        self._record.pid, self._record.host = os.getpid(), socket.gethostname()
        self._record.status, self._record.ended = "", 0
        self._late = self._unkept = ""
        # What an earlier part of the run could not send comes first.
        self._waiting += _lines(folder / POINTS, self._record.sent, Point)
        self._nested += _lines(folder / NESTED, self._record.nested, NestedRun)
        self._note()

    @property
    def warning(self) -> str:
        """What is missing in MLflow, or could not be kept here; empty while nothing is."""
        parts = []
        if self._late:
            parts.append(
                f"not everything was written to the registry: {self._late} It is kept in {self._folder} and sent when "
                "a verb finds the registry again"
            )
        if self._unkept:
            parts.append(f"cannot keep the run's points on this machine ({self._unkept})")
        return "; ".join(parts)

    def add(self, points: list[Point]) -> None:
        """Keep points in the file, to be sent; a disk that does not take them is a warning."""
        lines = b"".join(msgspec.json.encode(point) + b"\n" for point in points)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with (self._folder / POINTS).open("ab") as file:
                # What a full disk took of a line before has no end.
                file.truncate(self._size)
                file.write(lines)
        except OSError as error:
            self._unkept = error.strerror or str(error)
            size = self._size
        else:
            self._unkept = ""
            size = self._size + len(lines)
        with self._lock:
            self._size = size
            self._waiting += [(point, size) for point in points]

    def add_nested(self, run: NestedRun) -> None:
        """Keep a run that has ended within this one, to be sent; a disk that does not take it is a warning."""
        path = self._folder / NESTED
        size, line = _whole_lines(path), msgspec.json.encode(run) + b"\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.truncate(size)
                file.write(line)
        except OSError as error:
            self._unkept = error.strerror or str(error)
        else:
            size += len(line)
        with self._lock:
            self._nested.append((run, size))

    def send(self) -> bool:
        """Send some of what waits; False where nothing waits or MLflow does not take it."""
        with self._lock:
            some = self._waiting[:_MOST_AT_ONCE]
        return self._send_points(some) if some else self._send_nested()

    def _send_nested(self) -> bool:
        with self._lock:
            first = self._nested[0] if self._nested else None
        if first is None:
            return False
        try:
            self._registry.enter_nested(self._run_id, first[0])
        except (MaasError, OSError) as error:
            self._late = error.message if isinstance(error, MaasError) else str(error)
            return False
        with self._lock:
            del self._nested[0]
        self._late = ""
        self._record.nested = first[1]
        self._note()
        return True

    def _send_points(self, some: list[tuple[Point, int]]) -> bool:
        try:
            self._registry.log_metrics(self._run_id, [point for point, _ in some])
        except (MaasError, OSError) as error:
            self._late = error.message if isinstance(error, MaasError) else str(error)
            return False
        with self._lock:
            del self._waiting[: len(some)]
            # Points that were added together end together: a part of them counts as not sent, and is sent twice.
            left = self._waiting[0][1] if self._waiting else None
        self._late = ""
        if left != some[-1][1]:
            self._record.sent = some[-1][1]
            self._note()
        return True

    def close(self, status: str, files: list[tuple[Path, str]]) -> None:
        """Send the rest, store files with the run and end it; what MLflow does not take stays for `send_unsent`.

        Parameters
        ----------
        status : str
            MLflow's run status: ``FINISHED``, ``KILLED`` or ``FAILED``.
        files : list of (Path, str)
            Files, and the artifact paths that they go to.
        """
        self._record.status, self._record.ended = status, time.time_ns() // 1_000_000
        self._record.files = [(str(path), place) for path, place in files]
        # Held, since others may send from here on: an interrupt or the end of the process loses nothing.
        with FileLock(self._folder / _LOCK) if self._folder.is_dir() else nullcontext():
            self._note()
            while self.send():
                pass
            if not self._waiting and not self._nested:
                try:
                    _finish(self._registry, self._run_id, self._record)
                except (MaasError, OSError) as error:
                    self._late = error.message if isinstance(error, MaasError) else str(error)
                else:
                    (self._folder / _RECORD).unlink(missing_ok=True)
                    return
            self._note()

    def _note(self) -> None:
        try:
            _write(self._folder, self._record)
        except OSError as error:
            self._unkept = error.strerror or str(error)


def send_unsent(home: Path, registry: Registry) -> list[str]:
    """Send what runs of this machine could not tell this MLflow when they ended.

    Costs nothing where nothing is missing. A run that goes on is left to itself; one whose process is gone is ended as
    failed.

    Parameters
    ----------
    home : Path
        The maas home.
    registry : Registry
        An MLflow that answers.

    Returns
    -------
    list of str
        The ids of the runs that are complete now.
    """
    done = []
    for path in (home / "runs").glob(f"*/{_RECORD}"):
        folder = path.parent
        try:
            with FileLock(folder / _LOCK, timeout=0):
                if _send_one(folder, registry):
                    done.append(folder.name)
        except (Timeout, BundleError):
            # Another process sends it, or the file was cut off by a crash: nothing that this verb should fail for.
            continue
        except (MaasError, OSError):
            # It went away again; the next verb tries.
            break
    return done


def _send_one(folder: Path, registry: Registry) -> bool:
    record = _read(folder)
    if record is None or record.uri != registry.uri:
        return False
    if not record.status:
        if lives(record.pid, record.host, folder):
            return False
        record.status, record.ended = "FAILED", time.time_ns() // 1_000_000
    if not registry.takes_points(folder.name):
        # Somebody deleted the run: there is nothing to tell any more.
        (folder / _RECORD).unlink(missing_ok=True)
        return False
    points: list[tuple[Point, int]] = _lines(folder / POINTS, record.sent, Point)
    for start in range(0, len(points), _MOST_AT_ONCE):
        some = points[start : start + _MOST_AT_ONCE]
        registry.log_metrics(folder.name, [point for point, _ in some])
        record.sent = some[-1][1]
        _write(folder, record)
    for nested, end in _lines(folder / NESTED, record.nested, NestedRun):
        registry.enter_nested(folder.name, nested)
        record.nested = end
        _write(folder, record)
    _finish(registry, folder.name, record)
    (folder / _RECORD).unlink(missing_ok=True)
    return True


def _finish(registry: Registry, run_id: str, record: Unsent) -> None:
    while record.files:
        path, place = record.files[0]
        if Path(path).exists():
            registry.log_file(run_id, Path(path), place)
        record.files = record.files[1:]
    registry.end_run(run_id, record.status, record.ended)


def nested_keys(folder: Path) -> set[str]:
    """Return the keys of the nested runs that were kept in a run's folder, sent or not."""
    return {run.key for run, _ in _lines(folder / NESTED, 0, NestedRun)}


def _lines(path: Path, start: int, kind: Any) -> list[tuple[Any, int]]:
    """Read what stands behind a place in a file, each line with the place where it ends."""
    if not path.exists():
        return []
    found = []
    with path.open("rb") as file:
        file.seek(start)
        for line in file:
            start += len(line)
            # A line that a crash cut off has no end.
            if line.endswith(b"\n"):
                found.append((decoder(kind).decode(line), start))
    return found


def _whole_lines(path: Path) -> int:
    """Return the size of a file, without a last line that was cut off."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return 0
    return data.rfind(b"\n") + 1


def _read(folder: Path) -> Unsent | None:
    try:
        data = (folder / _RECORD).read_bytes()
    except FileNotFoundError:
        return None
    return decode(data, Unsent, where=str(folder / _RECORD))


def _write(folder: Path, record: Unsent) -> None:
    write_atomic(folder / _RECORD, encode(record))
