"""Where a bundle can be published, and what a published model looks like from a notebook."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from maas_jupyter import plugins

if TYPE_CHECKING:
    from maas_jupyter.targets.base import Target
    from maas_jupyter.targets.endpoint import Endpoint, EndpointList, Prediction

__all__ = ["Endpoint", "EndpointList", "Prediction", "get"]

_LAZY = ("Endpoint", "EndpointList", "Prediction")


def get(name: str) -> Target:
    """Return the target with this name.

    Raises
    ------
    NotFound
        If there is none.
    """
    target: Target = plugins.load("target", name)()
    return target


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module("maas_jupyter.targets.endpoint"), name)
    raise AttributeError(f"module 'maas_jupyter.targets' has no attribute '{name}'")
