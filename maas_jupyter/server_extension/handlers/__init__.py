"""The routes under ``{base_url}maas-jupyter/``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from jupyter_server.utils import url_path_join

from maas_jupyter.server_extension.handlers import actions, alerts, attached, runs, versions, watching

if TYPE_CHECKING:
    import tornado.web

    from maas_jupyter.monitoring import Watcher


def add_handlers(web_app: tornado.web.Application, watcher: Watcher, home: Path) -> None:
    """Add the routes to a Jupyter server's application."""
    # Routes are regular expressions; a user name in the base_url may hold characters that mean something there.
    base = re.escape(url_path_join(web_app.settings["base_url"], "maas-jupyter"))
    routes = [
        *watching.routes(watcher),
        *runs.routes(home),
        *attached.routes(home),
        *actions.routes(),
        *versions.routes(),
        *alerts.routes(watcher),
    ]
    web_app.add_handlers(".*$", [(f"{base}{pattern}", handler, given) for pattern, handler, given in routes])
