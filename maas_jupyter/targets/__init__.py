"""Where a bundle can be published, and what a published model looks like from a notebook."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maas_jupyter.targets.endpoint import Endpoint, EndpointList, Prediction

__all__ = ["Endpoint", "EndpointList", "Prediction"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("maas_jupyter.targets.endpoint"), name)
    raise AttributeError(f"module 'maas_jupyter.targets' has no attribute '{name}'")
