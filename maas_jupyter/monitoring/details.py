"""All that is known of one version, for the page of its model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from maas_jupyter.config import MaasConfig
from maas_jupyter.errors import NotFound
from maas_jupyter.schema import check_name

if TYPE_CHECKING:
    from maas_jupyter.registry import Registry, VersionDetails

_SQLITE = "sqlite:///"


class ModelCard(Struct, frozen=True):
    """The model card of a version, in Markdown."""

    reference: str
    text: str


class RegisteredVersions:
    """Reads versions from the registry; a connection is kept. Call it off the event loop's thread.

    Parameters
    ----------
    settings : callable
        Gives the settings, at the first look.
    """

    def __init__(self, settings: Callable[[], MaasConfig]) -> None:
        self._settings = settings
        self._registry: Registry | None = None
        self._opening = threading.Lock()

    def details(self, model: str, version: str) -> VersionDetails:
        """Return all that is known of a version.

        Raises
        ------
        NotFound
            If there is no such model or version.
        Unavailable
            If the registry does not answer.
        """
        from maas_jupyter.registry import ModelReference

        return self._opened(model).details(ModelReference(check_name(model), version=version))

    def card(self, model: str, version: str) -> ModelCard:
        """Return the model card of a version; raises what `details` does."""
        from maas_jupyter.registry.card import card_of

        card = card_of(self.details(model, version))
        return ModelCard(card.reference, card.text)

    def _opened(self, model: str) -> Registry:
        settings = self._settings()
        uri = settings.resolved_registry_uri
        if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).exists():
            # Looking must not create the database.
            raise NotFound(f"There is no model called '{model}'.", hint="Nothing was registered yet.")
        from maas_jupyter.registry import Registry

        with self._opening:
            self._registry = self._registry or Registry(settings)
            return self._registry
