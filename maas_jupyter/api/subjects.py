"""What a verb is about: from what the user gave to a module, a registered version, an endpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from maas_jupyter import config, plugins
from maas_jupyter.errors import NotFound, UsageError, nearest

if TYPE_CHECKING:
    from torch import nn

    from maas_jupyter.registry import ModelVersion, Registry
    from maas_jupyter.targets import Endpoint
    from maas_jupyter.targets.base import Target
    from maas_jupyter.targets.connections import Connections


def open_registry() -> Registry:
    """Return the registry that the settings name."""
    from maas_jupyter.registry import Registry

    return Registry(config.current())


T = TypeVar("T")

#: Targets keep their connections, and a local one knows whether it started its server; so each is made once.
_targets: dict[Any, Target] = {}


def open_target(name: str | None) -> Target:
    """Return a target by name, the default one for None.

    Raises
    ------
    NotFound
        If there is no such target; the hint says how to connect one.
    """
    settings = config.current()
    chosen = name or settings.target
    connection = connections().read().get(chosen)
    if connection is not None:
        from maas_jupyter.targets.remote import RemoteTarget

        return _targets.setdefault(connection, RemoteTarget(connection))
    if chosen not in plugins.available("target"):
        near = nearest(chosen, target_names(), what="targets", otherwise="")
        raise NotFound(
            f"There is no target called '{chosen}'.",
            hint=f"{near} Connect another: %maas connect {chosen} https://HOST:PORT --token-env VAR",
        )
    key = (chosen, settings.server_home)
    if key not in _targets:
        _targets[key] = plugins.load("target", chosen)(settings.server_home)
    return _targets[key]


def target_names() -> list[str]:
    """Return the names of all targets, those of this machine first."""
    return [*plugins.available("target"), *connections().read()]


def ask_all(question: Callable[[Target], T]) -> list[T]:
    """Ask all targets side by side, and return their answers in the order of the targets."""
    names = target_names()
    with ThreadPoolExecutor(len(names), thread_name_prefix="maas-targets") as pool:
        return list(pool.map(lambda name: question(open_target(name)), names))


def connections() -> Connections:
    """Return the remote servers that are connected."""
    from maas_jupyter.targets.connections import Connections

    return Connections(config.current().home_path)


def to_endpoint(endpoint: Any, on: str | None) -> Endpoint:
    """Return the endpoint of a name, a reference, or anything that has the name of a model."""
    if is_endpoint(endpoint):
        found: Endpoint = endpoint
        return found
    return open_target(on).endpoint(to_name(endpoint))


def to_target(endpoint: Any, on: str | None) -> Target:
    """Return the target that a verb means: the one that is named, else the one where the endpoint is published."""
    return open_target(on or (endpoint.target if is_endpoint(endpoint) else None))


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
