"""A test stand: one candidate in a process of its own, so that what crashes there ends nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from types import TracebackType
from typing import TypeVar

import msgspec
import numpy as np

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError
from maas_jupyter.optimization.measure import messages
from maas_jupyter.serving.environment import child_environment

#: Seconds that a candidate may take to answer where nothing is known of how long that should take.
PATIENCE = 300.0
#: Seconds that a process may take to end whose connection is closed, and bytes that are read of what it said last.
_LAST_SECONDS, _LAST_WORDS = 10.0, 4096

R = TypeVar("R", bound=msgspec.Struct)


class Stand:
    """Loads a bundle in a fresh process, as the model server does, and runs it there.

    Parameters
    ----------
    bundle : Bundle
        What is run.
    threads : int
        Of one run.
    patience : float
        Seconds that it may take to answer; one that takes longer hangs, and is ended.

    Attributes
    ----------
    memory : int
        Bytes that loading the bundle added to its process.
    seconds_to_load : float
        From the start of its process.

    Raises
    ------
    BundleError
        If it cannot be loaded, or the process crashes or hangs; as all methods.
    """

    def __init__(self, bundle: Bundle, threads: int, *, patience: float = PATIENCE) -> None:
        self.bundle = bundle
        self._patience = patience
        self._threads = threads
        self._held: dict[str, np.ndarray] = {}
        self._start()
        self.memory = self._load()

    def _start(self) -> None:
        self._started = time.monotonic()
        self._connection, theirs = Pipe()
        # Not a pipe: nobody reads it before the end, and a process that says much would wait for that for ever.
        self._said = tempfile.TemporaryFile(prefix="maas-")  # noqa: SIM115  # closed with the stand
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "maas_jupyter.optimization.measure.process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**child_environment(), "OMP_NUM_THREADS": str(self._threads)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._said,
                # An interrupt is for the notebook: it ends the stand by closing it.
                start_new_session=True,
            )
        except BaseException:
            self._said.close()
            raise
        finally:
            theirs.close()

    def _load(self) -> int:
        load = messages.Load(str(self.bundle.folder), self.bundle.digest, self._threads)
        try:
            memory = self._ask(load, messages.Loaded).memory
        except BaseException:
            self.close()
            raise
        self.seconds_to_load = time.monotonic() - self._started
        return memory

    def restart(self) -> None:
        """Replace the process with a fresh one, which `reload` waits for: several may start at once."""
        self.close()
        self._start()

    def reload(self) -> None:
        """Load the bundle and the same rows as before in the fresh process."""
        self._load()
        self.hold(self._held)

    def __enter__(self) -> Stand:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.kill()
        self._process.wait()
        self._said.close()

    def run(self, inputs: dict[str, np.ndarray], output: str) -> np.ndarray:
        """Compute one output.

        Parameters
        ----------
        inputs : dict of str to ndarray
            As the signature says.
        output : str
            Its name.
        """
        return self._ask(messages.Run(_tensors(inputs), output), messages.Answer).output.array()

    def hold(self, inputs: dict[str, np.ndarray]) -> None:
        """Keep rows to be timed with; as `run`."""
        self._held = inputs
        self._ask(messages.Hold(_tensors(inputs)), messages.Held)

    def time(self, rows: int, seconds: float) -> np.ndarray:
        """Run so many of the held rows again and again.

        Parameters
        ----------
        rows : int
            Of one run.
        seconds : float
            For how long; at least three runs.

        Returns
        -------
        ndarray of float64, shape (runs,)
            Seconds of each run.
        """
        return np.array(self._ask(messages.Time(rows, seconds), messages.Times).seconds)

    def _ask(self, request: messages.Request, expected: type[R]) -> R:
        connection: Connection = self._connection
        try:
            connection.send_bytes(msgspec.msgpack.encode(request))
            if not connection.poll(self._patience):
                # At once: it would take the time of those that are measured meanwhile.
                self._process.kill()
                raise BundleError(f"It did not answer within {self._patience:.0f} s and was ended.")
            reply = msgspec.msgpack.decode(connection.recv_bytes(), type=messages.Reply)
        except (EOFError, OSError) as error:
            raise BundleError(f"Its process {self._end()}.", hint="The other candidates are not touched.") from error
        if isinstance(reply, messages.Failed):
            raise BundleError(reply.message, hint=reply.hint)
        assert isinstance(reply, expected)
        return reply

    def _end(self) -> str:
        """Say how the process ended."""
        try:
            code = self._process.wait(_LAST_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its connection"
        self._said.seek(0, os.SEEK_END)
        self._said.seek(max(self._said.tell() - _LAST_WORDS, 0))
        said = self._said.read().decode(errors="replace").strip().splitlines()
        last = f": {said[-1][:200]}" if said else ""
        if code < 0:
            return f"crashed with {signal.Signals(-code).name}{last}"
        return f"ended with status {code}{last}"


def _tensors(inputs: dict[str, np.ndarray]) -> dict[str, messages.Tensor]:
    return {name: messages.Tensor.of(array) for name, array in inputs.items()}
