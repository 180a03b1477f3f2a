"""Watching models, runs and endpoints: scrapes of the model server, their recent past, and snapshots for a face."""

from maas_jupyter.monitoring.details import RegisteredVersions
from maas_jupyter.monitoring.models import RegisteredModels
from maas_jupyter.monitoring.runs import RecentRuns
from maas_jupyter.monitoring.snapshot import Archive, Source, WatchedEndpoint, Watcher
from maas_jupyter.monitoring.store import SampleStore
from maas_jupyter.monitoring.summary import EndpointMetrics, endpoint_metrics

__all__ = [
    "Archive",
    "EndpointMetrics",
    "RecentRuns",
    "RegisteredModels",
    "RegisteredVersions",
    "SampleStore",
    "Source",
    "WatchedEndpoint",
    "Watcher",
    "endpoint_metrics",
]
