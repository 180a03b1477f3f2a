"""Writes down where a training stands, and takes it up from there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maas_jupyter.errors import TrainingError
from maas_jupyter.runs import RunState
from maas_jupyter.training import randomness
from maas_jupyter.training.best import BestWeights
from maas_jupyter.training.checkpoint import (
    BEST,
    FOLDER,
    MODEL,
    WRITE_ERRORS,
    Checkpoint,
    CheckpointState,
    architecture_of,
    tidy,
    write_checkpoint,
)
from maas_jupyter.training.failures import weights_diverged
from maas_jupyter.training.measures import Totals
from maas_jupyter.training.options import TrainingOptions
from maas_jupyter.training.plan import TrainingPlan

#: Writing takes at most a share of the time: where one checkpoint takes long, they become rarer.
_WRITE_SHARE = 100
#: What a disk is taken to do before the first checkpoint was written.
_BYTES_PER_SECOND = 500_000_000
#: A checkpoint of fewer bytes takes no time.
_SMALL_BYTES = 1_000_000


@dataclass
class Standing:
    """Where a training stands: all that a checkpoint has to hold.

    Attributes
    ----------
    generators : list of torch.Generator
        A loader's own.
    repeatable : bool
        Whether the order of an epoch's rows depends on the seed and the epoch alone.
    totals : Totals
        Sums of this epoch.
    batch : int
        Batches of this epoch that are done.
    waited : int
        Epochs since the watched metric improved.
    epoch_start : randomness.State or None
        The random states when this epoch began, where its order was drawn from them.
    """

    module: nn.Module
    plan: TrainingPlan
    options: TrainingOptions
    state: RunState
    best: BestWeights
    totals: Totals
    data_digest: str
    val_digest: str
    generators: list[torch.Generator]
    repeatable: bool
    batch: int = 0
    waited: int = 0
    epoch_start: randomness.State | None = None


class Keeper:
    """Keeps checkpoints of a training; a disk that does not take them is a warning of the run.

    Parameters
    ----------
    folder : Path or None
        The run's; without one nothing is kept.
    standing : Standing
        Changed by the loop.
    """

    def __init__(self, folder: Path | None, standing: Standing) -> None:
        self._folder, self._standing = folder, standing
        self._architecture = architecture_of(standing.module)
        expected = _WRITE_SHARE * _size(standing) / _BYTES_PER_SECOND
        self._next = time.perf_counter() + max(standing.options.checkpoint_seconds, expected)
        self._unsaved = ""
        if folder is not None:
            tidy(folder)

    def due(self, now: float) -> bool:
        """Say whether it is time for a checkpoint."""
        return now >= self._next

    def save(self) -> bool:
        """Write a checkpoint; say whether there is one now.

        Raises
        ------
        TrainingError
            If a parameter is NaN or infinite: the last good checkpoint stays.
        """
        if self._folder is None:
            return False
        here, plan = self._standing, self._standing.plan
        for name, parameter in here.module.named_parameters():
            if not bool(torch.isfinite(parameter).all()):
                raise weights_diverged(here.state, name)
        state, before, began = here.state, here.state.checkpoint, time.perf_counter()
        scaler = plan.precision.scaler
        states = {
            "optimizer": plan.optimizer.state_dict(),
            "schedule": None if plan.schedule is None else plan.schedule.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "random": randomness.capture(plan.device, here.generators),
            "epoch_start": here.epoch_start,
        }
        kept = CheckpointState(
            architecture=self._architecture,
            options=here.options.described(),
            data=here.data_digest,
            val=here.val_digest,
            run=state,
            batches=here.batch,
            waited=here.waited,
            totals=here.totals.state_dict(),
        )
        if self._unsaved in state.warnings:
            state.warnings.remove(self._unsaved)
        state.checkpoint = str(self._folder / FOLDER / MODEL)
        try:
            write_checkpoint(self._folder, here.module, kept, states, here.best.to_write())
        except (*WRITE_ERRORS, TrainingError) as error:
            state.checkpoint = before
            what = "the last good one stays" if before else "there is none yet"
            reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
            self._unsaved = f"cannot save a checkpoint ({reason}): the training goes on; {what}"
            state.warnings.append(self._unsaved)
        else:
            here.best.written()
        now = time.perf_counter()
        self._next = now + max(here.options.checkpoint_seconds, _WRITE_SHARE * (now - began))
        return self._unsaved not in state.warnings

    def take_up(self, checkpoint: Checkpoint) -> randomness.State | None:
        """Put everything as it was.

        Returns
        -------
        randomness.State or None
            The random states to restore when the batches before the checkpoint have been loaded again.

        Raises
        ------
        InvalidInput
            If the checkpoint is of another architecture.
        """
        here, plan, kept = self._standing, self._standing.plan, checkpoint.state
        checkpoint.check_architecture(here.module)
        with torch.no_grad():
            here.module.load_state_dict(checkpoint.weights(), strict=False)
        states = checkpoint.states()
        _load_optimizer(plan, states["optimizer"])
        if plan.schedule is not None and states["schedule"] is not None:
            plan.schedule.load_state_dict(states["schedule"])
        if plan.precision.scaler is not None and states["scaler"] is not None:
            plan.precision.scaler.load_state_dict(states["scaler"])
        here.waited, here.batch, here.epoch_start = kept.waited, kept.batches, states["epoch_start"]
        if here.state.best is None or here.state.best.metric == plan.watched:
            here.best.resume(checkpoint)
        else:
            # Another metric is watched now: its values are not compared with those of the one before.
            here.state.best, here.waited = None, 0
        if not here.batch:
            randomness.restore(states["random"], plan.device, here.generators)
            return None
        here.totals.load_state_dict(kept.totals)
        if here.repeatable:
            randomness.restore(states["random"], plan.device, here.generators)
            return None
        randomness.restore(states["epoch_start"], plan.device, here.generators)
        random: randomness.State = states["random"]
        return random

    def finish(self, *, restore_best: bool) -> Path | None:
        """Write the last checkpoint and put the best weights into the module.

        Returns
        -------
        Path or None
            The file that has the module's weights; None where the disk did not take them.
        """
        saved, here = self.save(), self._standing
        restored = False
        if restore_best:
            written = None if self._folder is None or not here.state.checkpoint else Checkpoint(self._folder)
            restored = here.best.restore(here.module, written)
        here.state.kept = here.state.best.epoch if restored and here.state.best else here.state.epoch
        return self._folder / FOLDER / (BEST if restored else MODEL) if saved and self._folder is not None else None


def _size(standing: Standing) -> int:
    """Estimate the bytes of a checkpoint: the weights, and two numbers for each in the optimizer."""
    weights = sum(parameter.numel() * parameter.element_size() for parameter in standing.module.parameters())
    return 3 * weights if 3 * weights > _SMALL_BYTES else 0


def _load_optimizer(plan: TrainingPlan, kept: dict[str, Any]) -> None:
    optimizer = plan.optimizer
    now = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    try:
        optimizer.load_state_dict(kept)
    except (ValueError, KeyError) as error:
        raise TrainingError(
            f"The checkpoint's optimizer is not this {type(optimizer).__name__}: {error}",
            hint="Resume with the optimizer that the run was trained with, or train anew.",
        ) from error
    if plan.schedule is None or not plan.schedule.own_rates:
        # A learning rate that is given anew is the one that counts.
        for group, options in zip(optimizer.param_groups, now, strict=True):
            group.update(options)
