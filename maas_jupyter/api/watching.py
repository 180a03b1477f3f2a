"""Endpoints that this product did not start: ``watch`` and ``unwatch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maas_jupyter import config

if TYPE_CHECKING:
    from maas_jupyter.monitoring.foreign import AttachedServers
    from maas_jupyter.targets import Notice


def watch(
    url: str, *, name: str = "", metrics: str = "", token_env: str = "", ca_file: str = "", insecure: bool = False
) -> Notice:
    """Show an endpoint in the panel that was not started here, live like our own.

    What it is, is recognised from what it answers: Triton, KServe, MLServer, vLLM, TF Serving or BentoML.

    Parameters
    ----------
    url : str
        Its address, such as http://gpu-box:8000.
    name : str
        What to call it; by default its kind.
    metrics : str
        The address of its Prometheus text, where that is not at its usual place.
    token_env : str
        Name of the environment variable that holds its token, where it wants one. The token is never kept; the panel
        finds it in the environment of the Jupyter server.
    ca_file : str
        PEM file of the authority that signed its certificate, where the system does not trust it.
    insecure : bool
        Allow to send the token to another machine without TLS.

    Returns
    -------
    Notice
        What it is.

    Raises
    ------
    InvalidInput
        If the address cannot be one, or no kind that is known answers there; says what was tried.
    Unavailable
        If nothing answers.
    Conflict
        If the name or the address is there already.
    """
    from maas_jupyter.api.subjects import target_names
    from maas_jupyter.monitoring.foreign import attach
    from maas_jupyter.targets import Notice
    from maas_jupyter.targets.connections import set_variable

    server = attach(
        watched_servers(),
        url,
        name=name,
        metrics=metrics,
        token_env=token_env,
        ca_file=ca_file,
        insecure=insecure,
        taken=target_names(),
        how_to_set=set_variable,
    )
    return Notice(
        f"{server.name} is watched: {server.kind} at {server.url}. The panel shows it; %maas unwatch {server.name}"
    )


def unwatch(name: str) -> Notice:
    """Show an endpoint in the panel no longer that was not started here; it goes on.

    Parameters
    ----------
    name : str
        What it is called.

    Returns
    -------
    Notice
        What was done.

    Raises
    ------
    NotFound
        If no endpoint of that name is watched.
    """
    from maas_jupyter.targets import Notice

    server = watched_servers().remove(name)
    return Notice(f"{name} is no longer watched; {server.kind} at {server.url} goes on.")


def watched_servers() -> AttachedServers:
    """Return the endpoints that are watched and were not started here."""
    from maas_jupyter.monitoring.foreign import AttachedServers

    return AttachedServers(config.current().home_path)
