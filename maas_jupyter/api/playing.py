"""Trying an endpoint by hand: ``play``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from maas_jupyter import plugins
from maas_jupyter.api.options import documented
from maas_jupyter.api.subjects import open_registry, to_endpoint
from maas_jupyter.arguments import EndpointArgument
from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.categories import known_categories
from maas_jupyter.errors import MaasError

if TYPE_CHECKING:
    from maas_jupyter.targets import Endpoint

#: More values are no choice that a person makes.
_MOST_CHOICES = 200


@dataclass(frozen=True)
class Known:
    """What is known of a served model beside its signature.

    Attributes
    ----------
    labels : list of str
        Of the classes, in the order of the scores.
    choices : dict of str to list of str
        The values that a column of texts had when the model was trained.
    images : dict of str to (int, int, int)
        Inputs that take image files: channels, height and width.
    note : str
        Why nothing is known.
    """

    labels: list[str] = field(default_factory=list)
    choices: dict[str, list[str]] = field(default_factory=dict)
    images: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    note: str = ""


@documented
def play(model: EndpointArgument, *, on: str | None = None) -> Any:
    """Try an endpoint by hand: a form made from its signature, with the answer's scores as bars.

    The requests go from the kernel. In a terminal use predict.

    Parameters
    ----------
    %(model)s
    %(on)s

    Returns
    -------
    Playground

    Raises
    ------
    NotFound
        If nothing of that name is published.
    Unavailable
        If the endpoint does not answer.
    """
    return plugins.load("widget", "playground")(to_endpoint(model, on))


def known_of(endpoint: Endpoint) -> Known:
    """Return what the registry knows of what an endpoint serves, or why it knows nothing."""
    from maas_jupyter.schema import ImageInput

    try:
        bundle = _bundle(endpoint)
    except MaasError as error:
        return Known(note=f"Names of classes and categories are not known here: {error.message}")
    if bundle is None:
        return Known(note="Names of classes and categories are not known here: another registry's model serves.")
    manifest = bundle.manifest
    images = {
        name: (len(way.mean), way.height, way.width)
        for name, way in manifest.preprocessing.items()
        if isinstance(way, ImageInput)
    }
    columns = [spec.name for spec in manifest.signature.inputs if spec.datatype == "BYTES"]
    choices = {}
    if columns and not manifest.preprocessing:
        choices = _choices(bundle, columns)
    return Known([str(label) for label in manifest.labels or []], choices, images)


def _choices(bundle: Bundle, columns: list[str]) -> dict[str, list[str]]:
    """Return the values that a person chooses from, by column; none where there are none, or very many."""
    if MODEL_FILE not in bundle.manifest.files:
        return {}
    known = known_categories(bundle.folder / MODEL_FILE, columns)
    choices = {name: sorted(filter(None, values)) for name, values in known.items()}
    return {name: values for name, values in choices.items() if 0 < len(values) <= _MOST_CHOICES}


def _bundle(endpoint: Endpoint) -> Bundle | None:
    """Return the bundle of the version with the most traffic, where the registry has the same one."""
    serving = sorted(endpoint.traffic, key=lambda row: -row.weight)
    if not serving or not serving[0].version:
        return None
    registry = open_registry()
    version = registry.resolve(f"{endpoint.name}/{serving[0].version}")
    return registry.fetch(version) if version.digest == serving[0].digest else None
