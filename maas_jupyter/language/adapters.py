"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) by peft."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from maas_jupyter.errors import InvalidInput, MissingDependency, UsageError


@dataclass(frozen=True)
class LoraOptions:
    """Rank, scale (``alpha / r``) and dropout of adapters on all linear layers but the head."""

    r: int = 8
    alpha: int = 16
    dropout: float = 0.0

    @classmethod
    def parse(cls, text: str) -> LoraOptions:
        """Read ``r=8,alpha=16,dropout=0.1``; parts that are left out keep their defaults, ``on`` keeps all.

        Raises
        ------
        UsageError
            If a part is unknown or not a number.
        """
        given: dict[str, Any] = {}
        for part in filter(None, re.split(r"[,\s]+", "" if text.lower() in ("on", "true") else text)):
            name, _, value = part.partition("=")
            kinds = {"r": int, "alpha": int, "dropout": float}
            try:
                given[name] = kinds[name](value)
            except (KeyError, ValueError) as error:
                raise UsageError(
                    f"'{part}' is no option of LoRA.", hint="Write --lora r=8,alpha=16,dropout=0.05"
                ) from error
        options = cls(**given)
        if options.r < 1 or options.alpha < 1 or not 0 <= options.dropout < 1:
            raise UsageError(
                f"LoRA with r={options.r}, alpha={options.alpha}, dropout={options.dropout:g} cannot be.",
                hint="r and alpha are at least 1, dropout is below 1.",
            )
        return options


def add_lora(model: nn.Module, options: LoraOptions) -> nn.Module:
    """Freeze a transformers model and give its linear layers adapters; they are the only thing that is trained then.

    Raises
    ------
    MissingDependency
        If peft is not installed.
    InvalidInput
        If the model has no layer that takes an adapter.
    """
    try:
        import peft
    except ModuleNotFoundError as error:
        raise MissingDependency("LoRA needs the package 'peft'.", hint="pip install 'maas-jupyter[llm]'") from error
    config = peft.LoraConfig(
        r=options.r,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    try:
        adapted: nn.Module = peft.get_peft_model(model, config)
    except ValueError as error:
        raise InvalidInput(
            f"The model takes no adapters: {str(error).splitlines()[0]}", hint="Train it whole: leave --lora out."
        ) from error
    return adapted


def has_stray_adapters(model: nn.Module) -> bool:
    """Say whether `add_lora` was called on a model, and this is not what it returned but what went into it."""
    return hasattr(model, "peft_config") and not hasattr(model, "merge_and_unload")


def merged(model: nn.Module) -> nn.Module:
    """Return a plain transformers model with the adapters added to its weights; other models as they are."""
    merge = getattr(model, "merge_and_unload", None)
    whole: nn.Module = merge() if merge is not None else model
    return whole
