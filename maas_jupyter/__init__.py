"""Model as a service, from a notebook. ``%load_ext maas_jupyter``, then ``%maas --help``.

Importing this package imports nothing heavy: the verbs and nouns are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maas_jupyter._version import __version__

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_VERBS = (
    "alias",
    "connect",
    "disconnect",
    "endpoints",
    "evaluate",
    "history",
    "logs",
    "metrics",
    "models",
    "predict",
    "promote",
    "publish",
    "quantize",
    "register",
    "rollback",
    "runs",
    "serve",
    "stop",
    "targets",
    "train",
    "unpublish",
)
_NOUNS = {
    "Comparison": "maas_jupyter.optimization",
    "Endpoint": "maas_jupyter.targets",
    "Evaluation": "maas_jupyter.evaluation",
    "MaasError": "maas_jupyter.errors",
    "ModelVersion": "maas_jupyter.registry",
    "Run": "maas_jupyter.training",
}

__all__ = ["__version__", *_VERBS, *_NOUNS]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _VERBS:
        return getattr(importlib.import_module("maas_jupyter.api"), name)
    if name in _NOUNS:
        return getattr(importlib.import_module(_NOUNS[name]), name)
    raise AttributeError(f"module 'maas_jupyter' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Register ``%maas`` and ``%%maas`` and their completion."""
    from maas_jupyter.magics import register

    register(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics and their completion away again."""
    from maas_jupyter.magics import unregister

    unregister(shell)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "maas_jupyter.server_extension"}]
