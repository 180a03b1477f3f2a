"""The system's side of a server: its lock, its ports, its processes. Imports nothing that takes time.

The first worker is started from here before the supervisor has imported what it needs itself.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, Protocol

from maas_jupyter.errors import Unavailable, UsageError
from maas_jupyter.serving.environment import child_environment
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.record import OTHER_HOME, last_port, lock_path, make_home, read_record, record_path

#: Connections that may wait until a worker accepts them.
BACKLOG = 2048
#: What a worker that accepts no connections has in the numbers that all workers see.
NOT_ACCEPTING = (1 << 32) - 1
#: How long the workers of a supervisor that was killed may take to leave its ports.
PREDECESSOR_SECONDS = 3.0


class AlreadyRuns(Unavailable):
    """Another server holds the home."""

    @classmethod
    def on(cls, home: Path) -> AlreadyRuns:
        """Say which one, as far as its record tells."""
        record = read_record(home)
        which = f" (process {record.pid}, {record.url})" if record else ""
        end = f"end it with kill {record.pid}" if record else "end it"
        return cls(
            f"A model server already runs for {home}{which}.",
            hint=f"Use that one, {end}, or choose another folder: --home FOLDER",
        )


def hold(home: Path) -> int:
    """Take the lock of a home, which the system gives back however the process ends; returns its descriptor.

    Raises
    ------
    AlreadyRuns
        If another server holds it.
    Unavailable
        If the home cannot be one.
    """
    path = lock_path(home)
    make_home(home)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(
            f"The server's folder {home} cannot be used: its lock {path.name} cannot be opened: "
            f"{error.strerror or error}.",
            hint=OTHER_HOME,
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise AlreadyRuns.on(home) from error
    return descriptor


def check_address(address: str) -> None:
    """Refuse an IP address that is none of this machine's.

    Raises
    ------
    UsageError
        If it is none.
    """
    with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise UsageError(
                f"This machine has no address {address}.",
                hint="Use --host 0.0.0.0 for all of its addresses, --host 127.0.0.1 for this machine alone.",
            ) from error


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bind(address: str, port: int, *, share: bool = False, seconds: float = PREDECESSOR_SECONDS) -> socket.socket:
    """Bind a socket, so that the port is ours before anybody hears of it.

    Parameters
    ----------
    address : str
        IP address.
    port : int
        0 takes a free one.
    share : bool
        Let other sockets of this user bind the same port from then on, and do not listen: the port is only kept.
    seconds : float
        How long to wait for a port that is in use.

    Raises
    ------
    Unavailable
        If it cannot be bound.
    """
    if share:
        # Sockets that share would not notice that the port is another server's.
        with bind(address, port) as alone:
            port = alone.getsockname()[1]
    deadline = time.monotonic() + seconds
    while True:
        bound = socket.socket(_family(address), socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if share:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            # What is accepted inherits it. Nagle's algorithm would cost 40 ms an answer.
            bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            bound.bind((address, port))
            if not share:
                bound.listen(BACKLOG)
        except OSError as error:
            bound.close()
            # The workers of a supervisor that was killed leave the port within a second.
            if error.errno == errno.EADDRINUSE and port and time.monotonic() < deadline:
                time.sleep(0.02)
                continue
            raise _not_bound(address, port, error) from error
        return bound


def listen(address: str, port: int, home: Path) -> tuple[socket.socket, int | None]:
    """Bind the port of HTTP.

    Parameters
    ----------
    address : str
        IP address.
    port : int
        0 takes the one that the last server of the home had, so that its clients find this one; else a free one.
    home : Path
        The server's folder.

    Returns
    -------
    tuple of socket and int or None
        The socket, and the port that would have been taken if it were free.

    Raises
    ------
    Unavailable
        If the port that is asked for cannot be bound.
    """
    last = 0 if port else last_port(home)
    if last:
        # A record that is left means that the server before was killed: its workers leave the port soon.
        with contextlib.suppress(Unavailable):
            return bind(address, last, seconds=PREDECESSOR_SECONDS if record_path(home).exists() else 0), None
    return bind(address, port), last or None


def _not_bound(address: str, port: int, error: OSError) -> Unavailable:
    free = "another port; 0 takes a free one"
    match error.errno:
        case errno.EADDRINUSE:
            return Unavailable(f"Port {port} of {address} is in use by another program.", hint=f"Choose {free}.")
        case errno.EACCES:
            return Unavailable(
                f"Port {port} of {address} may not be used by this user.",
                hint=f"Choose {free}. Ports below 1024 need more rights.",
            )
    return Unavailable(f"{address}:{port} cannot be bound: {error.strerror or error}.", hint=f"Choose {free}.")


def authority(bound: socket.socket) -> str:
    """Return ``host:port`` of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


def reachable(bound: socket.socket) -> str:
    """Return ``host:port`` under which this machine reaches a bound socket."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{host}:{port}"


class Process(Protocol):
    """A worker's process: what is asked of `subprocess.Popen`, and of a fork of another process."""

    @property
    def pid(self) -> int:
        """Its number."""

    def poll(self) -> int | None:
        """Return its exit status, negative the signal; None while it lives."""

    def kill(self) -> None:
        """Kill it."""


class Launched(NamedTuple):
    """A worker's process, and this end of its channel."""

    process: Process
    channel: socket.socket


def share_memory(workers: int) -> int:
    """Return a descriptor of memory for numbers that all workers see; see `accept.Shares`."""
    places = 4 * workers + 64  # for those that drain too
    descriptor = os.memfd_create("maas-shares") if hasattr(os, "memfd_create") else _unnamed_file()
    os.write(descriptor, NOT_ACCEPTING.to_bytes(4, sys.byteorder) * places)
    return descriptor


def _unnamed_file() -> int:
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def worker_environment(options: ServerOptions) -> dict[str, str]:
    """Return the environment of a worker."""
    return {**child_environment(), "OMP_NUM_THREADS": str(options.inference_threads), "OPENBLAS_NUM_THREADS": "1"}


def launch(options: ServerOptions, listening: socket.socket, shares: int) -> Launched:
    """Start a worker as a new interpreter; it waits for its `Setup`.

    Parameters
    ----------
    options : ServerOptions
        Settings.
    listening : socket
        Shared by all workers.
    shares : int
        As of `share_memory`.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        descriptors = (theirs.fileno(), listening.fileno(), shares)
        process = subprocess.Popen(
            [sys.executable, "-m", "maas_jupyter.serving.supervisor.worker", *map(str, descriptors)],
            stdin=subprocess.DEVNULL,
            env=worker_environment(options),
            pass_fds=descriptors,
            start_new_session=True,  # signals from a terminal are the supervisor's to answer
        )
    return Launched(process, ours)
