"""Structured pruning: whole channels, heads and neurons removed, to a share or to a target."""

from __future__ import annotations

import copy
import importlib.util
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import InvalidInput, MissingDependency, UsageError, nearest
from maas_jupyter.modules import device_of
from maas_jupyter.optimization.finetune import finetune, packaged
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original, Trained
from maas_jupyter.optimization.prune.channels import RECURRENT, Channels, Importance
from maas_jupyter.optimization.prune.gradual import Gradual, check_share
from maas_jupyter.optimization.prune.target import Search, Target

_AMOUNT = 0.5
_IMPORTANCES = ("l1", "l2", "taylor")
#: Rows that the gradients of Taylor importance are taken on.
_GRADIENT_ROWS = 256


class StructuredPruning:
    """Removes the least important channels, neurons and attention heads, and fine-tunes the rest.

    The module is really smaller, so that its bundle is smaller and faster everywhere. What enters the model and what it
    answers keeps its width; so does what flows from layer to layer of a transformer, which loses heads and neurons of
    its feed-forward layers. Recurrent layers are not supported.

    Parameters
    ----------
    amount : float, optional
        Share of the channels that is removed, between 0 and 1; 0.5 where no target is given.
    sparsity : float, optional
        Instead of the amount: share of the weights that is removed.
    size : float, optional
        Instead of the amount: bytes that the bundle may have.
    latency : float, optional
        Instead of the amount: milliseconds that one row may take (p50, measured with the packaged bundle).
    importance : {'l1', 'l2', 'taylor'}
        Of a channel: the norm of its weights in all layers that hang on it, or by how much the loss changes without it,
        to first order.
    **gradual : object
        The attributes of `gradual.Gradual`; by default each layer loses the same share, with 5 epochs.

    Raises
    ------
    UsageError
        If a value is out of range, or more than one of amount, sparsity, size and latency is given.
    MissingDependency
        If torch-pruning is not installed.
    """

    name = "structured-pruning"
    description = "whole channels, heads and neurons removed, the rest fine-tuned"
    family: Family = "prune"
    seconds = 15.0

    def __init__(
        self,
        *,
        amount: float | None = None,
        sparsity: float | None = None,
        size: float | None = None,
        latency: float | None = None,
        importance: Importance = "l2",
        **gradual: Any,
    ) -> None:
        if importlib.util.find_spec("torch_pruning") is None:
            raise MissingDependency(
                f"{self.name} needs the package 'torch_pruning'.", hint="pip install 'maas-jupyter[prune]'"
            )
        given = {"amount": amount, "sparsity": sparsity, "size": size, "latency": latency}
        named = {name: value for name, value in given.items() if value is not None}
        if len(named) > 1:
            raise UsageError(f"--{' and --'.join(named)} exclude each other.", hint="Give one of them.")
        for name, value in named.items():
            if name in ("amount", "sparsity"):
                check_share(value, name)
            elif not value > 0:
                raise UsageError(f"--{name} is {value}, which nothing can reach.", hint="Give a number above 0.")
        if importance not in _IMPORTANCES:
            raise UsageError(
                f"There is no importance called '{importance}'.",
                hint=nearest(importance, _IMPORTANCES, what="importances", otherwise=""),
            )
        self.amount = _AMOUNT if amount is None else amount
        self.target = next((Target(name, value) for name, value in named.items() if name != "amount"), None)
        self.importance = importance
        self.gradual = Gradual(**{"scope": "layer", "epochs": 5, **gradual})

    def applies_to(self, original: Original) -> bool:
        """Say whether the torch model is at hand and has a layer before the last one whose channels can go."""
        if original.trained is None:
            return False
        layers = list(original.trained.module.modules())
        cut = [layer for layer in layers if isinstance(layer, nn.Linear | nn.modules.conv._ConvNd)]
        return len(cut) > 1 and not any(isinstance(layer, RECURRENT) for layer in layers)

    def run(self, original: Original, folder: Path) -> Bundle:
        """Prune a copy and package it.

        Raises
        ------
        UsageError
            If the target cannot be reached; the hint names the nearest value that can.
        InvalidInput
            If the torch model is not at hand, or its channels cannot be removed.
        TrainingError
            If the fine-tuning fails.
        ExportError
            If the pruned module cannot be exported.
        KeyboardInterrupt
            If the fine-tuning is stopped.
        """
        trained = original.required_trained()
        search, amount = None, self.amount
        if self.target is not None:
            original.on_step(f"looking for what has to go for {self.target}")
            search = Search(self.target, original, folder)
            amount = search.amount(partial(self._pruned, trained))
        module = copy.deepcopy(trained.module)
        channels = Channels(module, trained.prepared.data.head(2))
        if not channels.count:
            raise InvalidInput(
                f"{original.reference} has no channels that could be removed: all its layers are tied to its input or "
                "its answer.",
                hint="Use magnitude-pruning, or quantize.",
            )
        options = self.gradual.training(module)
        for share, done in self.gradual.shares(amount):
            self._remove(trained, channels, share)
            if search is not None and share == amount:
                # The fine-tuning in between changed which channels are the least important; the last one leaves them.
                share = search.reached(module, share, partial(self._remove, trained, channels))
            title = f"{self.name} of {original.reference}: {done}{share:.0%} of the channels removed"
            original.on_step(title)
            finetune(trained, module, options, title=title)
        return packaged(original, module, folder)

    def _pruned(self, trained: Trained, amount: float) -> nn.Module:
        """Return a copy without its least important channels, as it is before any fine-tuning."""
        module = copy.deepcopy(trained.module)
        self._remove(trained, Channels(module, trained.prepared.data.head(2)), amount)
        return module

    def _remove(self, trained: Trained, channels: Channels, share: float) -> None:
        if self.importance == "taylor":
            _take_gradients(trained, channels.module, self.gradual.batch_size)
        channels.remove(share, self.importance, self.gradual.scope)
        for parameter in channels.module.parameters():
            parameter.grad = None


def _take_gradients(trained: Trained, module: nn.Module, batch_size: int) -> None:
    """Leave the loss's gradients on the first rows in the parameters."""
    rows = trained.prepared.data.head(_GRADIENT_ROWS)
    device = device_of(module)
    module.eval()
    frozen = [parameter for parameter in module.parameters() if not parameter.requires_grad]
    module.requires_grad_(True)
    inputs = zip(*(tensor.split(batch_size) for tensor in rows.inputs), strict=True)
    with torch.enable_grad():
        for part, targets in zip(inputs, rows.required_targets().split(batch_size), strict=True):
            output, targets = module(*(tensor.to(device) for tensor in part)), targets.to(device)
            trained.criterion(output, targets).backward()
    for parameter in frozen:
        parameter.requires_grad_(False)
