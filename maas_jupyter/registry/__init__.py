"""The model registry and run tracking: MLflow behind our nouns."""

from maas_jupyter.registry.card import Card
from maas_jupyter.registry.details import VersionDetails
from maas_jupyter.registry.nouns import (
    ModelList,
    ModelVersion,
    NestedRun,
    RegisteredModel,
    RunList,
    RunRecord,
    VersionVerdict,
    require_verdict,
)
from maas_jupyter.registry.outbox import send_unsent
from maas_jupyter.registry.reference import ModelReference
from maas_jupyter.registry.registry import Registry
from maas_jupyter.registry.tracking import Tracker

__all__ = [
    "Card",
    "ModelList",
    "ModelReference",
    "ModelVersion",
    "NestedRun",
    "RegisteredModel",
    "Registry",
    "RunList",
    "RunRecord",
    "Tracker",
    "VersionDetails",
    "VersionVerdict",
    "require_verdict",
    "send_unsent",
]
