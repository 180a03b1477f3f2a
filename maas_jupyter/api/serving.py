"""Serving: ``publish``, ``predict``, ``endpoints``, ``metrics``, ``logs`` and ``stop``."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter.api.subjects import open_registry, open_target, to_endpoint, to_name, to_version
from maas_jupyter.arguments import EndpointArgument, Kind, ReferenceArgument
from maas_jupyter.errors import MaasError, Unavailable

if TYPE_CHECKING:
    from maas_jupyter.monitoring import EndpointMetrics
    from maas_jupyter.targets import Endpoint, EndpointList, Prediction
    from maas_jupyter.targets.endpoint import LogLines


def publish(model: ReferenceArgument, *, to: str | None = None) -> Endpoint:
    """Publish a registered version as an endpoint, up and warm when this returns.

    A version that was published under the same name before is replaced in one step.

    Parameters
    ----------
    model : str, Run or ModelVersion
        What to serve.
    to : str
        Where; local by default.

    Returns
    -------
    Endpoint

    Raises
    ------
    NotFound
        If there is no such model, version or target.
    BundleError
        If the bundle is damaged or does not load; what served before goes on serving.
    """
    target = open_target(to)
    registry = open_registry()
    version = to_version(model, registry)
    # The server starts while the bundle is fetched and verified.
    target.prepare()
    try:
        return target.publish(version.name, version.version, registry.fetch(version).folder)
    except MaasError:
        with contextlib.suppress(Unavailable):
            target.release()
        raise


def predict(model: EndpointArgument, inputs: Annotated[Any, Kind.VALUE]) -> Prediction:
    """Ask an endpoint.

    Parameters
    ----------
    model : str or Endpoint
        Name of the endpoint.
    inputs : array-like
        Rows, first axis the rows; in a terminal JSON, such as '[[0.1, 0.2], [0.3, 0.4]]'.

    Returns
    -------
    Prediction
        Labels and scores where the model classifies.

    Raises
    ------
    NotFound
        If nothing of that name is published.
    InvalidInput
        If the rows do not fit the model; says what was expected.
    Unavailable
        If the endpoint does not answer.
    """
    return to_endpoint(model).predict(inputs)


def endpoints() -> EndpointList:
    """List endpoints and their state.

    Returns
    -------
    EndpointList
    """
    return open_target(None).endpoints()


def metrics(name: EndpointArgument) -> EndpointMetrics:
    """Show what an endpoint has done since its server started: requests, errors, latency.

    Parameters
    ----------
    name : str or Endpoint
        Name of the endpoint.

    Returns
    -------
    EndpointMetrics
    """
    from maas_jupyter.monitoring import endpoint_metrics

    endpoint = to_endpoint(name)
    return endpoint_metrics(endpoint.name, endpoint.metrics_text())


def logs(name: EndpointArgument, *, lines: int = 20) -> LogLines:
    """Show the last lines of the log of an endpoint's server.

    Parameters
    ----------
    name : str or Endpoint
        Name of the endpoint.
    lines : int
        How many.

    Returns
    -------
    LogLines
        A list of str.
    """
    return to_endpoint(name).logs(lines)


def stop(name: Annotated[Any, Kind.ENDPOINT] = None) -> EndpointList:
    """Stop an endpoint; without a name, stop the local server.

    A stopped server comes back, with its models, at the next publish; an endpoint that is stopped by its name does not.

    Parameters
    ----------
    name : str or Endpoint
        Name of the endpoint.

    Returns
    -------
    EndpointList
        What is left.

    Raises
    ------
    NotFound
        If nothing of that name is published.
    """
    target = open_target(None)
    target.stop(None if name is None else to_name(name))
    return target.endpoints()
