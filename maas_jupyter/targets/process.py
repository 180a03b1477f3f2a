"""The process of the model server on this machine: started when it is first needed, found again by its record."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import httpx
from filelock import FileLock, Timeout

from maas_jupyter import config
from maas_jupyter.errors import Unauthorized, Unavailable
from maas_jupyter.schema import ServerRecord
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.environment import child_environment
from maas_jupyter.serving.record import ALREADY_RUNS, lock_path, log_path, make_home, read_record
from maas_jupyter.targets.connections import Connections

#: Seconds that the server may take until it serves everything that it should.
START_TIMEOUT = 60.0
#: Seconds that it may take to end.
STOP_TIMEOUT = 15.0
#: Seconds between two looks at something that changes within tens of milliseconds.
POLL = 0.005
#: Bytes after which a new start begins a new log; the one before is kept.
LOG_LIMIT = 4 * 1024 * 1024


class LocalServer:
    """The server of one home, whoever started it.

    Parameters
    ----------
    home : Path
        Its folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self._child: subprocess.Popen[bytes] | None = None  # a server that we started and that does not serve yet
        self._own: subprocess.Popen[bytes] | None = None  # the last one that we started
        self._known: tuple[ServerRecord, ServingClient] | None = None
        self._thread_lock = threading.RLock()

    def prepare(self) -> None:
        """Start the server unless it runs, without waiting until it serves.

        Raises
        ------
        Unavailable
            If it runs but does not answer.
        """
        with self._thread_lock:
            if self.running() or self.starting():
                return
            make_home(self.home)
            # Two kernels that start at once: the second sees the first one's server, or starts a process that ends
            # again at once because the server's own lock is held.
            with FileLock(self.home / "spawn.lock"):
                if not self.running():
                    self._spawn()

    def _spawn(self) -> None:
        log = log_path(self.home)
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_name("server.log.1"))
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._child = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "maas_jupyter.serving",
                    "--home",
                    str(self.home),
                    "--workers",
                    str(config.current().server_workers),
                ],
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                cwd=self.home,
                # Whoever reads a process's environment need not find there what opens other servers.
                env=child_environment(without=Connections(config.current().home_path).token_variables()),
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        self._own = self._child
        # Collects the exit status whenever it comes, so that no zombie stays with a kernel that runs for weeks.
        threading.Thread(target=self._child.wait, name="maas-server-reaper", daemon=True).start()

    def starting(self) -> bool:
        """Say whether a server that we started does not serve yet."""
        return self._child is not None and self._child.poll() is None

    def running(self) -> ServingClient | None:
        """Return a client if the server of the record answers with its token; a process id alone proves nothing.

        Raises
        ------
        Unavailable
            If that server lives but does not answer: none can be started beside it.
        """
        record = read_record(self.home)
        if record is None:
            return None
        client = self.client_of(record)
        try:
            client.status()
        except Unauthorized:
            return None
        except Unavailable as error:
            cause = error.__cause__
            refused = isinstance(cause, httpx.TransportError) and not isinstance(cause, httpx.TimeoutException)
            # Refused: the record is left from a server that was killed, and who holds the lock is its successor.
            if refused or not self._locked() or read_record(self.home) != record:
                return None
            raise Unavailable(
                f"The model server (process {record.pid}) does not answer.", hint=f"End it with: kill {record.pid}"
            ) from error
        if self._child and self._child.pid == record.pid:
            self._child = None
        return client

    def client_of(self, record: ServerRecord) -> ServingClient:
        """Return the client for a record; the same one for the same record."""
        with self._thread_lock:
            if self._known is None or self._known[0] != record:
                self._known = (record, ServingClient(record.url, record.token))
            return self._known[1]

    @property
    def moved(self) -> str:
        """Says that the server, as it was last found, is not where the one before it was; else empty."""
        port = self._known[0].moved_from if self._known else None
        return f"It is at another address than before: port {port} was taken when the server started." if port else ""

    def _locked(self) -> bool:
        """Say whether a server holds its lock, which the system releases however the process ends."""
        if not lock_path(self.home).exists():
            return False
        try:
            with FileLock(lock_path(self.home), timeout=0):
                return False
        except Timeout:
            return True

    def settled(self) -> ServingClient | None:
        """Return a client of the running server, after waiting for one that starts or ends; None where there is none.

        Raises
        ------
        Unavailable
            If the server lives but does not answer.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if client := self.running():
                return client
            if not self.starting() and not self._locked():
                return None
            time.sleep(POLL)
        raise self._late(START_TIMEOUT)

    def _late(self, seconds: float) -> Unavailable:
        return Unavailable(
            f"The model server does not serve after {seconds:.0f} s.", hint=f"Look at its log: {log_path(self.home)}."
        )

    def client(self, timeout: float = START_TIMEOUT) -> ServingClient:
        """Return a client of the server, after starting it where that is needed.

        Raises
        ------
        Unavailable
            If the server ends while it starts, with the end of its log; if it takes longer than ``timeout`` seconds; or
            if it runs but does not answer.
        """
        deadline = time.monotonic() + timeout
        retry = 0.0
        while time.monotonic() < deadline:
            if client := self.running():
                return client
            child = self._child
            code = child.poll() if child else None
            if child is None or (code is not None and retry and time.monotonic() > retry):
                self._child, retry = None, 0.0
                self.prepare()
            elif code == ALREADY_RUNS:
                # Another kernel's server is about to serve, or about to end.
                retry = retry or time.monotonic() + 0.25
            elif code is not None:
                self._child = None
                raise Unavailable(
                    f"The model server ended with status {code} while it started: {' | '.join(self.logs(5))}",
                    hint=f"Its whole log is {log_path(self.home)}.",
                )
            time.sleep(POLL)
        raise self._late(timeout)

    def started_here(self) -> bool:
        """Say whether the server that we started last still lives."""
        return self._own is not None and self._own.poll() is None

    def end_if_unused(self) -> None:
        """End the server that we started, if it serves nothing; waits for one that is still starting.

        Raises
        ------
        Unavailable
            If it does not answer or does not end.
        """
        if client := self.settled():
            status = client.status()
            if self._own is not None and status.pid == self._own.pid and not status.models:
                self.end(client)

    def end(self, client: ServingClient) -> None:
        """End the running server and wait until it is gone.

        Raises
        ------
        Unavailable
            If it does not end.
        """
        pid = client.status().pid
        client.shutdown()
        deadline = time.monotonic() + STOP_TIMEOUT
        while _exists(pid) if os.name == "posix" else self._locked():
            if time.monotonic() > deadline:
                raise Unavailable(f"The model server (process {pid}) does not end.", hint=f"End it with: kill {pid}")
            time.sleep(POLL)

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Hold the server's lock, so that none starts meanwhile; gives False where one lives."""
        lock = FileLock(lock_path(self.home))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the server's log."""
        try:
            with log_path(self.home).open(errors="replace") as file:
                return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
        except FileNotFoundError:
            return []


def _exists(pid: int) -> bool:
    """Say whether a process exists; only for POSIX, elsewhere signal 0 is no question but an interrupt."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state != "Z"  # ended; that its parent did not collect it yet is no concern of ours
