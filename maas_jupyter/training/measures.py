"""What is measured while a model trains: the loss and one metric, summed without making a step wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from maas_jupyter.errors import InvalidInput
from maas_jupyter.training.losses import Task, Weigh, learned_tokens


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
    count : callable or None
        How many targets of a batch count; all of them for None.
    """

    name: str
    upwards: bool
    total: Callable[[Tensor, Tensor], Tensor]
    count: Callable[[Tensor], Tensor] | None = None


def _right(output: Tensor, targets: Tensor) -> Tensor:
    return output.argmax(1).eq(targets).sum()


def _error(output: Tensor, targets: Tensor) -> Tensor:
    return (output.float() - targets).abs().sum()


def _right_tokens(output: Tensor, targets: Tensor) -> Tensor:
    # What is not learned is -100, which no token is.
    return output[:, :-1].argmax(2).eq(targets[:, 1:]).sum()


METRICS: dict[Task, Metric] = {
    "classification": Metric("accuracy", True, _right),
    "regression": Metric("mae", False, _error),
    "text-generation": Metric("token_accuracy", True, _right_tokens, learned_tokens),
}


class Totals:
    """Sums of an epoch.

    On a CPU a number is read at once, which costs a tenth of a microsecond; on another device it stays there until
    `drain`, so that no step waits.

    Parameters
    ----------
    metric : Metric
    device : torch.device
    weigh : callable or None
        What a batch's mean loss is the mean of (`losses.batch_weight`); rows for None.
    """

    def __init__(self, metric: Metric, device: torch.device, weigh: Weigh | None = None) -> None:
        self.loss, self.metric, self.rows, self.weight, self.targets = 0.0, 0.0, 0, 0.0, 0.0
        self._name, self._total, self._count, self._weigh = metric.name, metric.total, metric.count, weigh
        self._immediate = device.type == "cpu"
        self._losses: list[float] = []
        self._pending: list[tuple[Tensor, Tensor, Tensor | int, Tensor | int]] = []

    def add(self, loss: Tensor, output: Tensor, targets: Tensor) -> float | None:
        """Take a batch; return its loss where that is known at once."""
        rows = len(targets)
        self.rows += rows
        weight = rows if self._weigh is None else self._weigh(targets)
        count = targets.numel() if self._count is None else self._count(targets)
        total = self._total(output.detach(), targets)
        if not self._immediate:
            self._pending.append((loss.detach(), total, weight, count))
            return None
        value: float = loss.item()
        self._sum(value, total.item(), float(weight), float(count))
        self._losses.append(value)
        return value

    def drain(self) -> list[float]:
        """Return the losses of the batches since the last call; one copy from the device for all of them."""
        if self._pending:
            columns = [_numbers(column) for column in zip(*self._pending, strict=True)]
            for numbers in zip(*columns, strict=True):
                self._sum(*numbers)
            self._losses += columns[0]
            self._pending.clear()
        losses, self._losses = self._losses, []
        return losses

    def means(self) -> dict[str, float]:
        """Return the mean loss (of a row, or of what the loss weighs) and the mean metric of a target.

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
        return {"loss": self.loss / (self.weight or 1), self._name: self.metric / (self.targets or 1)}

    def state_dict(self) -> dict[str, float]:
        """Return the sums, for a checkpoint within an epoch."""
        self.drain()
        names = ("loss", "metric", "rows", "weight", "targets")
        return {name: float(getattr(self, name)) for name in names}

    def load_state_dict(self, state: dict[str, float]) -> None:
        """Go on from there."""
        self.loss, self.metric, self.rows = state["loss"], state["metric"], int(state["rows"])
        self.weight, self.targets = state["weight"], state["targets"]

    def _sum(self, loss: float, total: float, weight: float, count: float) -> None:
        self.loss += loss * weight
        self.metric += total
        self.weight += weight
        self.targets += count


def _numbers(column: Sequence[Tensor | int]) -> list[float]:
    tensors = [each.float() for each in column if isinstance(each, Tensor)]
    return torch.stack(tensors).tolist() if tensors else [float(each) for each in column]
