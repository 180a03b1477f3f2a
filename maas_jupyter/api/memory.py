"""Which published models are in memory: ``load`` and ``unload``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter.api.subjects import published
from maas_jupyter.arguments import EndpointArgument

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint


def unload(model: EndpointArgument, *, on: str | None = None) -> Endpoint:
    """Take a published model out of memory; its clients get errors until it is loaded again.

    Parameters
    ----------
    model : str or Endpoint
        Name of the endpoint.
    on : str
        Where it is published: a target's name; local by default.

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If nothing of that name is published.
    """
    with published(model, on) as (target, name):
        return target.unload(name)


def load(model: EndpointArgument, *, on: str | None = None) -> Endpoint:
    """Bring a published model back into memory.

    Parameters
    ----------
    model : str or Endpoint
        Name of the endpoint.
    on : str
        Where it is published: a target's name; local by default.

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If nothing of that name is published.
    BundleError
        If none of its versions loads.
    """
    with published(model, on) as (target, name):
        return target.load(name)
