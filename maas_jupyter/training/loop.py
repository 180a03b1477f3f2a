"""The training loop: epochs of steps, watched by an observer, stopped by a KeyboardInterrupt."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from math import isfinite
from typing import Protocol

import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch, Data
from maas_jupyter.errors import InvalidInput, TrainingError
from maas_jupyter.modules import check_labels
from maas_jupyter.training.plan import TrainingPlan
from maas_jupyter.training.run import RunStatus

_LOOKS_PER_SECOND = 10


@dataclass
class Progress:
    """How far a training is.

    Attributes
    ----------
    epochs, epoch, steps, step : int
        Totals and how many are complete; ``steps`` is per epoch and None where the data's length is not known.
    rows : int
        Rows trained on so far.
    seconds : float
        Since the first step.
    history : list of dict
        One entry for each complete epoch.
    status : str
        ``training``, ``finished``, ``interrupted`` or ``failed``.
    """

    epochs: int
    steps: int | None
    epoch: int = 0
    step: int = 0
    rows: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    status: str = "training"

    @property
    def fraction(self) -> float:
        """The share of the work that is done, from 0 to 1."""
        within = self.step / self.steps if self.steps else 0.0
        return min(1.0, (self.epoch + within) / self.epochs) if self.epochs else 1.0

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to the end."""
        return self.seconds * (1 - self.fraction) / self.fraction if self.fraction > 0 else None

    @property
    def rows_per_second(self) -> float | None:
        """Training rows per second so far."""
        return self.rows / self.seconds if self.seconds > 0 else None


class TrainingObserver(Protocol):
    """Is shown the progress at most ten times a second, and after every epoch and at the end in any case."""

    def update(self, progress: Progress, *, final: bool = False) -> None:
        """Look at the progress; it is changed in place afterwards."""

    def epoch(self, metrics: dict[str, float]) -> None:
        """Take the metrics of a complete epoch."""


def fit(
    model: nn.Module,
    data: Data,
    plan: TrainingPlan,
    *,
    val: Data | None,
    epochs: int,
    batch_size: int,
    seed: int,
    observers: list[TrainingObserver],
) -> tuple[RunStatus, list[dict[str, float]], float]:
    """Train a model in place.

    Parameters
    ----------
    model : torch.nn.Module
        On ``plan.device`` already.
    data, val : Data
        Training and validation rows.
    plan : TrainingPlan
        Loss, optimizer, task and device.
    epochs, batch_size : int
        A ``DataLoader`` of the user's keeps its own batch size.
    seed : int
        Orders the rows and drives dropout; the caller's random state is left as it was.
    observers : list of TrainingObserver
        Who watches.

    Returns
    -------
    status : {'finished', 'interrupted'}
    history : list of dict
        One entry for each complete epoch.
    seconds : float

    Raises
    ------
    InvalidInput
        If a label lies outside the model's classes, or a walk over the data gives no rows.
    TrainingError
        If the loss is not a number at the end of an epoch.
    """
    progress = Progress(epochs=epochs, steps=data.batch_count(batch_size))
    order = torch.Generator().manual_seed(seed)
    began = time.perf_counter()
    status: RunStatus = "finished"
    devices = [plan.device] if plan.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            for epoch in range(1, epochs + 1):
                metrics = {
                    "epoch": float(epoch),
                    **_train_epoch(model, data, plan, batch_size, order, progress, observers, began),
                }
                if val is not None:
                    metrics |= {f"val_{name}": value for name, value in score(model, val, plan, batch_size).items()}
                progress.epoch, progress.step = epoch, 0
                progress.seconds = time.perf_counter() - began
                progress.history.append(metrics)
                for observer in observers:
                    observer.epoch(metrics)
                    observer.update(progress)
                if not isfinite(metrics["loss"]):
                    raise TrainingError(
                        f"The loss became {metrics['loss']} in epoch {epoch}: the model has learned nothing usable.",
                        hint="Lower --lr, and look for NaN, infinity or very large numbers in the data.",
                    )
        except KeyboardInterrupt:
            status = "interrupted"
        except BaseException:
            _finish(progress, "failed", began, observers)
            raise
    _finish(progress, status, began, observers)
    model.eval()
    return status, progress.history, progress.seconds


def _finish(progress: Progress, status: str, began: float, observers: list[TrainingObserver]) -> None:
    progress.status = status
    progress.seconds = time.perf_counter() - began
    for observer in observers:
        observer.update(progress, final=True)


def _train_epoch(
    model: nn.Module,
    data: Data,
    plan: TrainingPlan,
    batch_size: int,
    order: torch.Generator,
    progress: Progress,
    observers: list[TrainingObserver],
    began: float,
) -> dict[str, float]:
    model.train()
    totals = _Totals(plan)
    looked = time.perf_counter()
    for batch in data.batches(batch_size, generator=order):
        inputs, targets = _to_device(batch, plan, name="data")
        output = model(*inputs)
        loss = plan.loss(output, targets)
        plan.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        plan.optimizer.step()
        totals.add(loss, output, targets)
        progress.step += 1
        progress.rows += len(targets)
        now = time.perf_counter()
        if now - looked >= 1 / _LOOKS_PER_SECOND:
            looked, progress.seconds = now, now - began
            for observer in observers:
                observer.update(progress)
    return totals.means()


@torch.no_grad()
def score(model: nn.Module, data: Data, plan: TrainingPlan, batch_size: int) -> dict[str, float]:
    """Return the mean loss, and for classification the accuracy, over all rows in evaluation mode."""
    model.eval()
    totals = _Totals(plan)
    for batch in data.batches(batch_size):
        inputs, targets = _to_device(batch, plan, name="val")
        output = model(*inputs)
        totals.add(plan.loss(output, targets), output, targets)
    return totals.means()


class _Totals:
    """Sums kept on the device, so that no step waits for a number to be copied."""

    def __init__(self, plan: TrainingPlan) -> None:
        self._classify = plan.task == "classification"
        self._loss = torch.zeros((), device=plan.device)
        self._right = torch.zeros((), device=plan.device)
        self._rows = 0

    def add(self, loss: Tensor, output: Tensor, targets: Tensor) -> None:
        rows = len(targets)
        self._rows += rows
        self._loss += loss.detach() * rows
        if self._classify:
            self._right += (output.detach().argmax(1) == targets).sum()

    def means(self) -> dict[str, float]:
        if not self._rows:
            raise InvalidInput(
                "The data gave no row in this epoch.", hint="Check that it can be walked more than once."
            )
        means = {"loss": float(self._loss) / self._rows}
        return {**means, "accuracy": float(self._right) / self._rows} if self._classify else means


def _to_device(batch: Batch, plan: TrainingPlan, *, name: str) -> tuple[tuple[Tensor, ...], Tensor]:
    targets = batch.required_targets()
    if plan.classes is not None:
        check_labels(targets, plan.classes, name=name)
    return tuple(tensor.to(plan.device) for tensor in batch.inputs), targets.to(plan.device)
