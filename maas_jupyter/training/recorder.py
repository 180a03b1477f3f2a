"""Writes a run down while it trains, off the training thread: its state for whoever looks, its points for MLflow."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from maas_jupyter.registry import NestedRun, Registry
from maas_jupyter.registry.outbox import Outbox, Point
from maas_jupyter.runs import RunFolder, RunState
from maas_jupyter.runs.life import BEAT_SECONDS
from maas_jupyter.schema import write_atomic

_STATE_SECONDS = 0.5
_SEND_SECONDS = 2.0
#: Sending takes the interpreter away from the training: a fiftieth of the time at most.
_SEND_SHARE = 50
_POINT_SECONDS = 1.0
_POINT_SHARE = 1 / 500
_STATUS = {"finished": "FINISHED", "stopped_early": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


class Recorder:
    """An observer of a training.

    The state is written at most twice a second. Every epoch's metrics become points, beyond a thousand epochs every
    tenth, beyond ten thousand every hundredth, and the loss between epochs about once a second, rarer in long runs.

    Parameters
    ----------
    registry : Registry
    folder : RunFolder
        Of the run; points are kept there before they are sent.
    state : RunState
        What is written.
    """

    def __init__(self, registry: Registry, folder: RunFolder, state: RunState) -> None:
        self._folder, self._state = folder, state
        self._outbox = Outbox(registry, folder.run_id, folder.path)
        self._points: deque[Point] = deque()
        self._next_point, self._written, self._next_beat = 0.0, 0.0, 0.0
        self._last: dict[str, float] = {}
        self._unwritten = ""
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"maas-{name}-{folder.run_id[:8]}", daemon=True)
            for name, work in (("state", self._keep), ("points", self._send))
        ]

    def start(self) -> None:
        """Start writing."""
        self.write()
        self._beat()
        for thread in self._threads:
            thread.start()

    def update(self, state: RunState, *, final: bool = False) -> None:
        """Take the loss between two epochs."""
        loss = state.curves.get("loss")
        if final or state.seconds < self._next_point or loss is None or loss.last is None:
            return
        self._next_point = state.seconds + max(_POINT_SECONDS, state.seconds * _POINT_SHARE)
        self._points.append(("step_loss", loss.last, _now(), state.total_steps))

    def epoch(self, metrics: dict[str, float]) -> None:
        """Take an epoch's metrics."""
        number = int(metrics["epoch"])
        self._last = metrics
        if number % 10 ** max(0, len(str(number)) - 3) == 0:
            self._take(metrics)

    def nested(self, run: NestedRun) -> None:
        """Take a run that has ended within this one."""
        self._outbox.add_nested(run)

    def close(self, files: list[tuple[Path, str]]) -> None:
        """Write the last state and send the rest; what MLflow does not take is kept, and a warning of the state.

        Parameters
        ----------
        files : list of (Path, str)
            Files to store with the run, and their artifact paths.
        """
        self._over.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
        # First for whoever looks: sending may take long, or be interrupted.
        self.write()
        if self._last:
            self._take(self._last)
        self._hand_over()
        self._outbox.close(_STATUS.get(self._state.status, "FAILED"), files)
        if self._outbox.warning:
            self._state.warnings.append(self._outbox.warning)
        self.write()

    def _take(self, metrics: dict[str, float]) -> None:
        now, step = _now(), int(metrics["epoch"])
        self._points.extend((name, value, now, step) for name, value in metrics.items() if name != "epoch")
        self._last = {}

    def _keep(self) -> None:
        while not self._over.wait(_STATE_SECONDS):
            self._hand_over()
            if self._state.updated != self._written:
                self.write()
            if time.monotonic() >= self._next_beat:
                self._beat()

    def _beat(self) -> None:
        self._next_beat = time.monotonic() + BEAT_SECONDS
        # A disk that does not take it is told where it does not take the state.
        with contextlib.suppress(OSError):
            self._folder.beat()

    def _send(self) -> None:
        pause = _SEND_SECONDS
        while not self._over.wait(pause):
            began = time.perf_counter()
            self._outbox.send()
            pause = max(_SEND_SECONDS, _SEND_SHARE * (time.perf_counter() - began))

    def _hand_over(self) -> None:
        points = [self._points.popleft() for _ in range(len(self._points))]
        if points:
            self._outbox.add(points)

    def write(self) -> None:
        """Write the state now; a disk that does not take it is a warning."""
        state = self._state
        self._written = state.updated
        if self._unwritten in state.warnings:
            state.warnings.remove(self._unwritten)
        try:
            self._folder.write(state)
        except OSError as error:
            self._unwritten = f"cannot write the run's state ({error.strerror or error}): the training goes on"
            state.warnings.append(self._unwritten)


def write_origin(folder: RunFolder, source: str | None, environment: dict[str, Any]) -> list[tuple[Path, str]]:
    """Write a run's code and environment into its folder; return the files with their artifact paths."""
    path = folder.path / "environment.json"
    write_atomic(path, msgspec.json.format(msgspec.json.encode(environment), indent=2))
    files = [(path, "training")]
    if source:
        code = folder.path / "source.py"
        write_atomic(code, source.encode())
        files.append((code, "training"))
    return files


def _now() -> int:
    return time.time_ns() // 1_000_000
