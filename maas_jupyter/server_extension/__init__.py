"""The Jupyter server extension that the panel asks. It imports no model library, and MLflow only to look at models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter.config import MaasConfig, current
from maas_jupyter.monitoring import RecentRuns, RegisteredModels, SampleStore, Watcher
from maas_jupyter.monitoring.alerts import Alerts
from maas_jupyter.server_extension.guard import Guard
from maas_jupyter.server_extension.handlers import add_handlers
from maas_jupyter.server_extension.sources import Sources, archive

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def watcher(config: MaasConfig) -> Watcher:
    """Return a watcher of the configured registry, the home's runs, the local target and the connected servers."""
    home = config.home_path
    sources = Sources(home, config.server_home)
    store = SampleStore(home / "monitoring" / "samples.db")
    return Watcher(
        RegisteredModels(config),
        RecentRuns(home),
        sources,
        interval=config.refresh_interval,
        store=store,
        archive=archive(config) if config.resolved_prometheus_url else None,
        alerts=Alerts(home / "monitoring"),
    )


def _load_jupyter_server_extension(server_app: ServerApp) -> None:
    config = current(parent=server_app)
    watched = watcher(config)
    add_handlers(server_app.web_app, watched, config.home_path)
    if watched.alerts is not None:
        Guard(watched, watched.alerts, config.refresh_interval).start(server_app.io_loop)
