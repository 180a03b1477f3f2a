"""Endpoints that this product did not start: recognised by what they answer, and watched like our own."""

from maas_jupyter.monitoring.foreign.attached import AttachedServer, AttachedServers
from maas_jupyter.monitoring.foreign.recognition import attach
from maas_jupyter.monitoring.foreign.source import ForeignSource

__all__ = ["AttachedServer", "AttachedServers", "ForeignSource", "attach"]
