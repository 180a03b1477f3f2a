"""The registry's models as the panel lists them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter.config import MaasConfig
from maas_jupyter.monitoring.rows import ModelRow, VersionRow

if TYPE_CHECKING:
    from maas_jupyter.registry import ModelVersion, Registry

_SQLITE = "sqlite:///"


class RegisteredModels:
    """Reads the registry; a connection is kept for as long as it works. Call it off the event loop's thread."""

    def __init__(self, config: MaasConfig) -> None:
        self._config = config
        self._registry: Registry | None = None

    def __call__(self) -> list[ModelRow]:
        """List all registered models.

        Raises
        ------
        Unavailable
            If the registry does not answer.
        """
        uri = self._config.resolved_registry_uri
        if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
            # Nothing was registered yet. Looking must not create the database, nor import MLflow for nothing.
            self._registry = None
            return []
        from maas_jupyter.registry import Registry

        registry = self._registry or Registry(self._config)
        self._registry = None
        models = [
            ModelRow(model.name, model.updated, [_row(version) for version in model.versions])
            for model in registry.models()
        ]
        self._registry = registry
        return models


def _row(version: ModelVersion) -> VersionRow:
    metric_name, metric = version.headline or (None, None)
    return VersionRow(
        version=version.version,
        aliases=version.aliases,
        task=version.task,
        precision=version.precision,
        size=version.size,
        metric_name=metric_name,
        metric=metric,
        parent=version.parent,
        created=version.created,
    )
