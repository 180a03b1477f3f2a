"""The Jupyter server extension that the panel asks. It imports no model library, and MLflow only to look at models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter.config import current
from maas_jupyter.server_extension.first_use import OnFirstUse, base_pattern

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def _load_jupyter_server_extension(server_app: ServerApp) -> None:
    config = current(parent=server_app)

    def load() -> None:
        # Many a Jupyter server is started and never shows the panel.
        from maas_jupyter.server_extension.panel import serve_panel

        serve_panel(server_app, config)

    first_use = OnFirstUse(server_app.web_app, base_pattern(server_app.base_url) + "/.*", load)
    if config.alert_rules.exists():
        # Endpoints are watched for the sake of alerts while nobody looks.
        server_app.io_loop.add_callback(first_use.load)
