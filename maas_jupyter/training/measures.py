"""What is measured while a model trains: the loss and one metric, summed without making a step wait."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from maas_jupyter.errors import InvalidInput
from maas_jupyter.training.losses import Task


@dataclass(frozen=True)
class Metric:
    """A mean over all targets.

    Attributes
    ----------
    name : str
        ``accuracy``, ``mae``.
    upwards : bool
        Whether more is better.
    total : callable
        The sum over a batch, of its (output, targets), as a tensor without dimensions.
    """

    name: str
    upwards: bool
    total: Callable[[Tensor, Tensor], Tensor]


def _right(output: Tensor, targets: Tensor) -> Tensor:
    return output.argmax(1).eq(targets).sum()


def _error(output: Tensor, targets: Tensor) -> Tensor:
    return (output.float() - targets).abs().sum()


def _right_tokens(output: Tensor, targets: Tensor) -> Tensor:
    # The mean is over all places; those without a loss count as none, so the share is taken of the learned ones.
    learned = targets[:, 1:] != -100
    right = (output[:, :-1].argmax(2).eq(targets[:, 1:]) & learned).sum()
    return right * targets.numel() / learned.sum().clamp(min=1)


METRICS: dict[Task, Metric] = {
    "classification": Metric("accuracy", True, _right),
    "regression": Metric("mae", False, _error),
    "text-generation": Metric("token_accuracy", True, _right_tokens),
}


class Totals:
    """Sums of an epoch.

    On a CPU a number is read at once, which costs a tenth of a microsecond; on another device it stays there until
    `drain`, so that no step waits.
    """

    def __init__(self, metric: Metric, device: torch.device) -> None:
        self.loss, self.metric, self.rows, self.targets = 0.0, 0.0, 0, 0
        self._name, self._total = metric.name, metric.total
        self._immediate = device.type == "cpu"
        self._losses: list[float] = []
        self._pending: list[tuple[Tensor, Tensor, int]] = []

    def add(self, loss: Tensor, output: Tensor, targets: Tensor) -> float | None:
        """Take a batch; return its loss where that is known at once."""
        rows = len(targets)
        self.rows += rows
        self.targets += targets.numel()
        total = self._total(output.detach(), targets)
        if not self._immediate:
            self._pending.append((loss.detach(), total, rows))
            return None
        value: float = loss.item()
        self.loss += value * rows
        self.metric += total.item()
        self._losses.append(value)
        return value

    def drain(self) -> list[float]:
        """Return the losses of the batches since the last call; one copy from the device for all of them."""
        if self._pending:
            losses = torch.stack([loss.float() for loss, _, _ in self._pending]).tolist()
            totals = torch.stack([total.float() for _, total, _ in self._pending]).tolist()
            for value, total, (_, _, rows) in zip(losses, totals, self._pending, strict=True):
                self.loss += value * rows
                self.metric += total
            self._losses += losses
            self._pending.clear()
        losses, self._losses = self._losses, []
        return losses

    def means(self) -> dict[str, float]:
        """Return the mean loss of a row and the mean metric of a target.

        Raises
        ------
        InvalidInput
            If there was no row.
        """
        self.drain()
        if not self.rows:
            raise InvalidInput(
                "The data gave no row in this epoch.", hint="Check that it can be walked more than once."
            )
        return {"loss": self.loss / self.rows, self._name: self.metric / self.targets}

    def state_dict(self) -> dict[str, float]:
        """Return the sums, for a checkpoint within an epoch."""
        self.drain()
        return {"loss": self.loss, "metric": self.metric, "rows": self.rows, "targets": self.targets}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self.loss, self.metric = state["loss"], state["metric"]
        self.rows, self.targets = int(state["rows"]), int(state["targets"])
