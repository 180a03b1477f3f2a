"""What both ways of pruning share: how much is gone after each step, and how the rest is trained in between."""

from __future__ import annotations

from math import isfinite
from typing import Literal

from torch import nn

from maas_jupyter.errors import UsageError
from maas_jupyter.pretrained import is_pretrained, unwrapped
from maas_jupyter.training import TrainingOptions

Scope = Literal["global", "layer"]

#: What Adam starts with; trained transformers lose what they know at the larger rate.
_RATE, _TRANSFORMER_RATE = 1e-3, 2e-4


def schedule(target: float, steps: int) -> list[float]:
    """Return the share that is gone after each step: much at first, little at the end.

    ``target * (1 - (1 - t / steps) ** 3)``, after Zhu and Gupta, To prune, or not to prune (2017).
    """
    return [target * (1 - (1 - step / steps) ** 3) for step in range(1, steps)] + [target]


def fine_tuning(module: nn.Module, *, epochs: int, lr: float | None, batch_size: int, seed: int) -> TrainingOptions:
    """Return how a pruned module is trained.

    Raises
    ------
    UsageError
        If a value is out of range.
    """
    rate = _TRANSFORMER_RATE if is_pretrained(unwrapped(module)) else _RATE
    return TrainingOptions(
        epochs=epochs, lr=rate if lr is None else lr, batch_size=batch_size, seed=seed, schedule="linear"
    )


def check_share(value: float, name: str) -> None:
    """Check that a share lies between 0 and 1.

    Raises
    ------
    UsageError
        If it does not, or is one of the two.
    """
    if not (isfinite(value) and 0 < value < 1):
        raise UsageError(f"--{name} is {value}, no share between 0 and 1.", hint=f"For half of it write --{name} 0.5.")


def check_steps(steps: int) -> None:
    """Check how often is pruned.

    Raises
    ------
    UsageError
        If it is less than once.
    """
    if steps < 1:
        raise UsageError(f"--steps is {steps}, but at least 1 is needed.", hint="Leave it out, or 1.")
