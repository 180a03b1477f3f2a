"""From MLflow's entities to our nouns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from maas_jupyter.registry.nouns import ModelVersion, RunRecord, verdict_of
from maas_jupyter.schema import decoder

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel as MlflowModel

#: What every version of ours has.
_TAGS = {"maas.digest", "maas.task", "maas.precision", "maas.size", "maas.metrics"}
_DIGEST = re.compile(r"[0-9a-f]{64}")

#: MLflow's word for a run that was stopped by hand.
_STATUS = {"KILLED": "interrupted"}


def aliases_by_version(model: MlflowModel) -> dict[str, list[str]]:
    """Return the aliases of a model's versions, in the alphabet's order, by version."""
    found: dict[str, list[str]] = {}
    for alias, version in model.aliases.items():
        found.setdefault(str(version), []).append(alias)
    return {version: sorted(aliases) for version, aliases in found.items()}


def is_ours(version: MlflowVersion) -> bool:
    """Say whether a version was registered from here. Its digest names folders: nothing else may stand there."""
    return version.tags.keys() >= _TAGS and _DIGEST.fullmatch(version.tags["maas.digest"]) is not None


def version_of(version: MlflowVersion, aliases: list[str]) -> ModelVersion:
    """Return a version; MLflow keeps what only we know of it in tags."""
    tags = version.tags
    return ModelVersion(
        name=version.name,
        version=str(version.version),
        aliases=aliases,
        task=tags["maas.task"],
        precision=tags["maas.precision"],
        size=int(tags["maas.size"]),
        metrics=decoder(dict[str, float]).decode(tags["maas.metrics"]),
        parent=tags.get("maas.parent"),
        created=version.creation_timestamp / 1000,
        digest=tags["maas.digest"],
        run_id=version.run_id,
        source=version.source,
        verdict=verdict_of(tags),
    )


def record_of(run: MlflowRun) -> RunRecord:
    """Return what MLflow knows of a run."""
    return RunRecord(
        run_id=run.info.run_id,
        name=run.info.run_name or "",
        status=_STATUS.get(run.info.status, run.info.status.lower()),
        started=run.info.start_time / 1000,
        duration=(run.info.end_time - run.info.start_time) / 1000 if run.info.end_time else None,
        metrics=dict(run.data.metrics),
        params=dict(run.data.params),
    )


def newest_first(versions: list[ModelVersion]) -> list[ModelVersion]:
    """Sort versions by their numbers."""
    return sorted(versions, key=lambda version: -int(version.version))
