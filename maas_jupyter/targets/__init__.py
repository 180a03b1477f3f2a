"""Where a bundle can be published, and what a published model looks like from a notebook."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maas_jupyter.targets.endpoint import Endpoint, EndpointList, Prediction
    from maas_jupyter.targets.nouns import History, TargetList, TargetStatus

__all__ = ["Endpoint", "EndpointList", "History", "Prediction", "TargetList", "TargetStatus"]

_HOMES = {
    **dict.fromkeys(("Endpoint", "EndpointList", "Prediction"), "maas_jupyter.targets.endpoint"),
    **dict.fromkeys(("History", "TargetList", "TargetStatus"), "maas_jupyter.targets.nouns"),
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'maas_jupyter.targets' has no attribute '{name}'")


class _Verb(ModuleType):
    """Makes ``maas_jupyter.targets()`` the verb, as ``%maas targets`` is: once imported, this package has its name."""

    def __call__(self) -> TargetList:
        listed: TargetList = importlib.import_module("maas_jupyter.api").targets()
        return listed


sys.modules[__name__].__class__ = _Verb
