"""Unstructured magnitude pruning: the smallest weights become 0, the layers keep their shapes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.optimization.finetune import finetune, packaged
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.prune.gradual import Gradual, check_share

_PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention)
_NORMS = ("l1", "l2")


class MagnitudePruning:
    """Sets the smallest weights to 0 and fine-tunes the others.

    Han et al., Learning both weights and connections for efficient neural networks (2015). The layers keep their
    shapes: without sparse kernels, which neither torch nor onnxruntime has on a CPU, nothing becomes faster, and the
    file becomes smaller only where it is compressed.

    Parameters
    ----------
    sparsity : float
        Share of the weights that become 0, between 0 and 1. Weights are those of linear, convolutional, recurrent and
        attention layers; biases, norms and embeddings stay.
    norm : {'l1', 'l2'}
        Both are the absolute value of a single weight, so that the same weights go; of whole channels
        (`StructuredPruning`) they differ.
    **gradual : object
        The attributes of `gradual.Gradual`; by default the scope is global, with 3 epochs.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    name = "magnitude-pruning"
    description = "the smallest weights set to 0: no speed without sparse kernels, smaller only when compressed"
    family: Family = "prune"
    seconds = 20.0

    def __init__(
        self,
        *,
        sparsity: float = 0.5,
        norm: Literal["l1", "l2"] = "l1",
        **gradual: Any,
    ) -> None:
        check_share(sparsity, "sparsity")
        if norm not in _NORMS:
            raise UsageError(
                f"There is no norm called '{norm}'.", hint=nearest(norm, _NORMS, what="norms", otherwise="")
            )
        self.sparsity = sparsity
        self.gradual = Gradual(**{"scope": "global", "epochs": 3, **gradual})

    def applies_to(self, original: Original) -> bool:
        """Say whether the torch model is at hand and has weights to set to 0."""
        return original.trained is not None and bool(weights_of(original.trained.module))

    def run(self, original: Original, folder: Path) -> Bundle:
        """Prune a copy and package it.

        Raises
        ------
        InvalidInput
            If the torch model is not at hand, or has nothing to prune.
        TrainingError
            If the fine-tuning fails.
        ExportError
            If the pruned module cannot be exported.
        KeyboardInterrupt
            If the fine-tuning is stopped.
        """
        trained = original.required_trained()
        module = copy.deepcopy(trained.module)
        weights = weights_of(module)
        if not weights:
            raise InvalidInput(
                f"{original.reference} has no linear, convolutional or recurrent layer to prune.",
                hint="Leave it out; quantize may find something.",
            )
        options = self.gradual.training(module)
        for share, done in self.gradual.shares(self.sparsity):
            masks = self._masks(weights, share)
            title = f"{self.name} of {original.reference}: {done}{share:.0%} of the weights are 0"
            original.on_step(title)
            with held_at_zero(weights, masks):
                finetune(trained, module, options, title=title)
        return packaged(original, module, folder)

    def _masks(self, weights: list[nn.Parameter], share: float) -> list[Tensor]:
        """Return for each weight whether it stays; what is 0 already is the smallest and stays so."""
        sizes = [weight.detach().abs().flatten() for weight in weights]
        if self.gradual.scope == "layer":
            return [_kept(size, share).view_as(weight) for size, weight in zip(sizes, weights, strict=True)]
        parts = _kept(torch.cat(sizes), share).split([weight.numel() for weight in weights])
        return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def weights_of(module: nn.Module) -> list[nn.Parameter]:
    """Return the weights that can be set to 0, each once, also where layers share it."""
    found: dict[int, nn.Parameter] = {}
    for layer in module.modules():
        if isinstance(layer, _PRUNABLE):
            for name, parameter in layer.named_parameters(recurse=False):
                if "weight" in name and parameter.ndim > 1:
                    found[id(parameter)] = parameter
    # A linear layer that answers in the tokens of an embedding shares its weights.
    for layer in module.modules():
        if isinstance(layer, nn.Embedding):
            found.pop(id(layer.weight), None)
    return list(found.values())


@contextmanager
def held_at_zero(weights: list[nn.Parameter], masks: list[Tensor]) -> Iterator[None]:
    """Set weights to 0 and keep them there while the module is trained.

    A weight of 0 whose gradient is always 0 is not moved by any optimizer, decay and momentum included.
    """
    handles = []
    with torch.no_grad():
        for weight, mask in zip(weights, masks, strict=True):
            weight.mul_(mask)
            if weight.requires_grad:
                handles.append(weight.register_hook(partial(torch.mul, mask)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _kept(sizes: Tensor, share: float) -> Tensor:
    kept = torch.ones_like(sizes, dtype=torch.bool)
    kept[sizes.argsort(stable=True)[: round(share * len(sizes))]] = False
    return kept
