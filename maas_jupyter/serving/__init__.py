"""The model server: one program, local or remote, that serves bundles and imports no training framework.

``create_app`` is the server's ASGI application, ``ServingClient`` speaks to it; each is imported on first use, so that
a client never loads the server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from maas_jupyter.serving.app import create_app
    from maas_jupyter.serving.client import ServingClient

__all__ = ["ServingClient", "create_app"]

_HOMES = {"create_app": "maas_jupyter.serving.app", "ServingClient": "maas_jupyter.serving.client"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'maas_jupyter.serving' has no attribute '{name}'")
