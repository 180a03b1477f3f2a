"""The protocol of a method: how packages and notebooks add their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import MissingDependency, UsageError
from maas_jupyter.optimization.original import Original

#: The verb that a method belongs to; all of them belong to ``optimize``.
Family = Literal["quantize", "prune", "distil", "other"]


class Optimizer(Protocol):
    """Makes a variant of a model.

    Found by its name in ``maas_jupyter.plugins`` (packages add theirs with entry points in the group
    ``maas_jupyter.optimizer``), and made by calling it without arguments.

    Attributes
    ----------
    name : str
        What users write: ``static-int8``.
    description : str
        What it does, in a few words.
    family : {'quantize', 'prune', 'distil', 'other'}
    seconds : float
        About how long it takes for a small model; cheap ones come first.

    One whose time grows with the model says by how much with a further attribute, ``seconds_per_megabyte``, of the
    original's bundle.

    One that takes ranges from ``original.calibration`` says so with a further attribute, ``calibrates = True``, so that
    the comparison can say where they came from.
    """

    name: str
    description: str
    family: Family
    seconds: float

    def applies_to(self, original: Original) -> bool:
        """Say whether there is anything to do for this model on this machine; cheap."""

    def run(self, original: Original, folder: Path) -> Bundle:
        """Write the variant.

        Parameters
        ----------
        original : Original
            It is left as it is.
        folder : Path
            Existing and empty.

        Returns
        -------
        Bundle
            In the folder; its manifest names ``original.bundle`` as its parent.

        Raises
        ------
        MaasError
            Where it cannot: shown in the candidate's row, and the others go on.
        """


def seconds_of(optimizer: Optimizer, original: Original) -> float:
    """Return about how long a method takes for this model."""
    growth: float = getattr(optimizer, "seconds_per_megabyte", 0.0)
    return optimizer.seconds + growth * original.bundle.manifest.size / 1e6


def find_optimizers(families: set[str], chosen: Sequence[Any]) -> list[Optimizer]:
    """Return the methods of some families, the cheap ones first, or those that are chosen.

    Parameters
    ----------
    families : set of str
        Looked at where nothing is chosen.
    chosen : sequence of str, class or Optimizer
        Names, or methods themselves.

    Raises
    ------
    NotFound
        If there is none of that name.
    MissingDependency
        If one that was named needs a package that is not installed; the hint says which.
    UsageError
        If something is no method.
    """
    if chosen:
        return [_made(method) for method in chosen]
    found: list[Optimizer] = []
    for name in plugins.available("optimizer"):
        try:
            made = _made(name)
        except MissingDependency:
            continue  # a method whose package is not installed is no candidate unless it is asked for
        if made.family in families:
            found.append(made)
    return sorted(found, key=lambda optimizer: optimizer.seconds)


def _made(method: Any) -> Optimizer:
    if isinstance(method, str):
        method = plugins.load("optimizer", method)
    made: Optimizer = method() if isinstance(method, type) else method
    parts = ("name", "description", "family", "seconds", "applies_to", "run")
    missing = [part for part in parts if not hasattr(made, part)]
    if missing:
        raise UsageError(
            f"A {type(made).__name__} is no method of optimisation: it has no {missing[0]}.",
            hint="Name one, or pass a class like maas_jupyter.optimization.Optimizer.",
        )
    return made
