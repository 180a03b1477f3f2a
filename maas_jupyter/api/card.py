"""The model card: ``card``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter.api.subjects import open_registry, to_version
from maas_jupyter.arguments import ReferenceArgument

if TYPE_CHECKING:
    from maas_jupyter.registry import Card


def card(model: ReferenceArgument, *, save: str | None = None) -> Card:
    """Write the card of a registered version: what it does, how to call it, how good it is, what it was made from.

    What you wrote in MLflow as the version's or the model's description comes first.

    Parameters
    ----------
    model : str, Run or ModelVersion
        The version, such as digits@champion.
    save : str
        Write it into this file too, such as README.md.

    Returns
    -------
    Card
        Markdown, shown as a page; its ``text`` is the source.

    Raises
    ------
    NotFound
        If there is no such model or version.
    UsageError
        If the file cannot be written.
    """
    from maas_jupyter.errors import UsageError
    from maas_jupyter.registry.card import card_of

    registry = open_registry()
    found = card_of(registry.details(to_version(model, registry).reference))
    if save is not None:
        try:
            found.save(save)
        except OSError as error:
            raise UsageError(
                f"The card cannot be written to {save}: {error.strerror or error}", hint="Name another file."
            ) from error
    return found
