"""Regressions in the units of their targets."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from maas_jupyter.data import Batch, Prepared
from maas_jupyter.modules import run_module

#: Targets of about this size are learned as they are.
_NEAR_ZERO, _SMALL, _LARGE = 10.0, 0.1, 10.0
_ROWS = 64


class RescaledLinear(nn.Linear):
    """A last layer that answers in the units of the targets: ``(x W' + b) * std + mean``.

    What the layers before it learn is of the size of 1 then, whatever the targets are. A linear layer could learn the
    same, but starts near 0 and moves by about the learning rate with each step of Adam. Adam's steps do not depend on
    the size of the loss; the learning rate of SGD does, and has to be smaller by ``std ** 2``.

    Parameters
    ----------
    layer : torch.nn.Linear
        Its weights are used.
    mean, std : Tensor, FP32 () or (outputs,)
        Of the training targets.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, layer: nn.Linear, mean: Tensor, std: Tensor) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, input: Tensor) -> Tensor:
        """Return ``(rows, outputs)`` in the units of the targets."""
        return super().forward(input) * self.std + self.mean


def rescaled(module: nn.Module, prepared: Prepared) -> tuple[nn.Module, list[str]]:
    """Let a fresh module for a regression answer in the units of its targets, where these are far from 0 and 1.

    Parameters
    ----------
    module : torch.nn.Module
        Changed in place where its answer is that of a linear layer.
    prepared : Prepared
        The training rows.

    Returns
    -------
    module : torch.nn.Module
    notes : list of str
        What was done.
    """
    found = _far(prepared)
    if found is None:
        return module, []
    mean, std, words = found
    head = prepared.data.head(_ROWS)
    last = _last_layer(module, head, any_shape=not mean.ndim)
    if last is None:
        return module, [advice(words)]
    layer = RescaledLinear(last, mean, std)
    # A layer may be known by several names.
    for name in [name for name, each in module.named_modules(remove_duplicate=False) if each is last]:
        if not name:
            module = layer
        else:
            module.set_submodule(name, layer)
    return module, [f"{words}: the last layer answers in these units"]


def too_far(module: nn.Module, prepared: Prepared) -> list[str]:
    """Say that a module's answers are nowhere near the targets of its regression, and what helps."""
    found = _far(prepared)
    if found is None:
        return []
    mean, std, words = found
    answers = run_module(module, prepared.data.head(_ROWS)).float().cpu()
    return [advice(words)] if bool(((answers.mean(0) - mean).abs() > std).any()) else []


def advice(words: str) -> str:
    """Return the note for a module that starts far from its targets."""
    return (
        f"{words}, far from what the model gives at first: it will learn slowly. Standardise them, or pass a function "
        "that makes the module and ends it with a linear layer, which then answers in these units"
    )


def _far(prepared: Prepared) -> tuple[Tensor, Tensor, str] | None:
    """Return mean and standard deviation of targets that are far from 0 and 1, and the words for it."""
    targets = prepared.data.targets
    if prepared.task != "regression" or targets is None or len(targets) < 2:
        return None
    mean, std = targets.float().mean(0).cpu(), targets.float().std(0).cpu()
    std = torch.where(std > 0, std, 1.0)
    if mean.numel() == 1:
        mean, std = mean.reshape(()), std.reshape(())
    if not bool(((mean.abs() > _NEAR_ZERO) | (std < _SMALL) | (std > _LARGE)).any()):
        return None
    return mean, std, f"targets of mean {_shown(mean)} and spread {_shown(std)}"


def _shown(values: Tensor) -> str:
    numbers = values.flatten().tolist()
    return ", ".join(f"{number:.4g}" for number in numbers[:4]) + (", ..." if len(numbers) > 4 else "")


def _last_layer(module: nn.Module, head: Batch, *, any_shape: bool) -> nn.Linear | None:
    """Return the linear layer whose answer is the module's, if need be in another shape; None where there is none."""
    last: list[tuple[nn.Linear, Tensor]] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output: last.append((layer, output)))
        for layer in module.modules()
        if type(layer) is nn.Linear
    ]
    try:
        answer = run_module(module, head)
    finally:
        for hook in hooks:
            hook.remove()
    if not last:
        return None
    layer, output = last[-1]
    once = sum(each is layer for each, _ in last) == 1
    fits = any_shape or output.shape == answer.shape
    return layer if once and fits and torch.equal(output.flatten(), answer.flatten()) else None
