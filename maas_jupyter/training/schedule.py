"""The learning rate over a training: by name, or a scheduler of torch's."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi
from typing import Any, Protocol

import torch
from torch.optim.lr_scheduler import CyclicLR, LambdaLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from maas_jupyter.errors import UsageError, nearest

_PLATEAU_EPOCHS = 3


def _constant(done: float) -> float:
    return 1.0


def _linear(done: float) -> float:
    return 1.0 - done


def _cosine(done: float) -> float:
    """Half a cosine from 1 to 0 (Loshchilov and Hutter 2017, SGDR, without restarts)."""
    return (1 + cos(pi * done)) / 2


def _onecycle(done: float) -> float:
    """Up from 1/25 for three tenths, then down to 1/250,000 of it, both as cosines (Smith and Topin 2018)."""
    if done < 0.3:
        return 1 / 25 + (1 - 1 / 25) * (1 - cos(pi * done / 0.3)) / 2
    low = 1 / 25e4
    return low + (1 - low) * (1 + cos(pi * (done - 0.3) / 0.7)) / 2


def _step(done: float) -> float:
    """Fall to a tenth after each third of the training."""
    return float(0.1 ** int(min(done, 0.999999) * 3))


SHAPES: dict[str, Callable[[float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "cosine": _cosine,
    "onecycle": _onecycle,
    "step": _step,
    "plateau": _constant,
}


class Schedule(Protocol):
    """Sets the learning rate of an optimizer as a training goes on.

    Attributes
    ----------
    own_rates : bool
        Whether a resumed training keeps the rates that the optimizer had, because the next ones are made from them.
    """

    own_rates: bool

    def before_step(self, step: int, done: float) -> None:
        """Set the rate of an optimizer step: ``step`` were done before, which is the share ``done`` of all."""

    def after_step(self) -> None:
        """Look on after an optimizer step."""

    def after_epoch(self, watched: float | None) -> None:
        """Look at the watched metric of an epoch; None where it was not a number."""

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""


class NamedSchedule:
    """A learning rate as a function of how much is done, so that it needs no memory of its own.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        The rates that its groups have now are the base.
    name : str
        One of `SHAPES`. ``plateau`` halves the rate when the watched metric has not improved for three epochs.
    warmup : float
        Steps in which the rate grows linearly from 0; below 1 a share of the training.
    upwards : bool
        Whether more is better in the watched metric.
    """

    own_rates = False

    def __init__(self, optimizer: torch.optim.Optimizer, name: str, *, warmup: float, upwards: bool) -> None:
        self._optimizer = optimizer
        self._bases = [float(group["lr"]) for group in optimizer.param_groups]
        self._shape, self._plateau = SHAPES[name], name == "plateau"
        self._warmup, self._upwards = warmup, upwards
        self._scale, self._waited = 1.0, 0
        self._best: float | None = None

    def before_step(self, step: int, done: float) -> None:
        """Set the rate."""
        warmup, rise = self._warmup, 1.0
        if warmup >= 1:
            rise = min(1.0, (step + 1) / warmup)
        elif warmup > 0:
            rise = min(1.0, (done + 1e-3) / warmup)
            done = max(0.0, done - warmup) / (1 - warmup)
        factor = self._shape(done) * rise * self._scale
        for group, base in zip(self._optimizer.param_groups, self._bases, strict=True):
            group["lr"] = base * factor

    def after_step(self) -> None:
        """Nothing: the rate depends on the step alone."""

    def after_epoch(self, watched: float | None) -> None:
        """Halve the rate where nothing improves any more."""
        if not self._plateau:
            return
        best = self._best
        if watched is not None and (best is None or (watched > best if self._upwards else watched < best)):
            self._best, self._waited = watched, 0
            return
        self._waited += 1
        if self._waited >= _PLATEAU_EPOCHS:
            self._scale, self._waited = self._scale / 2, 0

    def state_dict(self) -> dict[str, Any]:
        """Return what the plateau remembers."""
        return {"scale": self._scale, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; the base rates are those of the optimizer that was made anew."""
        self._scale, self._best, self._waited = state["scale"], state["best"], state["waited"]


class TorchSchedule:
    """A scheduler of torch's, stepped as its own documentation says.

    ``OneCycleLR``, ``CyclicLR`` and the schedules of transformers after every optimizer step, all others after every
    epoch; ``ReduceLROnPlateau`` is given the watched metric.
    """

    own_rates = True

    def __init__(self, scheduler: LRScheduler) -> None:
        self._scheduler = scheduler
        self._each_step = isinstance(scheduler, OneCycleLR | CyclicLR) or (
            isinstance(scheduler, LambdaLR) and any(map(_of_transformers, scheduler.lr_lambdas))
        )

    def before_step(self, step: int, done: float) -> None:
        """Nothing: torch's schedulers count for themselves."""

    def after_step(self) -> None:
        """Step it, where it goes by steps."""
        if self._each_step:
            self._scheduler.step()

    def after_epoch(self, watched: float | None) -> None:
        """Step it, where it goes by epochs."""
        if isinstance(self._scheduler, ReduceLROnPlateau):
            if watched is not None:
                self._scheduler.step(watched)
        elif not self._each_step:
            self._scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state."""
        return dict(self._scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load the scheduler's state."""
        self._scheduler.load_state_dict(state)


def make_schedule(
    schedule: Any, optimizer: torch.optim.Optimizer, *, warmup: float, upwards: bool
) -> NamedSchedule | TorchSchedule | None:
    """Return the schedule that is meant; None where the rate stays as it is.

    Raises
    ------
    UsageError
        If the name is not known, the scheduler is another optimizer's, or a warm-up is asked of a torch scheduler.
    """
    if isinstance(schedule, str):
        name = schedule.lower()
        if name not in SHAPES:
            raise UsageError(
                f"There is no schedule called '{schedule}'.",
                hint=nearest(schedule, SHAPES, what="schedules", otherwise=""),
            )
        if name == "constant" and not warmup:
            return None
        return NamedSchedule(optimizer, name, warmup=warmup, upwards=upwards)
    scheduler = schedule
    if not isinstance(scheduler, LRScheduler) and callable(scheduler):
        scheduler = scheduler(optimizer)
    if not isinstance(scheduler, LRScheduler):
        raise UsageError(
            f"The schedule is a {type(scheduler).__name__}, not a learning rate scheduler.",
            hint="Pass a name such as cosine, a torch scheduler, or a function that makes one from the optimizer.",
        )
    if scheduler.optimizer is not optimizer:
        raise UsageError(
            "The schedule belongs to another optimizer.",
            hint="Pass the same optimizer with --optimizer, or a function: lambda optimizer: StepLR(optimizer, 5).",
        )
    if warmup:
        raise UsageError(
            "A warm-up goes with a schedule by name.", hint="Put it into the scheduler: LinearLR in a SequentialLR."
        )
    return TorchSchedule(scheduler)


def _of_transformers(function: Any) -> bool:
    plain = getattr(function, "func", function)
    return str(getattr(plain, "__module__", "")).startswith("transformers.")
