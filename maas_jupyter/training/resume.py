"""Going on with an earlier run: which one is meant, with which options, and what makes its result another one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maas_jupyter.data import Data
from maas_jupyter.errors import NotFound, UsageError, nearest
from maas_jupyter.runs import LAST, RunFolder, beginning_with, last_run, run_folders
from maas_jupyter.training.checkpoint import Checkpoint
from maas_jupyter.training.fingerprint import fingerprint
from maas_jupyter.training.options import TrainingOptions, different


def find_training(home: Path, run: Any) -> RunFolder:
    """Return the folder of the training that is meant.

    Parameters
    ----------
    run : Run, str
        A run, its id or the beginning of it, or ``last`` (`runs.last_run`).

    Raises
    ------
    NotFound
        If there is none.
    UsageError
        If more than one begins like this.
    """
    wanted = run if isinstance(run, str) else run.run_id
    if wanted == LAST:
        last = last_run(home, verb="train")
        if last is None:
            raise NotFound("No model was trained on this machine.", hint="Train one: %maas train net --data train")
        return last
    known = [folder.run_id for folder in run_folders(home)]
    found = beginning_with(wanted, known)
    if found is None:
        raise NotFound(
            f"There is no run '{wanted}' on this machine.",
            hint=nearest(wanted, [run_id[:8] for run_id in known], what="runs", otherwise="Train one first."),
        )
    return RunFolder(home, found)


def resumed_options(checkpoint: Checkpoint, given: dict[str, Any]) -> TrainingOptions:
    """Return the options of a run, with those that are given now in their place.

    Raises
    ------
    UsageError
        If there is nothing left to do, or the run is still going on in another process.
    """
    state = checkpoint.state.run
    options = TrainingOptions.resumed(checkpoint.state.options, given)
    if options.epochs is not None and state.epoch >= options.epochs:
        raise UsageError(
            f"Run {state.run_id[:8]} is complete: {state.epoch} of {options.epochs} epochs.",
            hint=f"Give it more: --epochs {state.epoch * 2}",
        )
    if options.steps is not None and state.total_steps >= options.steps:
        raise UsageError(
            f"Run {state.run_id[:8]} is complete: {state.total_steps} of {options.steps} steps.",
            hint=f"Give it more: --steps {state.total_steps * 2}",
        )
    return options


def compare(checkpoint: Checkpoint, options: TrainingOptions, data: Data) -> list[str]:
    """Say in words what makes the result another one than that of a run without a break.

    Where the batches are not the same any more, the checkpoint is changed: the epoch that was broken off begins anew.
    """
    kept = checkpoint.state
    changed = different(kept.options, options)
    if fingerprint(data) != kept.data:
        changed.append("other rows")
    if options.schedule not in ("constant", "plateau"):
        changed += [
            f"{name} {getattr(options, name)} instead of {kept.options.get(name)}, which the schedule follows"
            for name in ("epochs", "steps")
            if kept.options.get(name) != getattr(options, name)
        ]
    run = kept.run
    if kept.options.get("steps") == run.total_steps and run.steps and run.total_steps % run.steps:
        changed.append(f"epoch {run.epoch} ended early, with step {run.total_steps}")
    same = all(kept.options[name] == getattr(options, name) for name in ("batch_size", "seed", "accumulate"))
    if kept.batches and not (same and fingerprint(data) == kept.data):
        kept.batches, kept.run.step = 0, 0
        changed.append(f"epoch {kept.run.epoch + 1} begins anew")
    return changed
