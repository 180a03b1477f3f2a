"""The desired state: which models and versions should serve, one small JSON file per model."""

from __future__ import annotations

from pathlib import Path

from maas_jupyter import schema
from maas_jupyter.errors import BundleError
from maas_jupyter.schema import ServedModel, check_name


class DesiredState:
    """The folder ``models/`` of a server's home."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "models"

    def _path(self, name: str) -> Path:
        return self._folder / f"{check_name(name)}.json"

    def read(self) -> tuple[dict[str, ServedModel], dict[str, str]]:
        """Read everything.

        Returns
        -------
        models : dict of str to ServedModel
            The models whose file is sound.
        broken : dict of str to str
            The other files' names, and what is wrong with each: one bad file never hides the others.
        """
        models: dict[str, ServedModel] = {}
        broken: dict[str, str] = {}
        paths = sorted(self._folder.glob("*.json")) if self._folder.is_dir() else []
        for path in paths:
            name = path.stem
            if name.startswith("."):
                continue  # a file that is being written
            try:
                model = schema.decode(path.read_bytes(), ServedModel, where=str(path))
                if model.name != name or not model.versions:
                    raise BundleError(f"{path} describes '{model.name}' with {len(model.versions)} versions.")
                models[name] = model
            except (BundleError, OSError) as error:
                broken[name] = error.message if isinstance(error, BundleError) else str(error)
        return models, broken

    def write(self, model: ServedModel) -> None:
        """Write one model, atomically."""
        schema.write_atomic(self._path(model.name), schema.encode(model))

    def delete(self, name: str) -> None:
        """Forget one model."""
        self._path(name).unlink(missing_ok=True)
