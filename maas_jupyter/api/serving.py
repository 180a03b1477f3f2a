"""Serving: publish a version, move its traffic, ask it, and see how it is; here or on a connected server."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter.api.options import documented
from maas_jupyter.api.subjects import ask_all, open_registry, open_target, published, to_endpoint, to_version
from maas_jupyter.arguments import EndpointArgument, Kind, ReferenceArgument
from maas_jupyter.errors import MaasError, Unavailable, UsageError

if TYPE_CHECKING:
    from maas_jupyter.monitoring import EndpointMetrics
    from maas_jupyter.targets import Endpoint, EndpointList, Notice, Prediction
    from maas_jupyter.targets.logs import LogLines


@documented
def publish(
    model: ReferenceArgument,
    *,
    to: str | None = None,
    canary: int | None = None,
    shadow: bool = False,
    require_passed: bool = False,
    reason: str = "",
) -> Endpoint:
    """Publish a registered version as an endpoint, up and warm when this returns.

    It takes all traffic of its name in one step; with --canary a share of it, with --shadow a copy. What is served is
    always a registered version, so that it can be named, and gone back to: a bundle is registered first.

    Parameters
    ----------
    model : str, Run or ModelVersion
        What to serve.
    to : str
        Where: a connected server, see %maas targets; local by default.
    canary : int
        Share of the traffic in percent, 1 to 99, beside the version that serves.
    shadow : bool
        Give it a copy of the traffic and compare its answers, without returning them.
    require_passed : bool
        Refuse a version that has not passed its gates (%maas evaluate --require) the last time it was judged.
    %(reason)s

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If there is no such model, version or target.
    Conflict
        If a canary or a shadow is asked for and nothing serves beside it.
    BundleError
        If the bundle is damaged or does not load; what served before goes on serving.
    Unavailable
        If the server does not answer, or cannot be started.
    UsageError
        If the share cannot be, or the model is not registered; the hint says how to.
    GateError
        If it has not passed its gates and that is demanded.
    """
    if canary is not None and not 1 <= canary <= 99:
        raise UsageError(f"--canary {canary} is no share of the traffic.", hint="Give a percentage from 1 to 99.")
    if canary is not None and shadow:
        raise UsageError(
            "--canary and --shadow exclude each other.", hint="A shadow gets a copy of all traffic; a canary a share."
        )
    target = open_target(to)
    registry = open_registry()
    version = to_version(model, registry)
    if require_passed:
        registry.require_passed(version)
    # The server starts while the bundle is fetched and verified.
    target.prepare()
    try:
        folder = registry.fetch(version).folder
        return target.publish(version.name, version.version, folder, canary=canary, shadow=shadow, reason=reason)
    except MaasError:
        with contextlib.suppress(Unavailable):
            target.release()
        raise


@documented
def predict(model: EndpointArgument, inputs: Annotated[Any, Kind.VALUE], *, on: str | None = None) -> Prediction:
    """Ask an endpoint.

    Parameters
    ----------
    model : str or Endpoint
        Name of the endpoint, or a reference to one of the versions behind it.
    inputs : array-like, DataFrame, dict, list of dict, str, bytes or Path
        The rows. An array, first axis the rows; for a model with several inputs a dict with one array for each. A
        table: a DataFrame, a dict of columns or a list of rows as dicts; bare rows where all columns are numbers or all
        are texts. Texts: one or a list. Files: bytes, a Path, or a list. In a terminal JSON, such as
        '[[0.1, 0.2], [0.3, 0.4]]', or the path of an image.
    %(on)s

    Returns
    -------
    Prediction
        Labels and scores where the model classifies.

    Raises
    ------
    NotFound
        If nothing of that name, or not that version, is published.
    InvalidInput
        If the rows do not fit the model; says what was expected.
    Unavailable
        If the endpoint does not answer.
    """
    version = None
    if isinstance(model, str):
        from maas_jupyter.registry import ModelReference

        reference = ModelReference.parse(model)
        version = open_registry().resolve(model).version if reference.alias else reference.version
    return to_endpoint(model, on).predict(inputs, version)


def endpoints() -> EndpointList:
    """List endpoints and their state, on this machine and on every connected server.

    Those of a server that does not answer are listed as unavailable, with the reason.

    Returns
    -------
    EndpointList
    """
    from maas_jupyter.targets import EndpointList

    return EndpointList(endpoint for found in ask_all(lambda target: target.endpoints()) for endpoint in found)


@documented
def metrics(name: EndpointArgument, *, on: str | None = None) -> EndpointMetrics:
    """Show what an endpoint and each of its versions have done since their server started.

    Parameters
    ----------
    name : str or Endpoint
        Name of the endpoint.
    %(on)s

    Returns
    -------
    EndpointMetrics
    """
    from maas_jupyter.monitoring import endpoint_metrics

    endpoint = to_endpoint(name, on)
    text = endpoint.metrics_text()
    return endpoint_metrics(endpoint.name, text, endpoint.refresh().traffic)


@documented
def logs(name: Annotated[Any, Kind.ENDPOINT] = None, *, lines: int = 20, on: str | None = None) -> LogLines:
    """Show the last lines of a server's log, of one endpoint where it is named.

    Whole it is in the server's home, one JSON object in a line: on this machine ~/.maas/server/server.log.

    Parameters
    ----------
    name : str or Endpoint
        Name of the endpoint.
    lines : int
        How many.
    %(on)s

    Returns
    -------
    LogLines
        A list of str, the lines as JSON.
    """
    if lines < 1:
        raise UsageError(f"--lines {lines} shows nothing.", hint="Give 1 or more.")
    if name is None:
        from maas_jupyter.targets.logs import LogLines

        return LogLines(open_target(on).logs(lines))
    return to_endpoint(name, on).logs(lines)


def start(*, on: str | None = None) -> Notice:
    """Start the local server, with everything that it served: after a stop, or after a restart of the machine.

    A publish starts it too; one that runs is left as it is.

    Parameters
    ----------
    on : str
        Which server: a target's name; local by default.

    Returns
    -------
    Notice
        What it serves, and where.

    Raises
    ------
    Unavailable
        If it cannot be started, or does not answer.
    UsageError
        If it is a connected server: it is started where it runs.
    """
    return open_target(on).start()


@documented
def stop(name: Annotated[Any, Kind.ENDPOINT] = None, *, on: str | None = None) -> Notice:
    """Stop an endpoint; without a name, stop the local server.

    A stopped server comes back, with its models, with a start or the next publish; an endpoint that is stopped by its
    name does not.

    Parameters
    ----------
    name : str or Endpoint
        Name of the endpoint.
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
    if name is None:
        return open_target(on).stop()
    with published(name, on) as (target, model):
        return target.stop(model)
