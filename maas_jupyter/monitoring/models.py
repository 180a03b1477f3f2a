"""The registry's models as the panel lists them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter.config import MaasConfig
from maas_jupyter.monitoring.rows import ModelRow, ModelVersions, VersionRow

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelVersion, Registry

_SQLITE = "sqlite:///"


class RegisteredModels:
    """Reads the registry; a connection is kept for as long as it works. Call it off the event loop's thread."""

    def __init__(self, config: MaasConfig) -> None:
        self._config = config
        self._registry: Registry | None = None
        self._files: list[tuple[int, int]] = []
        self._read: list[ModelVersions] = []

    def __call__(self) -> list[ModelVersions]:
        """List all registered models, most recently changed first.

        Raises
        ------
        Unavailable
            If the registry does not answer.
        """
        uri = self._config.resolved_registry_uri
        files: list[tuple[int, int]] = []
        if uri.startswith(_SQLITE):
            files = _signs(Path(uri.removeprefix(_SQLITE)))
            if not files:
                # Nothing was registered yet. Looking must not create the database, nor import MLflow for nothing.
                self._registry = None
                return []
            if files == self._files:
                return self._read
        from maas_jupyter.registry import Registry

        registry = self._registry or Registry(self._config)
        self._registry, self._files = None, []
        models = [ModelVersions(model.name, model.updated, _rows(model.versions)) for model in registry.models()]
        self._registry, self._files, self._read = registry, files, models
        return models


def model_row(model: ModelVersions) -> ModelRow:
    """Sum up a model for the list."""
    return ModelRow(
        name=model.name,
        updated=model.updated,
        versions=len(model.versions),
        newest=model.versions[0],
        aliases={alias: row.version for row in model.versions for alias in row.aliases},
    )


def _signs(database: Path) -> list[tuple[int, int]]:
    """Return what changes whenever a database of sqlite does; empty where there is none."""
    found = []
    for path in (database, database.with_name(f"{database.name}-wal")):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found.append((stat.st_mtime_ns, stat.st_size))
    return found


def _rows(versions: list[ModelVersion]) -> list[VersionRow]:
    by_reference = {version.reference: version for version in versions}
    return [_row(version, by_reference.get(version.parent or "")) for version in versions]


def _row(version: ModelVersion, parent: ModelVersion | None) -> VersionRow:
    metric_name, metric = version.headline or (None, None)
    before = parent.metrics.get(metric_name) if parent and metric_name else None
    return VersionRow(
        version=version.version,
        aliases=version.aliases,
        task=version.task,
        precision=version.precision,
        size=version.size,
        metric_name=metric_name,
        metric=metric,
        change=None if metric is None or before is None else metric - before,
        parent=version.parent,
        created=version.created,
    )
