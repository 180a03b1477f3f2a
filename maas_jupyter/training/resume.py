"""Going on with an earlier run: with which options, and what makes its result another one."""

from __future__ import annotations

from typing import Any

from maas_jupyter.data import Data
from maas_jupyter.errors import UsageError
from maas_jupyter.training.checkpoint import Checkpoint
from maas_jupyter.training.fingerprint import fingerprint
from maas_jupyter.training.options import TrainingOptions, different


def resumed_options(checkpoint: Checkpoint, given: dict[str, Any]) -> TrainingOptions:
    """Return the options of a run, with those that are given now in their place.

    Raises
    ------
    UsageError
        If there is nothing left to do, or the run is still going on in another process.
    """
    state = checkpoint.state.run
    options = TrainingOptions.resumed(checkpoint.state.options, given)
    done = (("epochs", state.epoch, options.epochs), ("steps", state.total_steps, options.steps))
    for unit, count, wanted in done:
        if wanted is None or count < wanted:
            continue
        if unit in given and count < (checkpoint.state.options.get(unit) or 0):
            raise UsageError(
                f"Run {state.run_id[:8]} has done {count} {unit} already, so that --{unit} {wanted} leaves nothing to "
                "do.",
                hint=f"Leave --{unit} out to go on to {checkpoint.state.options[unit]}, or give more than {count}.",
            )
        raise UsageError(
            f"Run {state.run_id[:8]} is complete: it has done {count} {unit}, and {wanted} were asked for.",
            hint=f"Give more than {count}: --{unit} {count * 2}",
        )
    return options


def compare(checkpoint: Checkpoint, options: TrainingOptions, data: Data, val: Data | None) -> list[str]:
    """Say in words what makes the result another one than that of a run without a break.

    Where the batches are not the same any more, the checkpoint is changed: the epoch that was broken off begins anew.
    """
    kept = checkpoint.state
    changed = different(kept.options, options)
    if fingerprint(data) != kept.data:
        changed.append("other rows")
    held = "" if val is None else fingerprint(val)
    if held != kept.val:
        changed.append(f"{'other' if held and kept.val else 'now' if held else 'no more'} validation rows")
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
