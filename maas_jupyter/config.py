"""Settings: ``c.MaasConfig.home = ...`` in a Jupyter or IPython configuration file, or the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from traitlets import Float, Int, Unicode
from traitlets.config import SingletonConfigurable


class MaasConfig(SingletonConfigurable):
    """Where things are kept and how often they are looked at."""

    home = Unicode(
        help="Folder for the registry, runs and the local server. Default: the environment's MAAS_HOME, else ~/.maas."
    ).tag(config=True)
    registry_uri = Unicode(
        help="URI of MLflow. Default: the environment's MLFLOW_TRACKING_URI, else sqlite in the home."
    ).tag(config=True)
    target = Unicode("local", help="Where publish puts a model when --to does not say.").tag(config=True)
    registry_timeout = Float(5.0, help="Seconds that a remote registry may take to answer.").tag(config=True)
    prometheus_url = Unicode(
        help="Prometheus server that scrapes the endpoints: the panel takes their past from it. Default: the "
        "environment's MAAS_PROMETHEUS_URL, else none."
    ).tag(config=True)
    prometheus_token_env = Unicode(
        help="Name of the environment variable that holds Prometheus' token, where it wants one."
    ).tag(config=True)
    prometheus_ca_file = Unicode(
        help="PEM file of the authority that signed Prometheus' certificate, where the system does not trust it."
    ).tag(config=True)
    server_workers = Int(1, min=1, help="Worker processes of the local server.").tag(config=True)
    refresh_interval = Float(2.0, help="Seconds between two looks of the panel.").tag(config=True)

    # The environment is read at each use, so that `%env MLFLOW_TRACKING_URI=...` in a notebook takes effect.

    @property
    def home_path(self) -> Path:
        """The home as an absolute path; not created by reading it."""
        return Path(self.home or os.environ.get("MAAS_HOME") or Path.home() / ".maas").expanduser().absolute()

    @property
    def resolved_registry_uri(self) -> str:
        """The MLflow URI in force."""
        chosen = self.registry_uri or os.environ.get("MLFLOW_TRACKING_URI")
        return chosen or f"sqlite:///{(self.home_path / 'mlflow.db').as_posix()}"

    @property
    def resolved_prometheus_url(self) -> str:
        """The address of the Prometheus server in force; empty without one."""
        return self.prometheus_url or os.environ.get("MAAS_PROMETHEUS_URL", "")

    @property
    def server_home(self) -> Path:
        """Folder of the local model server: its record, desired state, bundles and log."""
        return self.home_path / "server"

    @property
    def bundles_path(self) -> Path:
        """Folder of the registered bundles that this machine has, by their digests."""
        return self.home_path / "bundles"

    @property
    def alert_rules(self) -> Path:
        """File of the rules of which the panel alerts."""
        return self.home_path / "monitoring" / "alerts.yml"

    @property
    def artifacts_path(self) -> Path:
        """Folder for the artifacts of the default registry."""
        return self.home_path / "artifacts"


def current(parent: Any = None) -> MaasConfig:
    """Return the settings of this process.

    Parameters
    ----------
    parent : traitlets.config.Configurable, optional
        The application or shell whose configuration files apply; used by the first call only.
    """
    if MaasConfig.initialized() or parent is None:
        return MaasConfig.instance()
    return MaasConfig.instance(parent=parent)
