"""A search as others see it: a run of this machine to be watched and stopped, and a run of MLflow with its trials."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from maas_jupyter.errors import NotFound
from maas_jupyter.registry import NestedRun, Registry
from maas_jupyter.registry.outbox import nested_keys
from maas_jupyter.runs import Best, Curve, RunFolder, RunState
from maas_jupyter.training.environment import environment, tags_of
from maas_jupyter.training.recorder import Recorder, write_origin
from maas_jupyter.tuning.report import TrialRow, Tuning, shown_params

_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}


class SearchRecord:
    """Enters a search and its trials; what MLflow does not take at once is kept and sent later.

    Parameters
    ----------
    registry : Registry
    home : Path
        The maas home.
    tuning : Tuning
        The search; its trials so far were told by the session that made them.
    goal : int
        Trials in all.
    params : mapping
        What was chosen.
    run_id : str or None
        Of the session before, which is gone on with.
    line : str
        How it was called, in a notebook.
    source : str or None
        Code that is kept with it.

    Attributes
    ----------
    state : RunState
        ``epochs`` and ``epoch`` count trials; the best epoch is the best trial's number.
    """

    def __init__(
        self,
        registry: Registry,
        home: Path,
        tuning: Tuning,
        *,
        goal: int,
        params: Mapping[str, Any],
        run_id: str | None,
        line: str,
        source: str | None,
    ) -> None:
        tags = {"maas.verb": "tune", **tags_of()}
        self._tuning = tuning
        self.state = RunState(run_id=_entered(registry, tuning.name, params, tags, run_id), name=tuning.name)
        self.state.verb, self.state.epochs, self.state.line = "tune", goal, line
        self.state.pid, self.state.host, self.state.started = os.getpid(), socket.gethostname(), time.time()
        self.state.notes = [f"search for {' '.join(map(str, tuning.space))}", *params_words(params)]
        self.state.warnings += tuning.warnings
        self._folder = RunFolder(home, self.state.run_id)
        self._folder.clear_stop()
        self._recorder = Recorder(registry, self._folder, self.state)
        self._told = nested_keys(self._folder.path)
        self._files: list[tuple[Path, str]] = []
        try:
            self._folder.write(self.state)
            self._files = write_origin(self._folder, source, {**environment(), **tags})
        except OSError as error:
            self.state.warnings.append(f"cannot keep the search's code and environment: {error.strerror or error}")

    def __enter__(self) -> SearchRecord:
        self.update()
        self._recorder.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._close(error)

    def is_set(self) -> bool:
        """Say whether somebody asked the search to stop."""
        return self._folder.stop_requested()

    def update(self) -> None:
        """Take what the search found since the last look."""
        state, tuning = self.state, self._tuning
        ended = [trial for trial in tuning.trials if trial.status != "running"]
        for trial in ended:
            if str(trial.number) not in self._told:
                self._told.add(str(trial.number))
                self._recorder.nested(_nested(trial, tuning.metric))
                if trial.status == "complete" and trial.value is not None:
                    state.curves.setdefault(tuning.metric, Curve()).add(float(trial.number + 1), trial.value)
        state.epoch = tuning.counted
        state.seconds, state.updated = tuning.seconds, time.time()
        state.remaining = tuning.seconds * (state.epochs - state.epoch) / state.epoch if state.epoch else None
        best = tuning.best
        if best is not None and best.value is not None and (state.best is None or state.best.epoch != best.number):
            state.best = Best(best.number, tuning.metric, best.value)
            state.history = [{"epoch": float(state.epoch), tuning.metric: best.value}]
            self._recorder.epoch({"epoch": float(len(ended)), tuning.metric: best.value})

    def _close(self, error: BaseException | None) -> None:
        self.update()
        state = self.state
        state.remaining = None
        if error is not None:
            state.status, state.error = "failed", str(error)
        else:
            state.status = "finished" if self._tuning.status == "finished" else "interrupted"
        self._recorder.close(self._files)
        self._tuning.warnings += [each for each in state.warnings if each not in self._tuning.warnings]


def params_words(params: Mapping[str, Any]) -> list[str]:
    """Return what was chosen, for a note."""
    return [", ".join(f"{name} {value}" for name, value in params.items() if name != "space")]


def _entered(registry: Registry, name: str, params: Mapping[str, Any], tags: dict[str, str], run_id: str | None) -> str:
    if run_id is not None:
        try:
            registry.resume_run(run_id, tags)
        except NotFound:
            # Another registry is in force now, or the run was deleted.
            pass
        else:
            return run_id
    return registry.start_run(name, dict(params), tags)


def _nested(trial: TrialRow, metric: str) -> NestedRun:
    values = {metric: trial.value, f"{metric}_spread": trial.spread}
    now = time.time_ns() // 1_000_000
    return NestedRun(
        key=str(trial.number),
        name=f"trial {trial.number}: {shown_params(trial.params)}"[:200],
        params={name: str(value) for name, value in trial.params.items()},
        metrics={name: value for name, value in values.items() if value is not None and isfinite(value)},
        tags={"maas.verb": "trial", "maas.state": trial.status, **({"maas.error": trial.error} if trial.error else {})},
        status=_STATUS[trial.status],
        started=now - round(trial.seconds * 1000),
        ended=now,
    )
