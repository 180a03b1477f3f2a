"""What a verb is about: from what the user gave to a module, a registered version, an endpoint."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from maas_jupyter import config, plugins
from maas_jupyter.errors import InvalidInput, NotFound, UsageError, nearest
from maas_jupyter.schema import MANIFEST_NAME

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


def open_complete_registry() -> Registry:
    """Return the registry, told first what runs of this machine could not tell it while it was away."""
    from maas_jupyter.registry import send_unsent

    registry = open_registry()
    send_unsent(config.current().home_path, registry)
    return registry


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
    with published(endpoint, on) as (target, name):
        return target.endpoint(name)


def to_target(endpoint: Any, on: str | None) -> Target:
    """Return the target that a verb means: the one that is named, else the one where the endpoint is published."""
    return open_target(on or (endpoint.target if is_endpoint(endpoint) else None))


@contextmanager
def published(endpoint: Any, on: str | None) -> Iterator[tuple[Target, str]]:
    """Give the target that a verb means and the model's name; where that is not there, say where else it is.

    Raises
    ------
    NotFound
        If the model is not published there; the hint names the targets that have it.
    """
    target, name = to_target(endpoint, on), to_name(endpoint)
    try:
        yield target, name
    except NotFound as error:
        having = [
            each.target for found in ask_all(lambda other: other.endpoints()) for each in found if each.name == name
        ]
        if not having or target.name in having:
            raise
        options = " or ".join(f"--on {each}" for each in having)
        hint = f"It is published on {' and '.join(having)}: add {options}"
        raise NotFound(error.message, hint=hint) from error


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


def is_builder(value: Any) -> bool:
    """Say whether a value is a function or a class that may make modules."""
    return (
        callable(value)
        and not is_module(value)
        and (inspect.isfunction(value) or inspect.ismethod(value) or inspect.isclass(value))
    )


def is_run(value: Any) -> bool:
    """Say whether a value is a run, without importing torch."""
    training = sys.modules.get("maas_jupyter.training")
    return training is not None and isinstance(value, training.Run)


def has_run(value: Any) -> bool:
    """Say whether a value is a run, or the registry's record of one."""
    return type(value).__name__ in ("Run", "RunRecord") and hasattr(value, "run_id")


def is_packaged(value: Any) -> bool:
    """Say whether a value is a bundle, or what packaging returns."""
    return type(value).__module__.startswith("maas_jupyter.") and type(value).__name__ in ("Bundle", "Packaged")


def is_registrable(value: Any) -> bool:
    """Say whether a value can be registered: a module, a run or a bundle."""
    return is_module(value) or is_run(value) or is_packaged(value)


def holds_bundle(folder: Any) -> bool:
    """Say whether a path is that of a folder with a bundle."""
    with suppress(OSError, ValueError):  # what cannot be a path
        return isinstance(folder, str | Path) and (Path(folder).expanduser() / MANIFEST_NAME).is_file()
    return False


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
        try:
            return registry.resolve(model)
        except (InvalidInput, NotFound) as error:
            if holds_bundle(model):
                raise _unregistered(f"The bundle in the folder {model}", model) from error
            raise
    if isinstance(model, ModelVersion):
        return model
    version = getattr(model, "version", None)
    if isinstance(version, ModelVersion):
        return version
    if is_run(model) and model.language is not None:
        raise UsageError(
            f"'{model.name}' is a language model, and those cannot be registered: no runtime serves them yet.",
            hint="run.save(FOLDER) keeps it as transformers loads it.",
        )
    if is_run(model):
        raise _unregistered(f"The run '{model.name}'", model.run_id[:8])
    if type(model).__name__ == "Comparison":
        raise UsageError("Nothing of this comparison was registered.", hint=f"Name its original: {model.subject}")
    if isinstance(model, Path):
        raise _unregistered(f"The bundle in the folder {model}" if holds_bundle(model) else f"'{model}'", model)
    raise _unregistered(f"This {type(model).__name__}", "VARIABLE", "" if is_packaged(model) else " --data ROWS")


def _unregistered(what: str, model: object, options: str = "") -> UsageError:
    return UsageError(
        f"{what} is not registered.", hint=f"Register it first: %maas register {model} --name MODEL{options}"
    )
