"""What a training will do, decided and checked before its first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maas_jupyter.data import Data, TensorData
from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.modules import check_labels, check_shapes, choose_device, run_module

LossFunction = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, type[nn.Module]] = {
    "cross_entropy": nn.CrossEntropyLoss,
    "nll": nn.NLLLoss,
    "mse": nn.MSELoss,
    "l1": nn.L1Loss,
    "huber": nn.HuberLoss,
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
_FUSED = ("adam", "adamw", "sgd")


@dataclass(frozen=True)
class TrainingPlan:
    """Task, loss, optimizer and device of a training.

    Attributes
    ----------
    task : {'classification', 'regression'}
        Classification where the targets are integers.
    classes : int or None
        Width of the model's output, for classification.
    """

    task: Literal["classification", "regression"]
    classes: int | None
    loss: LossFunction
    optimizer: torch.optim.Optimizer
    device: torch.device

    @classmethod
    def make(
        cls, model: nn.Module, data: Data, *, loss: Any, optimizer: Any, lr: float, device: str | None
    ) -> TrainingPlan:
        """Decide from the model and the first rows, and move the model to its device.

        Raises
        ------
        InvalidInput
            If the data does not fit the model, or labels lie outside the model's classes.
        UsageError
            If a loss, an optimizer or a device is not known.
        """
        place = choose_device(device)
        model.to(place)
        head = data.head(8)
        targets = head.required_targets()
        output = run_module(model, head)
        task: Literal["classification", "regression"] = (
            "regression" if targets.is_floating_point() else "classification"
        )
        check_shapes(output, targets, name="data")
        classes = None
        if task == "classification":
            classes = int(output.shape[1])
            # Rows in memory are checked before the first step; a loader's rows are checked as they come.
            check_labels(
                data.all().required_targets() if isinstance(data, TensorData) else targets, classes, name="data"
            )
        function = _loss(loss, task)
        if isinstance(function, nn.Module):
            function.to(place)
        try:
            function(output, targets.to(place))
        except (RuntimeError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InvalidInput(
                f"The loss does not take the model's output and the targets: {reason}",
                hint=f"This looks like a {task}; leave --loss out for the usual one.",
            ) from error
        return cls(task, classes, function, _optimizer(optimizer, model, lr), place)


def _loss(loss: Any, task: str) -> LossFunction:
    if loss is None:
        return nn.CrossEntropyLoss() if task == "classification" else nn.MSELoss()
    if isinstance(loss, str):
        if loss.lower() not in LOSSES:
            raise UsageError(
                f"There is no loss called '{loss}'.", hint=nearest(loss, LOSSES, what="losses", otherwise="")
            )
        return LOSSES[loss.lower()]()
    if callable(loss):
        chosen: LossFunction = loss
        return chosen
    raise UsageError(
        f"The loss is a {type(loss).__name__}, not a function.", hint="Pass a name or a function (output, target)."
    )


def _optimizer(optimizer: Any, model: nn.Module, lr: float) -> torch.optim.Optimizer:
    if isinstance(optimizer, torch.optim.Optimizer):
        return optimizer
    if not isinstance(optimizer, str) or optimizer.lower() not in OPTIMIZERS:
        raise UsageError(
            f"There is no optimizer called '{optimizer}'.",
            hint=nearest(str(optimizer), OPTIMIZERS, what="optimizers", otherwise=""),
        )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        raise InvalidInput(
            "The model has no parameter that can be trained.", hint="Check requires_grad and its layers."
        )
    name = optimizer.lower()
    # One fused kernel for all parameters: the step of a small model is mostly overhead otherwise.
    fused = {"fused": True} if name in _FUSED else {}
    return OPTIMIZERS[name](parameters, lr=lr, **fused)
