"""The routes under ``{base_url}maas-jupyter/``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter.server_extension.first_use import base_pattern
from maas_jupyter.server_extension.handlers import actions, alerts, attached, runs, versions, watching

if TYPE_CHECKING:
    import tornado.web

    from maas_jupyter.monitoring import Watcher


def add_handlers(web_app: tornado.web.Application, watcher: Watcher, home: Path) -> None:
    """Add the routes to a Jupyter server's application."""
    base = base_pattern(web_app.settings["base_url"])
    routes = [
        *watching.routes(watcher),
        *runs.routes(home),
        *attached.routes(home),
        *actions.routes(),
        *versions.routes(),
        *alerts.routes(watcher),
    ]
    web_app.add_handlers(".*$", [(f"{base}{pattern}", handler, given) for pattern, handler, given in routes])
