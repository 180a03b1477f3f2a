"""Model as a service, from a notebook. ``%load_ext maas_jupyter``, then ``%maas --help``.

Importing this package imports nothing heavy: the verbs and nouns are loaded when they are first used.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from maas_jupyter._version import __version__

# onnxruntime reports on the models that it loads to its maker; whoever wants that says 0 before.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

_VERBS = (
    "alias",
    "attach",
    "card",
    "compare",
    "connect",
    "delete",
    "disconnect",
    "endpoints",
    "evaluate",
    "explain",
    "export",
    "history",
    "interrupt",
    "load",
    "logs",
    "metrics",
    "models",
    "pick",
    "play",
    "predict",
    "promote",
    "publish",
    "quantize",
    "prune",
    "distil",
    "optimize",
    "register",
    "rollback",
    "runs",
    "serve",
    "start",
    "stop",
    "targets",
    "train",
    "tune",
    "unload",
    "unpublish",
    "unwatch",
    "watch",
)
_NOUNS = {
    "Comparison": "maas_jupyter.optimization",
    "Endpoint": "maas_jupyter.targets",
    "Evaluation": "maas_jupyter.evaluation",
    "Explanation": "maas_jupyter.explanation",
    "Exported": "maas_jupyter.packaging",
    "MaasError": "maas_jupyter.errors",
    "ModelVersion": "maas_jupyter.registry",
    "PairedComparison": "maas_jupyter.evaluation",
    "PublishForm": "maas_jupyter.widgets.publish_form",
    "Run": "maas_jupyter.training",
    "Tuning": "maas_jupyter.tuning",
}

__all__ = ["__version__", *_VERBS, *_NOUNS]


def __getattr__(name: str) -> Any:
    import importlib

    if name in _VERBS:
        return getattr(importlib.import_module("maas_jupyter.api"), name)
    if name in _NOUNS:
        return getattr(importlib.import_module(_NOUNS[name]), name)
    raise AttributeError(f"module 'maas_jupyter' has no attribute '{name}'")


class _Package(ModuleType):
    """Keeps the verbs their names: a subpackage of the same name, once imported, would take its place here."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _VERBS or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


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
