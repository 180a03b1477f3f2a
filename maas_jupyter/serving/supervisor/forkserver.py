"""A process that has imported what a worker needs, and forks workers: they are there at once, and share its memory.

Run as ``python -m maas_jupyter.serving.supervisor.forkserver SOCKET [MODULE...]``. Over the socket it is sent a number
and the descriptors of a worker, and tells the worker's process and, later, how it ended; its end is the socket's.
"""

from __future__ import annotations

import contextlib
import gc

if __name__ == "__main__":
    # What is imported stays: looking for garbage among it meanwhile would make each start a tenth longer.
    gc.disable()

import importlib
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NoReturn, Protocol

from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.supervisor.launch import Launched, launch, worker_environment

#: The number of a worker; what follows: whether it ended (else began), and its exit status (else its process).
_ASKED, _TOLD = struct.Struct("=I"), struct.Struct("=I?i")
#: A worker that was asked for and never began.
_NEVER = 1

_WORKER = "maas_jupyter.serving.supervisor.worker"
_RUNTIME = "onnxruntime"
_GRPC = "maas_jupyter.serving.protocols.grpc.service"


class Launcher:
    """Starts workers, as forks where that pays: elsewhere each is a new interpreter.

    Several workers take less memory as forks. A single one takes 10 MB more, because what it changes of what was
    imported is there twice.

    Parameters
    ----------
    options : ServerOptions
        Settings.
    listening : socket
        Of HTTP; the workers inherit it.
    shares : int
        As of `launch.share_memory`; the workers inherit it.
    """

    def __init__(self, options: ServerOptions, listening: socket.socket, shares: int) -> None:
        self._options = options
        self._listening = listening
        self._shares = shares
        pays = options.workers > 1 and sys.platform == "linux"
        self._server = _ForkServer(options) if pays else None

    def __call__(self) -> Launched:
        """Start a worker; it waits for its `Setup`.

        Raises
        ------
        OSError
            If no process can be started.
        """
        if self._server is not None:
            with contextlib.suppress(OSError):
                return self._fork(self._server)
            self.close()  # it is gone, whatever of
        return launch(self._options, self._listening, self._shares)

    def _fork(self, server: _ForkServer) -> Launched:
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                return Launched(server.fork(theirs.fileno(), self._listening.fileno(), self._shares), ours)
            except OSError:
                ours.close()
                raise

    def close(self) -> None:
        """Fork no more; workers live on."""
        if self._server is not None:
            self._server.close()
            self._server = None


class Forked:
    """A worker's process that is another one's child, with what `subprocess.Popen` would offer for it."""

    def __init__(self, server: _ForkServer) -> None:
        self._server = server
        self._pid: int | None = None
        self._began: str | None = None  # beside its number, which may be another process's one day
        self._status: int | None = None

    @property
    def pid(self) -> int:
        """The process; 0 while it is not known."""
        self._server.hear()
        return self._pid or 0

    def poll(self) -> int | None:
        """Return the exit status, negative the signal; None while it lives."""
        self._server.hear()
        if self._status is None and self._server.gone:
            # Nobody tells how it ends.
            self._status = _NEVER if self._pid is None else None if self._lives else 0
        return self._status

    @property
    def _lives(self) -> bool:
        return self._pid is not None and self._began is not None and _beginning(self._pid) == self._began

    def kill(self) -> None:
        """Kill it, if it lives; else what should have begun it, or told its end: that hangs."""
        if self.poll() is not None:
            return
        if self._pid is not None and self._lives:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
        else:
            self._server.kill()

    def tell(self, ended: bool, value: int) -> None:
        """Take note of its process, or of its exit status."""
        if ended:
            self._status = value
        else:
            self._pid, self._began = value, _beginning(value)


class _ForkServer:
    """The supervisor's end."""

    def __init__(self, options: ServerOptions) -> None:
        modules = [_WORKER, _RUNTIME, *([_GRPC] if options.grpc_port is not None else [])]
        self.gone = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._workers: dict[int, Forked] = {}
        self._numbers = count()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(theirs.fileno()), *modules],
                stdin=subprocess.DEVNULL,
                env=worker_environment(options),
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # signals from a terminal are the supervisor's to answer
            )

    def fork(self, *descriptors: int) -> Forked:
        """Ask for a worker; does not wait for it.

        Raises
        ------
        OSError
            If this process is gone.
        """
        number = next(self._numbers)
        socket.send_fds(self._socket, [_ASKED.pack(number)], list(descriptors))
        worker = self._workers[number] = Forked(self)
        return worker

    def hear(self) -> None:
        """Take note of what was told since the last time."""
        while not self.gone:
            try:
                told = self._socket.recv(_TOLD.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                told = b""
            if not told:
                self.gone = True
                return
            number, ended, value = _TOLD.unpack(told)
            self._workers[number].tell(ended, value)
            if ended:
                del self._workers[number]

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self.hear()
        self.gone = True
        self._socket.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _beginning(pid: int) -> str | None:
    """Return when a process began, in the system's ticks; None of one that ended, be it collected or not."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state in "ZX" else rest[18]


# -- the process that forks -------------------------------------------------------------------------------------------


def main(descriptor: str, modules: Sequence[str]) -> NoReturn:
    """Import, and fork workers until the supervisor hangs up."""
    for module in modules:
        # Who needs it tells what is wrong with it.
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    gc.enable()
    gc.collect()
    gc.freeze()
    supervisor = socket.socket(fileno=int(descriptor))
    wake, woken = socket.socketpair()
    for each in (wake, woken):
        each.setblocking(False)
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, int] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(supervisor, selectors.EVENT_READ)
        selector.register(wake, selectors.EVENT_READ)
        own: list[_Closable] = [supervisor, wake, woken, selector]
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            with contextlib.suppress(BlockingIOError):
                wake.recv(4096)
            for number, status in _ended(workers):
                supervisor.send(_TOLD.pack(number, True, status))
            if supervisor in ready:
                message, descriptors, _, _ = socket.recv_fds(supervisor, _ASKED.size, 3)
                if not message:
                    os._exit(0)
                (number,) = _ASKED.unpack(message)
                _fork(supervisor, number, workers, descriptors, own)


class _Closable(Protocol):
    def close(self) -> None: ...


def _fork(
    supervisor: socket.socket, number: int, workers: dict[int, int], descriptors: list[int], own: list[_Closable]
) -> None:
    try:
        pid = os.fork()
    except OSError as error:  # the end of its channel tells the rest
        sys.stderr.write(f"no worker can be forked: {error}\n")
        supervisor.send(_TOLD.pack(number, True, _NEVER))
    else:
        if not pid:
            _become_worker(descriptors, own)
        workers[pid] = number
        supervisor.send(_TOLD.pack(number, False, pid))
    for descriptor in descriptors:
        os.close(descriptor)


def _ended(workers: dict[int, int]) -> list[tuple[int, int]]:
    """Return number and exit status of the workers that ended."""
    found = []
    while workers:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            break
        found.append((workers.pop(pid), os.waitstatus_to_exitcode(status)))
    return found


def _become_worker(descriptors: list[int], others: list[_Closable]) -> NoReturn:
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in others:
            other.close()
        os.setsid()
        from maas_jupyter.serving.supervisor import worker

        worker.main(*descriptors)
    except BaseException:  # noqa: BLE001  it must not go on as another fork server
        sys.excepthook(*sys.exc_info())
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
