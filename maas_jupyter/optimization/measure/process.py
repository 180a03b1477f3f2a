"""The process of one candidate: loads its bundle as the model server does, and runs it as it is told."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import MaasError
from maas_jupyter.optimization.measure import messages
from maas_jupyter.serving.counts import ProcessFigures
from maas_jupyter.serving.servable import Servable

#: Linux's number of prctl(PR_SET_PDEATHSIG).
_PARENT_DEATH_SIGNAL = 1
#: Runs of a size that are not timed when it comes first, and single rows whose memory counts.
_WARM_UP = 2
_FEWEST = 3


class Candidate:
    """What this process is asked for; see `messages`."""

    def __init__(self) -> None:
        self._servable: Servable | None = None
        self._held: dict[str, np.ndarray] = {}
        self._warm: set[int] = set()
        self._next = 0

    def answer(self, request: messages.Request) -> messages.Reply:
        """Do one thing."""
        if isinstance(request, messages.Load):
            return self._load(request)
        assert self._servable is not None
        if isinstance(request, messages.Run):
            inputs = {name: tensor.array() for name, tensor in request.inputs.items()}
            return messages.Answer(messages.Tensor.of(np.asarray(self._servable.run(inputs)[request.output])))
        if isinstance(request, messages.Hold):
            self._held = {name: tensor.array() for name, tensor in request.inputs.items()}
            self._warm.clear()
            return messages.Held()
        return messages.Times(self._time(self._servable, request))

    def _load(self, request: messages.Load) -> messages.Loaded:
        bundle = Bundle.open(Path(request.folder), digest=request.digest)
        plugins.load("runtime", bundle.manifest.runtime)  # what every model of this kind needs is not the candidate's
        before = _resident()
        self._servable = Servable.load(bundle, request.threads)
        return messages.Loaded(max(_resident() - before, 0))

    def _time(self, servable: Servable, request: messages.Time) -> list[float]:
        if request.rows not in self._warm:
            self._warm.add(request.rows)
            for _ in range(_WARM_UP):
                servable.run(self._rows(request.rows))
        taken: list[float] = []
        end = time.perf_counter() + request.seconds
        while len(taken) < _FEWEST or time.perf_counter() < end:
            inputs = self._rows(request.rows)
            started = time.perf_counter()
            servable.run(inputs)
            taken.append(time.perf_counter() - started)
        return taken

    def _rows(self, count: int) -> dict[str, np.ndarray]:
        """Return the next rows of those that are held, from the first again after the last."""
        size = len(next(iter(self._held.values())))
        if count >= size:
            repeats = -(-count // size)
            return {name: np.concatenate([array] * repeats)[:count] for name, array in self._held.items()}
        start = self._next % (size - count + 1)
        self._next = start + count
        return {name: array[start : start + count] for name, array in self._held.items()}


def _resident() -> int:
    return ProcessFigures.of_this("worker").resident_bytes


def _expendable() -> None:
    """Let the system end this process before any other: with the notebook, in whatever run, and when memory is short.

    On Linux; elsewhere a process whose notebook was killed ends after the run that it is in.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    with contextlib.suppress(OSError):  # where /proc may not be written to
        Path("/proc/self/oom_score_adj").write_text("1000")


def main(descriptor: int) -> None:
    """Answer until the other side is gone."""
    _expendable()
    connection = Connection(descriptor)
    decoder = msgspec.msgpack.Decoder(messages.Request)
    candidate = Candidate()
    while True:
        try:
            request = decoder.decode(connection.recv_bytes())
        except EOFError:
            return
        reply: messages.Reply
        try:
            reply = candidate.answer(request)
        except MaasError as error:
            reply = messages.Failed(error.message, error.hint)
        connection.send_bytes(msgspec.msgpack.encode(reply))


if __name__ == "__main__":
    main(int(sys.argv[1]))
