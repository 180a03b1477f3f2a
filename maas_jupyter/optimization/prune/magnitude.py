"""Unstructured magnitude pruning: the smallest weights become 0, the layers keep their shapes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import InvalidInput, UsageError, nearest
from maas_jupyter.optimization.finetune import finetune, packaged
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.prune.gradual import Scope, check_share, check_steps, fine_tuning, schedule

_PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention)
_POWERS = {"l1": 1, "l2": 2}


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
        How the size of a weight is measured. Of single weights both give the same order; what is removed in whole
        channels (`StructuredPruning`) differs.
    scope : {'global', 'layer'}
        Whether the smallest weights of the whole model become 0, or those of each layer.
    steps : int
        In how many steps, with fine-tuning after each.
    epochs : int
        Of fine-tuning after each step.
    lr : float, optional
        Learning rate of the fine-tuning: 1e-3, for transformers 2e-4.
    batch_size, seed : int
        Of the fine-tuning; the same seed gives the same weights.

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
        scope: Scope = "global",
        steps: int = 1,
        epochs: int = 3,
        lr: float | None = None,
        batch_size: int = 32,
        seed: int = 0,
    ) -> None:
        check_share(sparsity, "sparsity")
        check_steps(steps)
        if norm not in _POWERS:
            raise UsageError(
                f"There is no norm called '{norm}'.", hint=nearest(norm, _POWERS, what="norms", otherwise="")
            )
        check_scope(scope)
        self.sparsity, self.norm, self.scope, self.steps = sparsity, norm, scope, steps
        self._training = partial(fine_tuning, epochs=epochs, lr=lr, batch_size=batch_size, seed=seed)
        self._training(nn.Identity())

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
        if original.trained is None:
            raise untrained(original)
        module = copy.deepcopy(original.trained.module)
        weights = weights_of(module)
        if not weights:
            raise InvalidInput(
                f"{original.reference} has no linear, convolutional or recurrent layer to prune.",
                hint="Leave it out; quantize may find something.",
            )
        options = self._training(module)
        for step, share in enumerate(schedule(self.sparsity, self.steps), start=1):
            masks = self._masks(weights, share)
            done = f"step {step} of {self.steps}, " if self.steps > 1 else ""
            title = f"{self.name} of {original.reference}: {done}{share:.0%} of the weights are 0"
            original.on_step(title)
            with held_at_zero(weights, masks):
                finetune(original.trained, module, options, title=title)
        return packaged(original, module, folder)

    def _masks(self, weights: list[nn.Parameter], share: float) -> list[Tensor]:
        """Return for each weight whether it stays; what is 0 already is the smallest and stays so."""
        sizes = [weight.detach().abs().pow(_POWERS[self.norm]).flatten() for weight in weights]
        if self.scope == "layer":
            return [_kept(size, share).view_as(weight) for size, weight in zip(sizes, weights, strict=True)]
        parts = _kept(torch.cat(sizes), share).split([weight.numel() for weight in weights])
        return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def check_scope(scope: str) -> None:
    """Check a scope.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if scope not in ("global", "layer"):
        raise UsageError(
            f"There is no scope called '{scope}'.",
            hint=nearest(scope, ["global", "layer"], what="scopes", otherwise=""),
        )


def untrained(original: Original) -> InvalidInput:
    """Return the error for a model of which only the bundle is there."""
    return InvalidInput(
        f"{original.reference} is only there as a bundle; its torch model and its training rows are needed.",
        hint="Pass the run that trained it instead of its name: run = %maas train ...",
    )


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
