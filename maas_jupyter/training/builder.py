"""Modules made by a function of the user's, from hyper-parameters and from what the data says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from maas_jupyter.data import Prepared
from maas_jupyter.errors import InvalidInput, MaasError, UsageError, nearest

#: Arguments of a builder that the data answers.
_FEATURES = ("features", "in_features", "n_features", "num_features", "input_size")
_OUTPUTS = ("classes", "out_features", "n_classes", "num_classes", "num_labels", "outputs")


def is_builder(model: Any) -> bool:
    """Say whether a value makes modules: a function, or a class of modules."""
    return not isinstance(model, nn.Module) and (
        inspect.isfunction(model)
        or inspect.ismethod(model)
        or (inspect.isclass(model) and issubclass(model, nn.Module))
    )


def hyper_parameters(model: Any) -> list[str] | None:
    """Return the names that a builder takes; None where it takes any, and nothing for a module."""
    if not is_builder(model):
        return []
    parameters = inspect.signature(model).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_POSITIONAL]


def required_parameters(model: Any) -> list[str]:
    """Return the names of a builder's arguments that have no default; nothing for a module."""
    if not is_builder(model):
        return []
    return [
        parameter.name
        for parameter in inspect.signature(model).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


def check_params(model: nn.Module, params: Mapping[str, Any]) -> None:
    """Check that no hyper-parameters are given for a module that is made already.

    Raises
    ------
    UsageError
        If there are some.
    """
    if params:
        raise UsageError(
            f"{type(model).__name__} is a module already; it takes no '{next(iter(params))}'.",
            hint="Pass a function that makes the module: def net(hidden=64): return nn.Sequential(...)",
        )


def build(model: Any, prepared: Prepared, params: Mapping[str, Any]) -> nn.Module:
    """Make a module.

    Parameters
    ----------
    model : callable
        A function or a class of modules.
    prepared : Prepared
        Answers arguments called ``features`` (``in_features``, ``input_size``, ...) with the width of a row, and
        ``classes`` (``out_features``, ``num_classes``, ...) with the number of classes, 1 for a regression.
    params : mapping
        Hyper-parameters by name.

    Raises
    ------
    UsageError
        If the builder takes no argument of a name, or one is missing; the hint offers the nearest.
    InvalidInput
        If it fails, or makes something else than a module.
    """
    known = hyper_parameters(model)
    name = getattr(model, "__name__", type(model).__name__)
    for given in params:
        if known is not None and given not in known:
            raise UsageError(
                f"{name} takes no '{given}'.",
                hint=nearest(given, known, what="hyper-parameters", otherwise="It takes none."),
            )
    values = {**_answers(model, prepared, params), **params}
    missing = [parameter for parameter in required_parameters(model) if parameter not in values]
    if missing:
        raise UsageError(
            f"{name} needs a value for '{missing[0]}'.",
            hint=f"Give it a default, or pass it: --params {missing[0]}=...",
        )
    try:
        module = model(**values)
    except MaasError:
        raise
    except Exception as error:
        # A function of the user's raises what it likes.
        shown = ", ".join(f"{key}={value}" for key, value in values.items())
        raise InvalidInput(
            f"{name}({shown}) failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            hint="Call it in a cell to see where.",
        ) from error
    if not isinstance(module, nn.Module):
        raise InvalidInput(f"{name} made a {type(module).__name__}.", hint="Let it return a torch.nn.Module.")
    return module


def _answers(model: Any, prepared: Prepared, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the data says about the builder's arguments; a default of the user's gives way to it."""
    found: dict[str, Any] = {}
    if inspect.isclass(model) and model.__module__.startswith("torch."):
        names: list[str] = []
    else:
        names = [name for name in hyper_parameters(model) or [] if name not in params]
    for name in names:
        if name in _FEATURES and prepared.features is not None:
            found[name] = prepared.features
        elif name in _OUTPUTS:
            width = 1 if prepared.task == "regression" else prepared.classes
            if width is not None:
                found[name] = width
    return found
