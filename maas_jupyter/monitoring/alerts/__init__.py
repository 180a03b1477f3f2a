"""Alerts: rules for endpoints, what they say of what the watcher sees, and what they said before."""

from maas_jupyter.monitoring.alerts.alerting import Alerts
from maas_jupyter.monitoring.alerts.rules import Rule

__all__ = ["Alerts", "Rule"]
