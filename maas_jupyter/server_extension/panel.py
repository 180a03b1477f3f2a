"""All that the panel is served by: the watcher, the routes, and what watches for alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter.config import MaasConfig
from maas_jupyter.monitoring import RecentRuns, RegisteredModels, SampleStore, Watcher
from maas_jupyter.monitoring.alerts import Alerts
from maas_jupyter.server_extension.guard import Guard
from maas_jupyter.server_extension.handlers import add_handlers
from maas_jupyter.server_extension.sources import Sources, archive

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp


def serve_panel(server_app: ServerApp, config: MaasConfig) -> None:
    """Watch the configured registry, the home's runs, the local target and the connected servers, for the panel."""
    home = config.home_path
    alerts = Alerts(config.alert_rules)
    watcher = Watcher(
        RegisteredModels(config),
        RecentRuns(home),
        Sources(home, config.server_home),
        interval=config.refresh_interval,
        store=SampleStore(home / "monitoring" / "samples.db"),
        archive=archive(config) if config.resolved_prometheus_url else None,
        alerts=alerts,
    )
    add_handlers(server_app.web_app, watcher, home)
    Guard(watcher, alerts, config.refresh_interval).start(server_app.io_loop)
