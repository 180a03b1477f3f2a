"""The registry: ``register``, ``alias``, ``models`` and ``runs``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import is_run, open_registry, to_module, to_name, to_version
from maas_jupyter.arguments import DataArgument, ModuleArgument, ReferenceArgument
from maas_jupyter.errors import InvalidInput

if TYPE_CHECKING:
    from maas_jupyter.data import Data
    from maas_jupyter.registry import ModelList, ModelVersion, Registry, RunList

_VALIDATION_ROWS = 128


def register(model: ModuleArgument, *, name: str, data: DataArgument, labels: DataArgument = None) -> ModelVersion:
    """Register a module or a run as the next version of a model.

    Parameters
    ----------
    model : torch.nn.Module or Run
        What to register; it is exported, and the export is checked on the data's first rows.
    name : str
        Name of the model.
    data : (X, y), Dataset or DataLoader
        Rows that show what goes in; with targets, the version's metrics are measured on them.
    labels : list of str or int
        A name for each class, in the order of the model's outputs.

    Returns
    -------
    ModelVersion

    Raises
    ------
    ExportError
        If the model cannot be exported, or its export computes something else.
    """
    from maas_jupyter.data import as_data
    from maas_jupyter.registry.tracking import Tracker
    from maas_jupyter.schema import check_name

    check_name(name)
    rows = as_data(data, name="data")
    module = to_module(model)
    targets = rows.head(1).targets
    task = "regression" if targets is not None and targets.is_floating_point() else "classification"
    registry = open_registry()
    if is_run(model):
        return register_module(registry, model, rows, rows, task, as_labels(labels, None), name, model.run_id)
    tracker = Tracker(registry, f"register {name}", {"model": type(module).__name__}, {"maas.verb": "register"})
    try:
        version = register_module(
            registry,
            module,
            rows,
            None if targets is None else rows,
            task,
            as_labels(labels, None),
            name,
            tracker.run_id,
        )
    except BaseException:
        tracker.end("FAILED")
        raise
    tracker.end("FINISHED")
    return version


def alias(model: ReferenceArgument, alias: str) -> ModelVersion:
    """Point an alias, such as champion, at a version.

    Parameters
    ----------
    model : str or ModelVersion
        The version.
    alias : str
        A word; it leaves the version that it pointed at before.

    Returns
    -------
    ModelVersion
    """
    registry = open_registry()
    return registry.set_alias(to_version(model, registry).reference, alias)


def models(name: ReferenceArgument = None) -> ModelList:
    """List registered models with their versions.

    Parameters
    ----------
    name : str
        Only this model.

    Returns
    -------
    ModelList
    """
    return open_registry().models(None if name is None else to_name(name))


def runs(*, limit: int = 20) -> RunList:
    """List tracked runs, newest first.

    Parameters
    ----------
    limit : int
        How many at the most.

    Returns
    -------
    RunList
    """
    return open_registry().runs(limit)


def register_module(
    registry: Registry,
    model: Any,
    rows: Data,
    held_out: Data | None,
    task: Any,
    labels: list[str | int] | None,
    name: str,
    run_id: str,
) -> ModelVersion:
    """Package a module (or a run's), measure what will be served on held-out rows, and register it."""
    from maas_jupyter.evaluation import evaluate_bundle
    from maas_jupyter.packaging import package

    with progress(f"register {name}") as step, tempfile.TemporaryDirectory(prefix="maas-") as scratch:
        step("exporting to ONNX and checking its numbers")
        packaged = package(
            to_module(model),
            rows.head(_VALIDATION_ROWS).inputs,
            Path(scratch),
            task=task,
            labels=labels,
        )
        metrics = {f"train_{key}": value for key, value in model.metrics.items()} if is_run(model) else {}
        if held_out is not None:
            step("evaluating what will be served")
            metrics = evaluate_bundle(packaged.bundle, held_out, subject=name).metrics
        step("registering")
        return registry.register(name, packaged.bundle, run_id=run_id, metrics=metrics)


def as_labels(labels: Any, classes: int | None) -> list[str | int] | None:
    """Return labels as a list of texts or of integers.

    Raises
    ------
    InvalidInput
        If they are mixed, or not one for each class where the number of classes is known.
    """
    if labels is None:
        return None
    if isinstance(labels, str):
        labels = labels.split(",")
    values = [label.item() if hasattr(label, "item") else label for label in labels]
    if classes is not None and len(values) != classes:
        raise InvalidInput(
            f"There are {len(values)} labels for {classes} classes.",
            hint="Give one label for each output of the model.",
        )
    if all(isinstance(label, str) for label in values) or all(type(label) is int for label in values):
        return values
    raise InvalidInput("The labels are neither all texts nor all integers.", hint="Pass a list such as ['no', 'yes'].")
