"""A torch module seen from outside: run on rows in evaluation mode, its output and labels checked in words."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput, UsageError


def choose_device(name: str | None) -> torch.device:
    """Return the device that is asked for, or the best one that is there.

    Raises
    ------
    UsageError
        If torch does not know it or it is not on this machine.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"The device '{name}' cannot be used: {reason}", hint="Use --device cpu or leave it out."
        ) from error
    return device


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the module's parameters, the CPU where it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@torch.no_grad()
def run_module(model: nn.Module, batch: Batch) -> Tensor:
    """Run rows through a module in evaluation mode; its mode is restored.

    Returns
    -------
    Tensor
        One row for each row of the batch, on the module's device.

    Raises
    ------
    InvalidInput
        If the module refuses the rows, or does not answer with one tensor that has a row for each.
    """
    device = device_of(model)
    was_training = model.training
    model.eval()
    try:
        output = model(*(tensor.to(device) for tensor in batch.inputs))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(f"{list(tensor.shape[1:])} {str(tensor.dtype)[6:]}" for tensor in batch.inputs)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"The data does not fit the model; rows of shape {shapes} were refused: {reason}",
            hint="Compare the shape and dtype of a row with the model's first layer.",
        ) from error
    finally:
        model.train(was_training)
    if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != len(batch):
        got = f"a tensor of shape {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise InvalidInput(
            f"The model answers {len(batch)} rows with {got}.",
            hint="Its forward should return one tensor whose first axis is the rows.",
        )
    return output


def check_labels(targets: Tensor, classes: int, *, name: str) -> None:
    """Check that integer labels are classes of the model.

    Raises
    ------
    InvalidInput
        If a label lies outside ``0 .. classes - 1``; names the first one and its row.
    """
    outside = (targets < 0) | (targets >= classes)
    if outside.any():
        row = int(outside.nonzero()[0][0])
        raise InvalidInput(
            f"'{name}' has the label {int(targets[row])} at row {row}, but the model has {classes} classes, "
            f"0 to {classes - 1}.",
            hint="Number the labels from 0, or give the model's last layer one output for each class.",
        )
