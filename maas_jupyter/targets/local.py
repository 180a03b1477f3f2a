"""The model server on this machine: started when it is first needed, found again by its record."""

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

from maas_jupyter import config, schema
from maas_jupyter.errors import BundleError, NotFound, Unauthorized, Unavailable, nearest
from maas_jupyter.schema import MANIFEST_NAME, Manifest, ModelStatus, ServerRecord, Signature, check_name
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.control.desired import DesiredState
from maas_jupyter.serving.control.history import History as RecordedHistory
from maas_jupyter.serving.environment import child_environment
from maas_jupyter.serving.record import ALREADY_RUNS, lock_path, log_path, read_record, record_path
from maas_jupyter.targets.access import RecordAccess
from maas_jupyter.targets.connections import user_name
from maas_jupyter.targets.endpoint import Endpoint, EndpointList
from maas_jupyter.targets.nouns import History, TargetStatus

#: Seconds that the server may take until it serves everything that it should.
START_TIMEOUT = 60.0
#: Seconds that it may take to end.
STOP_TIMEOUT = 15.0
#: Seconds between two looks at something that changes within tens of milliseconds.
POLL = 0.005
#: Bytes after which a new start begins a new log; the one before is kept.
LOG_LIMIT = 4 * 1024 * 1024


class LocalTarget:
    """The local model server.

    Parameters
    ----------
    home : Path, optional
        Its folder; default the configured one.
    """

    name = "local"

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or config.current().server_home
        self._child: subprocess.Popen[bytes] | None = None  # a server that we started and that does not serve yet
        self._own: subprocess.Popen[bytes] | None = None  # the last one that we started
        self._known: tuple[ServerRecord, ServingClient] | None = None
        self._thread_lock = threading.RLock()

    def __repr__(self) -> str:
        return f"LocalTarget({str(self.home)!r})"

    # -- the process --------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Start the server unless it runs, without waiting until it serves.

        Raises
        ------
        Unavailable
            If it runs but does not answer.
        """
        with self._thread_lock:
            if self._running() or self._starting():
                return
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Two kernels that start at once: the second sees the first one's server, or starts a process that ends
            # again at once because the server's own lock is held.
            with FileLock(self.home / "spawn.lock"):
                if not self._running():
                    self._spawn()

    def release(self) -> None:
        """End the server if this object started it and it serves nothing; waits for one that is still starting.

        For a publish that fails before it has sent anything.

        Raises
        ------
        Unavailable
            If the server does not answer or does not end.
        """
        if self._own is None or self._own.poll() is not None or any(DesiredState(self.home).read()):
            return
        if client := self._settled():
            status = client.status()
            if status.pid == self._own.pid and not status.models:
                self._end(client)

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
                env=child_environment(),
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        self._own = self._child
        # Collects the exit status whenever it comes, so that no zombie stays with a kernel that runs for weeks.
        threading.Thread(target=self._child.wait, name="maas-server-reaper", daemon=True).start()

    def _starting(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def _running(self) -> ServingClient | None:
        """Return a client if the server of the record answers with its token; a process id alone proves nothing.

        Raises
        ------
        Unavailable
            If that server lives but does not answer: none can be started beside it.
        """
        record = read_record(self.home)
        if record is None:
            return None
        client = self._client_of(record)
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

    def _client_of(self, record: ServerRecord) -> ServingClient:
        with self._thread_lock:
            if self._known is None or self._known[0] != record:
                self._known = (record, ServingClient(record.url, record.token))
            return self._known[1]

    def _locked(self) -> bool:
        """Say whether a server holds its lock, which the system releases however the process ends."""
        if not lock_path(self.home).exists():
            return False
        try:
            with FileLock(lock_path(self.home), timeout=0):
                return False
        except Timeout:
            return True

    def _settled(self) -> ServingClient | None:
        """Return a client of the running server, after waiting for one that starts or ends; None where there is none.

        Raises
        ------
        Unavailable
            If the server lives but does not answer.
        """
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if client := self._running():
                return client
            if not self._starting() and not self._locked():
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
            if client := self._running():
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

    # -- the target ---------------------------------------------------------------------------------------------------

    def publish(
        self,
        name: str,
        version: str,
        bundle_folder: Path,
        *,
        canary: int | None = None,
        shadow: bool = False,
        reason: str = "",
    ) -> Endpoint:
        """Make a bundle serve on this machine; starts the server where that is needed.

        Raises
        ------
        BundleError
            If the bundle is altered or does not load; what served before goes on serving.
        Conflict
            If a canary or a shadow is asked for and nothing serves beside it.
        InvalidInput
            If the name cannot be served.
        Unavailable
            If the server cannot be started or does not answer.
        """
        client = self.client()
        status = client.publish(
            name, version, bundle_folder, canary=canary, shadow=shadow, user=user_name(), reason=reason
        )
        return self._serving_endpoint(status, client)

    def promote(self, name: str, *, reason: str = "") -> Endpoint:
        """Give all traffic to the canary, or to the shadow where there is no canary."""
        self.endpoint(name)
        client = self.client()
        return self._serving_endpoint(client.promote(name, user=user_name(), reason=reason), client)

    def rollback(self, name: str, *, reason: str = "") -> Endpoint:
        """Go back to what served before."""
        self.endpoint(name)
        client = self.client()
        return self._serving_endpoint(client.rollback(name, user=user_name(), reason=reason), client)

    def history(self, name: str) -> History:
        """Return what served when, also of a model that was withdrawn; the server need not run."""
        recorded = RecordedHistory(self.home)
        entries = recorded.read(check_name(name))
        if not entries:
            raise NotFound(
                f"No model '{name}' ever served on this machine.",
                hint=nearest(name, recorded.names(), what="models", otherwise="Publish one: %maas publish MODEL."),
            )
        return History(name, self.name, entries)

    def endpoints(self) -> EndpointList:
        """Return every model that is published on this machine.

        While the server does not run they are ``stopped`` after a clean end and ``unavailable`` after any other.
        """
        try:
            client = self._running()
        except Unavailable as error:
            return EndpointList(self._resting_endpoints(error))
        if client:
            return EndpointList(self._serving_endpoint(model, client) for model in client.status().models)
        return EndpointList(self._resting_endpoints())

    def endpoint(self, name: str) -> Endpoint:
        """Return one model's endpoint.

        Raises
        ------
        NotFound
            If it is not published on this machine.
        """
        found = {endpoint.name: endpoint for endpoint in self.endpoints()}
        if name not in found:
            raise NotFound(
                f"There is no endpoint '{name}' on this machine.",
                hint=nearest(name, found, what="endpoints", otherwise="Nothing is published yet: %maas publish MODEL."),
            )
        return found[name]

    def stop(self, name: str | None = None) -> None:
        """Withdraw one model, or end the server; it also ends with its last model.

        Parameters
        ----------
        name : str, optional
            The model to withdraw. Without it the server ends and what was published stays for its next start.

        Raises
        ------
        NotFound
            If the model is not published on this machine.
        Unavailable
            If the server does not answer or does not end; it is still known then, and what was published too.
        """
        if name is not None:
            self.unpublish(name)
        elif client := self._settled():
            self._end(client)
        else:
            record_path(self.home).unlink(missing_ok=True)

    def unpublish(self, name: str, *, reason: str = "") -> None:
        """Withdraw one model; the server ends with its last one.

        Raises
        ------
        NotFound
            If the model is not published on this machine.
        Unavailable
            If the server does not answer.
        """
        client = self._settled()
        self.endpoint(name)
        if client is None:
            DesiredState(self.home).commit(name, "unpublish", None, by=self.name, user=user_name(), reason=reason)
            return
        client.unpublish(name, user=user_name(), reason=reason)
        if not client.status().models:
            self._end(client)

    def _end(self, client: ServingClient) -> None:
        pid = client.status().pid
        client.shutdown()
        deadline = time.monotonic() + STOP_TIMEOUT
        while _exists(pid) if os.name == "posix" else self._locked():
            if time.monotonic() > deadline:
                raise Unavailable(f"The model server (process {pid}) does not end.", hint=f"End it with: kill {pid}")
            time.sleep(POLL)

    def logs(self, lines: int = 20) -> list[str]:
        """Return the last lines of the server's log."""
        try:
            with log_path(self.home).open(errors="replace") as file:
                return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
        except FileNotFoundError:
            return []

    # -- endpoints ----------------------------------------------------------------------------------------------------

    def _serving_endpoint(self, model: ModelStatus, client: ServingClient) -> Endpoint:
        rows = [row for row in model.versions if row.state == "ready"] or model.versions
        signature = self._signature(rows[0].digest) if rows else None
        return Endpoint.serving(model, self, client.url, RecordAccess(record_path(self.home)), signature)

    def _resting_endpoints(self, error: Unavailable | None = None) -> Iterator[Endpoint]:
        record = read_record(self.home)
        models, broken = DesiredState(self.home).read()
        if error:
            state, reason = "unavailable", f"{error.message} {error.hint}"
        elif self._starting():
            state, reason = "loading", "The model server is starting."
        elif record is None:
            state, reason = "stopped", "The model server was stopped; the next publish starts it and all its models."
        else:
            state = "unavailable"
            reason = f"The model server (process {record.pid}) does not answer; the next publish starts it again."
        for name in sorted({*models, *broken}):
            yield Endpoint(
                name=name,
                target=self.name,
                url="",
                state=state,  # type: ignore[arg-type]
                reason=broken.get(name, reason),
                signature=self._signature(models[name].versions[0].digest) if name in models else None,
                _access=RecordAccess(record_path(self.home)),
                _target=self,
            )

    def _signature(self, digest: str) -> Signature | None:
        path = self.home / "bundles" / digest / MANIFEST_NAME
        with contextlib.suppress(OSError, BundleError):
            return schema.decode(path.read_bytes(), Manifest, where=str(path)).signature
        return None

    def connection(self, *, checked: bool = False) -> ServingClient:
        """Return a client of the running server, found by its record; starts none.

        Raises
        ------
        Unavailable
            If there is no record or, where that is ``checked``, no answer.
        """
        record = read_record(self.home)
        client = self._running() if checked else self._client_of(record) if record else None
        if client is None:
            raise Unavailable(
                "The local model server does not run.",
                hint="Start it with all that it served: %maas publish NAME",
            )
        return client

    def status(self) -> TargetStatus:
        """Return how the server is."""
        try:
            client = self._running()
        except Unavailable as error:
            return TargetStatus(self.name, "", "unavailable", f"{error.message} {error.hint}")
        if client is None:
            return TargetStatus(self.name, "", "stopped", "The next publish starts it.")
        return TargetStatus(self.name, client.url, "ready", role="admin", models=len(client.status().models))


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
