"""What both ways of pruning share: how much is gone after each step, and how the rest is trained in between."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Literal, get_args

from torch import nn

from maas_jupyter.errors import UsageError, nearest
from maas_jupyter.pretrained import is_pretrained, unwrapped
from maas_jupyter.training import TrainingOptions

Scope = Literal["global", "layer"]

#: What Adam starts with; trained transformers lose what they know at the larger rate.
_RATE, _TRANSFORMER_RATE = 1e-3, 2e-4


@dataclass(frozen=True, kw_only=True)
class Gradual:
    """How a module is pruned: from where, in how many steps, and how the rest is trained after each.

    Attributes
    ----------
    scope : {'global', 'layer'}
        Whether the least important of the whole module go, or the same share of each layer.
    steps : int
        In how many steps, with fine-tuning after each.
    epochs : int
        Of fine-tuning after each step.
    lr : float or None
        Learning rate of the fine-tuning: 1e-3, for transformers 2e-4.
    batch_size, seed : int
        Of the fine-tuning; the same seed gives the same weights.

    Raises
    ------
    UsageError
        If a value is out of range.
    """

    scope: Scope
    epochs: int
    steps: int = 1
    lr: float | None = None
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scope not in get_args(Scope):
            raise UsageError(
                f"There is no scope called '{self.scope}'.",
                hint=nearest(self.scope, get_args(Scope), what="scopes", otherwise=""),
            )
        if self.steps < 1:
            raise UsageError(f"--steps is {self.steps}, but at least 1 is needed.", hint="Leave it out, or 1.")
        self.training(nn.Identity())

    def training(self, module: nn.Module) -> TrainingOptions:
        """Return how a pruned module is trained."""
        rate = _TRANSFORMER_RATE if is_pretrained(unwrapped(module)) else _RATE
        return TrainingOptions(
            epochs=self.epochs,
            lr=rate if self.lr is None else self.lr,
            batch_size=self.batch_size,
            seed=self.seed,
            schedule="linear",
        )

    def shares(self, target: float) -> list[tuple[float, str]]:
        """Return the share that is gone after each step, and how the step is called, where there are several.

        Much goes at first, little at the end: ``target * (1 - (1 - t / steps) ** 3)``, after Zhu and Gupta, To prune,
        or not to prune (2017).
        """
        shares = [target * (1 - (1 - step / self.steps) ** 3) for step in range(1, self.steps)] + [target]
        if self.steps == 1:
            return [(target, "")]
        return [(share, f"step {step} of {self.steps}, ") for step, share in enumerate(shares, start=1)]


def check_share(value: float, name: str) -> None:
    """Check that a share lies between 0 and 1.

    Raises
    ------
    UsageError
        If it does not, or is one of the two.
    """
    if not (isfinite(value) and 0 < value < 1):
        raise UsageError(f"--{name} is {value}, no share between 0 and 1.", hint=f"For half of it write --{name} 0.5.")
