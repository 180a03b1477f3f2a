"""What a verb is about: from what the user gave to a module, a registered version, an endpoint."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from maas_jupyter import config, plugins
from maas_jupyter.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from maas_jupyter.registry import ModelVersion, Registry
    from maas_jupyter.targets import Endpoint
    from maas_jupyter.targets.base import Target


def open_registry() -> Registry:
    """Return the registry that the settings name."""
    from maas_jupyter.registry import Registry

    return Registry(config.current())


def open_target(name: str | None) -> Target:
    """Return a target by name, the default one for None."""
    chosen = name or config.current().target
    target: Target = plugins.load("target", chosen)(config.current().server_home)
    return target


def to_endpoint(endpoint: Any) -> Endpoint:
    """Return the endpoint of a name, a reference, or anything that has the name of a model."""
    if is_endpoint(endpoint):
        found: Endpoint = endpoint
        return found
    return open_target(None).endpoint(to_name(endpoint))


def to_name(model: Any) -> str:
    """Return the name of the model that a reference, or anything with a name, is about."""
    from maas_jupyter.registry import ModelReference

    return ModelReference.parse(model).name if isinstance(model, str) else str(model.name)


def is_versioned(value: Any) -> bool:
    """Say whether a value is a registered version, or a result that may have become one."""
    return hasattr(value, "version") and type(value).__name__ in ("ModelVersion", "Run", "Comparison")


def is_endpoint(value: Any) -> bool:
    """Say whether a value is an endpoint."""
    return type(value).__module__.startswith("maas_jupyter.targets.") and hasattr(value, "predict")


def is_module(value: Any) -> bool:
    """Say whether a value is a torch module, without importing torch."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def is_run(value: Any) -> bool:
    """Say whether a value is a run, without importing torch."""
    training = sys.modules.get("maas_jupyter.training")
    return training is not None and isinstance(value, training.Run)


def to_module(model: Any) -> nn.Module:
    """Return the module that a verb was given, a run's included."""
    if is_run(model):
        model = model.model
    if not is_module(model):
        shown = f"'{model}'" if isinstance(model, str) else f"a {type(model).__name__}"
        raise UsageError(
            f"{shown} is not a torch module.",
            hint="Name the variable that holds it: %maas train net --data train",
        )
    module: nn.Module = model
    return module


def to_version(model: Any, registry: Registry) -> ModelVersion:
    """Resolve what a verb was given to a registered version."""
    from maas_jupyter.registry import ModelVersion

    if isinstance(model, str):
        return registry.resolve(model)
    if isinstance(model, ModelVersion):
        return model
    version = getattr(model, "version", None)
    if isinstance(version, ModelVersion):
        return version
    raise UsageError(
        f"This {type(model).__name__} is not registered.",
        hint="Register it: %maas register VARIABLE --name MODEL --data ROWS",
    )
