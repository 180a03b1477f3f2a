"""A torch module seen from outside: run on rows in evaluation mode, its output and labels checked in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput, UsageError

#: Layers that say what they take.
_WITH_WIDTH = (nn.Linear, nn.Conv2d, nn.Conv1d, nn.Embedding, nn.RNNBase)


def choose_device(name: str | None) -> torch.device:
    """Return the device that is asked for, or the best one that is there.

    Raises
    ------
    UsageError
        If torch does not know it or it is not on this machine.
    """
    if name is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].partition(" device type at start")[0][:200]
        raise UsageError(
            f"The device '{name}' cannot be used: {reason}", hint="Use --device cpu or leave it out."
        ) from error
    return device


def device_of(model: nn.Module) -> torch.device:
    """Return the device of the module's parameters, the CPU where it has none."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put a module in evaluation mode, and each of its parts back in its own: some may have been frozen."""
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, mode in modes:
            each.training = mode


@torch.no_grad()
def run_module(model: nn.Module, batch: Batch) -> Tensor:
    """Run rows through a module in evaluation mode (see `evaluating`).

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
    try:
        with evaluating(model):
            output = model(*(tensor.to(device) for tensor in batch.inputs))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        shapes = ", ".join(f"{list(tensor.shape[1:])} {str(tensor.dtype)[6:]}" for tensor in batch.inputs)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(
            f"The data does not fit the model; rows of shape {shapes} were refused: {reason}",
            hint=_misfit_hint(model, batch),
        ) from error
    if not isinstance(output, Tensor) or output.ndim == 0 or len(output) != len(batch):
        got = f"a tensor of shape {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise InvalidInput(
            f"The model answers {len(batch)} rows with {got}.",
            hint="Its forward should return one tensor whose first axis is the rows.",
        )
    return output


def _misfit_hint(model: nn.Module, batch: Batch) -> str:
    first = next((layer for layer in model.modules() if isinstance(layer, _WITH_WIDTH)), None)
    row = batch.inputs[0].shape[1:]
    if isinstance(first, nn.Linear) and len(row) == 1 and row[0] != first.in_features:
        return (
            f"A row has {row[0]} features (of a table: after encoding), the first layer takes {first.in_features}: "
            f"make it nn.Linear({row[0]}, {first.out_features})."
        )
    integers = not any(tensor.is_floating_point() for tensor in batch.inputs)
    if isinstance(first, nn.Conv2d) and not (len(row) == 3 and row[0] == first.in_channels):
        turned = _channels_first(list(row), first.in_channels)
        shown = " x ".join(map(str, row))
        if turned:
            turned += ".astype('float32')" if integers else ""
            return f"A row is {shown}, the first convolution takes {first.in_channels} channels first: {turned}"
        return f"A row is {shown}, the first convolution takes {first.in_channels} channels first."
    if integers:
        return "The rows are integers: layers other than an embedding need X.astype('float32')."
    return "Compare the shape and dtype of a row with the model's first layer."


def _channels_first(row: list[int], channels: int) -> str:
    """Return what makes pictures of rows that have their channels last, or have one without an axis for it."""
    if len(row) == 2 and channels == 1:
        return "X[:, None]"
    if len(row) == 3 and row[2] == channels:
        return "X.transpose(0, 3, 1, 2)"
    return ""


def check_shapes(output: Tensor, targets: Tensor, *, name: str) -> None:
    """Check that a model's output and the targets are of one task and shape.

    Raises
    ------
    InvalidInput
        If integer targets do not name one class for each place of the output, or float targets differ in shape.
    """
    if targets.is_floating_point():
        if output.shape != targets.shape:
            hint = "Labels of classes have to be integers: y.astype('int64'). Numbers to predict need the shape of the "
            hint += "model's output."
            if output.shape == (len(targets), 1) and targets.ndim == 1:
                hint = "Numbers to predict need the shape of the model's output: y.reshape(-1, 1)."
            raise InvalidInput(
                f"A row of the model's output has the shape {list(output.shape[1:])}, one of the targets in '{name}' "
                f"{list(targets.shape[1:])}.",
                hint=hint,
            )
        return
    if output.ndim < 2:
        raise InvalidInput(
            f"The labels in '{name}' are integers, but the model gives one number a row (shape {list(output.shape)}).",
            hint="End the model with one output for each class, or pass targets as floats for a regression.",
        )
    expected = [output.shape[0], *output.shape[2:]]
    if list(targets.shape) != expected:
        raise InvalidInput(
            f"The labels in '{name}' have the shape {list(targets.shape)}, expected {expected}: a class for each row.",
            hint="Flatten them with y.ravel(); from one-hot rows take y.argmax(axis=1).",
        )


def check_labels(targets: Tensor, classes: int, *, name: str) -> None:
    """Check that integer labels are classes of the model.

    Raises
    ------
    InvalidInput
        If a label lies outside ``0 .. classes - 1``; names the first one and its row.
    """
    if not targets.numel():
        return
    # One pass over the labels: a loader's are checked batch by batch, within the time of a step.
    lowest, highest = targets.aminmax()
    if lowest.item() < 0 or highest.item() >= classes:
        outside = (targets < 0) | (targets >= classes)
        row = int(outside.nonzero()[0][0])
        raise InvalidInput(
            f"'{name}' has the label {int(targets[row])} at row {row}, but the model has {classes} classes, "
            f"0 to {classes - 1}.",
            hint="Number the labels from 0, or give the model's last layer one output for each class.",
        )
