"""Where a bundle can be published, and what a published model looks like from a notebook."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maas_jupyter.targets.endpoint import Endpoint, EndpointList, Prediction
    from maas_jupyter.targets.nouns import History, Notice, TargetList, TargetStatus

__all__ = ["Endpoint", "EndpointList", "History", "Notice", "Prediction", "TargetList", "TargetStatus"]

_HOMES = {
    **dict.fromkeys(("Endpoint", "EndpointList", "Prediction"), "maas_jupyter.targets.endpoint"),
    **dict.fromkeys(("History", "Notice", "TargetList", "TargetStatus"), "maas_jupyter.targets.nouns"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'maas_jupyter.targets' has no attribute '{name}'")
