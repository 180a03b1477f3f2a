"""Optimizers by name, as objects or from a factory."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from maas_jupyter.errors import InvalidInput, UsageError, nearest

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
    "nadam": torch.optim.NAdam,
    "adamax": torch.optim.Adamax,
}
_FUSED = ("adam", "adamw", "sgd")
_LR = 1e-3


def make_optimizer(optimizer: Any, module: nn.Module, lr: float | None) -> Optimizer:
    """Return the optimizer that is meant, of the module's parameters that can be trained.

    Parameters
    ----------
    optimizer : str, torch.optim.Optimizer or callable
        A factory is called with the parameters; with ``lr=`` too where one is given.
    lr : float or None
        1e-3 for a name where it is None.

    Raises
    ------
    UsageError
        If the name is not known, or the object is not an optimizer of these parameters.
    InvalidInput
        If the module has no parameter to train.
    """
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise InvalidInput(
            "The model has no parameter that can be trained.", hint="Check requires_grad and its layers."
        )
    if isinstance(optimizer, str):
        return _by_name(optimizer, parameters, _LR if lr is None else lr)
    if not isinstance(optimizer, Optimizer):
        if not callable(optimizer):
            raise UsageError(
                f"The optimizer is a {type(optimizer).__name__}.",
                hint="Pass a name, an optimizer, or a function that makes one from the parameters.",
            )
        rate = {} if lr is None or "lr" not in inspect.signature(optimizer).parameters else {"lr": lr}
        optimizer = optimizer(parameters, **rate)
        if not isinstance(optimizer, Optimizer):
            raise UsageError(
                f"The optimizer's function returned a {type(optimizer).__name__}.",
                hint="It should return a torch.optim.Optimizer, as functools.partial(torch.optim.SGD, lr=0.1) does.",
            )
    elif lr is not None and any(group["lr"] != lr for group in optimizer.param_groups):
        raise UsageError(
            "The optimizer is an object with a learning rate of its own.", hint="Leave --lr out, or make it with it."
        )
    _check(optimizer, module.parameters())
    return optimizer


def _by_name(name: str, parameters: list[nn.Parameter], lr: float) -> Optimizer:
    known = name.lower()
    if known not in OPTIMIZERS:
        raise UsageError(
            f"There is no optimizer called '{name}'.", hint=nearest(name, OPTIMIZERS, what="optimizers", otherwise="")
        )
    # One fused kernel for all parameters: the step of a small model is mostly overhead otherwise.
    fused = known in _FUSED and all(p.is_floating_point() and p.device.type != "meta" for p in parameters)
    return OPTIMIZERS[known](parameters, lr=lr, **({"fused": True} if fused else {}))


def _check(optimizer: Optimizer, parameters: Iterable[nn.Parameter]) -> None:
    if isinstance(optimizer, torch.optim.LBFGS):
        raise UsageError(
            "LBFGS evaluates the loss several times a step, which this training does not do.",
            hint="Use adam, adamw or sgd.",
        )
    mine = {id(parameter) for parameter in parameters}
    if not all(id(parameter) in mine for group in optimizer.param_groups for parameter in group["params"]):
        raise UsageError(
            "The optimizer holds parameters that are not the model's.",
            hint="Make it anew from this model: torch.optim.Adam(model.parameters()).",
        )
