"""What is behind a published name: its traffic moved, the model in and out of memory, withdrawn; and all of it told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter.api.options import documented
from maas_jupyter.api.subjects import published
from maas_jupyter.arguments import EndpointArgument

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint, History, Notice


@documented
def promote(model: EndpointArgument, *, reason: str = "", on: str | None = None) -> Endpoint:
    """Give all traffic of an endpoint to its canary, or to its shadow where it has no canary.

    Parameters
    ----------
    %(model)s
    %(reason)s
    %(on)s

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If nothing of that name is published.
    Conflict
        If it has neither a canary nor a shadow.
    """
    with published(model, on) as (target, name):
        return target.promote(name, reason=reason)


@documented
def rollback(model: EndpointArgument, *, reason: str = "", on: str | None = None) -> Endpoint:
    """Go back to what an endpoint served before; once more goes back further.

    Parameters
    ----------
    %(model)s
    %(reason)s
    %(on)s

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If nothing of that name is published.
    Conflict
        If nothing else served before.
    """
    with published(model, on) as (target, name):
        return target.rollback(name, reason=reason)


@documented
def load(model: EndpointArgument, *, reason: str = "", on: str | None = None) -> Endpoint:
    """Bring a published model back into memory.

    Parameters
    ----------
    %(model)s
    %(reason)s
    %(on)s

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
        return target.load(name, reason=reason)


@documented
def unload(model: EndpointArgument, *, reason: str = "", on: str | None = None) -> Endpoint:
    """Take a published model out of memory; its clients get errors until it is loaded again.

    Parameters
    ----------
    %(model)s
    %(reason)s
    %(on)s

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If nothing of that name is published.
    """
    with published(model, on) as (target, name):
        return target.unload(name, reason=reason)


@documented
def unpublish(model: EndpointArgument, *, reason: str = "", on: str | None = None) -> Notice:
    """Stop serving a model; its history stays.

    Parameters
    ----------
    %(model)s
    %(reason)s
    %(on)s

    Returns
    -------
    Notice
        What was done.

    Raises
    ------
    NotFound
        If nothing of that name is published.
    """
    with published(model, on) as (target, name):
        return target.unpublish(name, reason=reason)


@documented
def history(model: EndpointArgument, *, on: str | None = None) -> History:
    """Show what an endpoint served when, with which shares, by whom and why.

    Parameters
    ----------
    model : str or Endpoint
        Name of the endpoint; one that was unpublished has a history too.
    %(on)s

    Returns
    -------
    History

    Raises
    ------
    NotFound
        If nothing of that name was ever published there.
    """
    with published(model, on) as (target, name):
        return target.history(name)
