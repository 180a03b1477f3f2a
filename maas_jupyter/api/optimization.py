"""Optimising: ``quantize`` and ``optimize``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from maas_jupyter.api.candidates import Asked, compared
from maas_jupyter.api.options import documented
from maas_jupyter.api.subjects import open_registry, to_version
from maas_jupyter.arguments import DataArgument, Kind, ReferenceArgument, several
from maas_jupyter.errors import InvalidInput, UsageError

if TYPE_CHECKING:
    from maas_jupyter.optimization import Comparison
    from maas_jupyter.registry import ModelVersion


@documented
def quantize(
    model: ReferenceArgument,
    *,
    data: DataArgument,
    target: tuple[str, ...] = (),
    text: str | None = None,
    calibrate: DataArgument = None,
    max_drop: float = 0.01,
    require: tuple[str, ...] = (),
    method: Annotated[tuple[Any, ...], Kind.NAME_OR_OBJECT] = (),
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Comparison:
    """Quantize a registered model and compare the candidates with it.

    Size, memory, speed, quality and numbers are measured side by side, each candidate in a process of its own. The
    winner is registered as a new version; a candidate that is slower or worse is shown as such and is not registered.

    Parameters
    ----------
    model : str, Run or ModelVersion
        What to quantize.
    %(data)s
    %(target)s
    %(text)s
    %(calibrate)s
    %(max_drop)s
    %(require)s
    %(method)s
    %(source)s

    Returns
    -------
    Comparison

    Raises
    ------
    NotFound
        If there is no such model or method.
    InvalidInput
        If it is quantized already, or the data does not fit it.
    UsageError
        If a target or a gate cannot be read.
    """
    from maas_jupyter.optimization import find_optimizers

    asked = Asked.read(data, target, text, calibrate, max_drop, require, source)
    registry = open_registry()
    version = _in_fp32(to_version(model, registry), "Quantize")
    return compared(
        "quantize",
        model,
        version,
        registry,
        asked,
        lambda: find_optimizers({"quantize"}, several(method)),
        named=bool(method),
    )


@documented
def optimize(
    model: ReferenceArgument,
    *,
    data: DataArgument,
    target: tuple[str, ...] = (),
    text: str | None = None,
    calibrate: DataArgument = None,
    max_drop: float = 0.01,
    require: tuple[str, ...] = (),
    budget: float = 300.0,
    method: Annotated[tuple[Any, ...], Kind.NAME_OR_OBJECT] = (),
    source: Annotated[str | None, Kind.SOURCE] = None,
) -> Comparison:
    """Try whatever may make a model smaller or faster, and take the best of what keeps its quality.

    Methods that apply to this model on this machine are tried within a time budget, the cheap ones first; of a run
    also those that train (pruning, distillation), and what they make is quantized too. The winner is registered as a
    new version with its parent, its measurements, and the code that repeats the comparison.

    Parameters
    ----------
    model : str, Run or ModelVersion
        What to optimise; a run of this notebook brings its torch module and its training rows.
    %(data)s
    %(target)s
    %(text)s
    %(calibrate)s
    %(max_drop)s
    %(require)s
    budget : float
        Seconds; a method that would not fit into what is left of them is not tried.
    %(method)s
    %(source)s

    Returns
    -------
    Comparison

    Raises
    ------
    NotFound
        If there is no such model or method.
    InvalidInput
        If it is quantized already, or the data does not fit it.
    UsageError
        If a target or a gate cannot be read.
    """
    from maas_jupyter.optimization import find_optimizers

    if not budget > 0:
        raise UsageError(f"--budget is {budget:g}.", hint="Give seconds above 0, such as --budget 120.")
    asked = Asked.read(data, target, text, calibrate, max_drop, require, source, budget)
    registry = open_registry()
    families = {"quantize", "prune", "distil", "other"}
    version = _in_fp32(to_version(model, registry), "Optimise")
    return compared(
        "optimize",
        model,
        version,
        registry,
        asked,
        lambda: find_optimizers(families, several(method)),
        combine=True,
        named=bool(method),
    )


def _in_fp32(version: ModelVersion, what: str) -> ModelVersion:
    """Return a version whose numbers nothing has been done to yet.

    Raises
    ------
    InvalidInput
        If it has fewer bits already; the hint names what it was made from.
    """
    if version.precision == "fp32":
        return version
    origin = f"{what} {version.parent}, which it was made from." if version.parent else "Name one in fp32."
    raise InvalidInput(f"{version.reference} is {version.precision} already.", hint=origin)
