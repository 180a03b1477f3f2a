"""A run's folder: ``runs/<run id>/`` in the home, which any process of this machine can look at."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from maas_jupyter.errors import BundleError
from maas_jupyter.runs.life import beat, lives
from maas_jupyter.runs.state import RunState
from maas_jupyter.schema import decode, encode, write_atomic

_STATE, _STOP = "state.json", "stop"


class RunFolder:
    """The files of one run.

    Parameters
    ----------
    home : Path
        The home (`MaasConfig.home_path`).
    run_id : str
        MLflow's id of the run.

    Attributes
    ----------
    path : Path
        The folder; not created by naming it.
    """

    def __init__(self, home: Path, run_id: str) -> None:
        self.run_id = run_id
        self.path = home / "runs" / run_id

    def write(self, state: RunState) -> None:
        """Write the state, beside and renamed.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomic(self.path / _STATE, encode(state))

    def beat(self) -> None:
        """Leave a sign of life, for those who cannot see the process.

        Raises
        ------
        OSError
            If the disk does not take it.
        """
        beat(self.path)

    def read(self) -> RunState | None:
        """Return the newest state; None where there is none. A run whose process is gone has failed."""
        path = self.path / _STATE
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        state = decode(data, RunState, where=str(path))
        if state.status == "training" and not lives(state.pid, state.host, self.path):
            state.status = "failed"
            state.error = "Its process ended without a word."
        return state

    def request_stop(self) -> None:
        """Ask the run to stop and to keep a checkpoint; it looks a few times a second."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / _STOP).touch()

    def stop_requested(self) -> bool:
        """Say whether somebody asked it to stop."""
        return (self.path / _STOP).exists()

    @contextmanager
    def taken_up(self) -> Iterator[None]:
        """Show a run that is resumed as under way while its training is prepared; where that fails, as it was.

        What asks it to stop from here on is meant for the training that comes.
        """
        path = self.path / _STATE
        try:
            before = path.read_bytes()
            state = decode(before, RunState, where=str(path))
            state.status, state.error = "training", ""
            state.pid, state.host = os.getpid(), socket.gethostname()
            self.clear_stop()
            self.beat()
            self.write(state)
        except (OSError, BundleError):
            # A disk that takes nothing hides the run for a while; the training itself says so.
            before = b""
        try:
            yield
        except BaseException:
            if before:
                with suppress(OSError):
                    write_atomic(path, before)
            raise

    def clear_stop(self) -> None:
        """Forget that it was asked to stop, before it starts."""
        (self.path / _STOP).unlink(missing_ok=True)


def run_folders(home: Path) -> Iterator[RunFolder]:
    """Walk over the folders of all runs that have a state, the most recently changed first."""
    states = []
    for path in (home / "runs").glob(f"*/{_STATE}"):
        try:
            states.append((path.stat().st_mtime, path.parent.name))
        except FileNotFoundError:
            continue
    for _, run_id in sorted(states, reverse=True):
        yield RunFolder(home, run_id)
