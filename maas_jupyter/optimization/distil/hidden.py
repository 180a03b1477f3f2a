"""Hidden states of transformers, taken on the way through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from maas_jupyter.optimization.distil.student import encoder_layers, layer_map


class LayerStates:
    """What chosen layers of a model gave in its last forward pass.

    Parameters
    ----------
    layers : list of torch.nn.Module

    Attributes
    ----------
    taken : list of Tensor
        FP32 ``(rows, tokens, width)`` for each of them.
    """

    def __init__(self, layers: list[nn.Module]) -> None:
        self.layers = layers
        self.taken: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[LayerStates]:
        """Take them until the end of the context."""
        found: dict[int, Tensor] = {}

        def take(index: int) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                found[index] = output if isinstance(output, Tensor) else output[0]
                if index == len(self.layers) - 1:
                    self.taken = [found[each] for each in range(len(self.layers))]

            return hook

        handles = [layer.register_forward_hook(take(index)) for index, layer in enumerate(self.layers)]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self.taken = []


def matched_layers(student: nn.Module, teacher: nn.Module) -> tuple[list[nn.Module], list[nn.Module], list[int]] | None:
    """Return the student's layers, the teacher's that they stand for, and their indices; None where there are none."""
    theirs, ours = encoder_layers(teacher), encoder_layers(student)
    if theirs is None or ours is None or len(ours) > len(theirs):
        return None
    indices = layer_map(len(ours), len(theirs))
    return list(ours), [theirs[index] for index in indices], indices


def projections(student: list[Tensor], teacher: list[Tensor], *, seed: int) -> nn.ModuleList:
    """Return what makes the student's states as wide as the teacher's: nothing where they are, else a linear layer.

    They are trained with the student and left behind (Romero et al., FitNets, 2015).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleList(
            nn.Identity()
            if mine.shape[-1] == theirs.shape[-1]
            else nn.Linear(mine.shape[-1], theirs.shape[-1], bias=False, device=mine.device)
            for mine, theirs in zip(student, teacher, strict=True)
        )
