"""The registry: ``register``, ``alias`` and ``models``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maas_jupyter import config
from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import (
    holds_bundle,
    is_packaged,
    is_registrable,
    is_run,
    open_registry,
    to_module,
    to_name,
    to_version,
)
from maas_jupyter.arguments import DataArgument, ReferenceArgument, RegistrableArgument
from maas_jupyter.errors import BundleError, InvalidInput, MaasError, UsageError

if TYPE_CHECKING:
    from maas_jupyter.bundle import Bundle
    from maas_jupyter.data import Prepared
    from maas_jupyter.registry import ModelList, ModelVersion, Registry


def register(
    model: RegistrableArgument, *, name: str, data: DataArgument = None, labels: DataArgument = None
) -> ModelVersion:
    """Register a module, a run or a bundle as the next version of a model.

    A bundle is what maas_jupyter.packaging makes, or the folder that it made, here or elsewhere: package_text for raw
    text, package_images for PNG and JPEG files, package_table for the columns of a table.

    Parameters
    ----------
    model : torch.nn.Module, Run, Packaged, Bundle or path
        What to register. A module is exported, and the export is checked on the data's first rows; a bundle is taken as
        it is, once each of its files was compared with its sha256. The id of a run means the one of this kernel that
        could not be registered when it was trained.
    name : str
        Name of the model.
    data : (X, y), Dataset or DataLoader; for a bundle also (texts, y), (images, y) or (DataFrame, y)
        Rows that show what goes into a module; a run and a bundle need none. With targets, the version's metrics are
        measured on them.
    labels : list of str or int
        A name for each class, in the order of the module's outputs; a bundle has its own.

    Returns
    -------
    ModelVersion

    Raises
    ------
    ExportError
        If the module cannot be exported, or its export computes something else.
    BundleError
        If the bundle is damaged.
    InvalidInput
        If the name cannot be one, or the data does not fit the model.
    """
    _check_new_name(name)
    kept = _unregistered(model)
    model = kept or model
    bundle = _bundle(model)
    if bundle is not None:
        return _register_bundle(bundle, name, data, labels)
    if not is_registrable(model):
        raise UsageError(
            f"A {type(model).__name__} cannot be registered.",
            hint="What can be is a torch module, a run, a bundle, and the path of a folder that holds one.",
        )
    if is_run(model) and model.language is not None:
        raise UsageError(
            "A language model cannot be registered: no runtime serves it yet.",
            hint="run.save(FOLDER) keeps it as transformers loads it.",
        )
    module = to_module(model)
    if data is None and labels is None and is_run(model) and model.prepared is not None:
        # It has its rows still.
        registry = open_registry()
        model.version = register_prepared(registry, model, model.prepared, model.held_out, name, model.run_id)
        return model.version
    if data is None:
        raise UsageError(
            "A module is registered with rows that show what goes into it.",
            hint=f"Add --data: %maas register VARIABLE --name {name} --data ROWS",
        )
    from maas_jupyter.data import as_source, prepare

    rows = as_source(data, name="data")
    trained = model.prepared if is_run(model) else None
    prepared = prepare(rows, module, labels=as_labels(labels, None)) if trained is None else trained.like(rows)
    if trained is not None and labels is not None:
        prepared = replace(prepared, labels=as_labels(labels, prepared.classes))
    held_out = None if prepared.task == "tensor" else prepared
    registry = open_registry()
    if is_run(model):
        return register_prepared(registry, model, prepared, held_out, name, model.run_id)
    with _tracked(registry, name, {"model": type(module).__name__}) as run_id:
        return register_prepared(registry, module, prepared, held_out, name, run_id)


def _check_new_name(name: Any) -> None:
    from maas_jupyter.schema import check_name, is_name

    if not isinstance(name, str):
        raise UsageError(f"A {type(name).__name__} cannot be the name of a model.", hint="Give a text: name='digits'.")
    alone = name.removeprefix("models:/").partition("@")[0].partition("/")[0]
    if alone != name and is_name(alone):
        raise InvalidInput(
            f"'{name[:140]}' is a reference; what is registered is given the model's name alone.",
            hint=f"Give --name {alone}: the registry numbers the versions, and %maas alias calls one {alone}@ALIAS.",
        )
    check_name(name)


def _unregistered(model: Any) -> Any:
    """Return the run of this kernel that an id means, whose registration failed; None where none is meant."""
    training = sys.modules.get("maas_jupyter.training.run")
    named = isinstance(model, str) and not holds_bundle(model)
    return training.unregistered(model) if training is not None and named else None


@contextmanager
def _tracked(registry: Registry, name: str, params: dict[str, Any]) -> Iterator[str]:
    """Give the id of a run for something that was trained elsewhere."""
    from maas_jupyter.registry.tracking import Tracker

    tracker = Tracker(registry, f"register {name}", params, {"maas.verb": "register"})
    try:
        yield tracker.run_id
    except BaseException:
        tracker.end("FAILED")
        raise
    tracker.end("FINISHED")


def alias(model: ReferenceArgument, alias: str, *, require_passed: bool = False) -> ModelVersion:
    """Point an alias, such as champion, at a version.

    Parameters
    ----------
    model : str or ModelVersion
        The version.
    alias : str
        A word; it leaves the version that it pointed at before.
    require_passed : bool
        Refuse a version that has not passed its gates (%maas evaluate --require) the last time it was judged.

    Returns
    -------
    ModelVersion

    Raises
    ------
    GateError
        If it has not passed its gates and that is demanded.
    """
    registry = open_registry()
    version = to_version(model, registry)
    if require_passed:
        registry.require_passed(version)
    return registry.set_alias(version.reference, alias)


def models(name: ReferenceArgument = None) -> ModelList:
    """List registered models with their versions.

    A version that this machine's server could not load is marked.

    Parameters
    ----------
    name : str
        Only this model.

    Returns
    -------
    ModelList
    """
    from maas_jupyter.targets.local import LocalTarget

    found = open_registry().models(None if name is None else to_name(name))
    refusal = LocalTarget(config.current().server_home).refusal
    for model in found:
        model.versions[:] = [replace(version, refused=refusal(version.digest)) for version in model.versions]
    return found


def register_prepared(
    registry: Registry, model: Any, prepared: Prepared, held_out: Prepared | None, name: str, run_id: str
) -> ModelVersion:
    """Package a module (or a run's), measure what will be served on held-out raw rows, and register it."""
    from maas_jupyter.evaluation import score_bundle
    from maas_jupyter.packaging import package_prepared

    with progress(f"register {name}") as step, tempfile.TemporaryDirectory(prefix="maas-") as scratch:
        step("exporting to ONNX and checking its numbers")
        packaged = package_prepared(to_module(model), prepared, Path(scratch))
        metrics = {f"train_{key}": value for key, value in model.metrics.items()} if is_run(model) else {}
        if held_out is not None:
            step("evaluating what will be served")
            metrics = score_bundle(packaged.bundle, held_out.source, subject=name)
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


# -- bundles ----------------------------------------------------------------------------------------------------------


def _bundle(model: Any) -> Bundle | None:
    """Return the bundle that was given, every byte verified; None for what is none.

    Raises
    ------
    UsageError
        If a folder is named and holds none.
    BundleError
        If it is damaged.
    """
    from maas_jupyter.bundle import Bundle
    from maas_jupyter.schema import MANIFEST_NAME

    digest = None
    if is_packaged(model):
        made: Bundle = getattr(model, "bundle", model)
        folder, digest = made.folder, made.digest
    elif isinstance(model, str | Path):
        folder = Path(model).expanduser()
        if not holds_bundle(model):
            what = f"The folder '{model}' holds no bundle" if folder.is_dir() else f"There is no folder '{model}'"
            raise UsageError(
                f"{what}, and no module, run or bundle of a notebook is called so.",
                hint=f"Name a variable that holds one, or a folder with the {MANIFEST_NAME} of a bundle, which "
                "package_text and its neighbours in maas_jupyter.packaging make.",
            )
    else:
        return None
    try:
        return Bundle.open(folder, digest=digest)
    except BundleError as error:
        raise type(error)(
            f"The bundle in {folder} cannot be registered: {error.message}",
            hint="Package the model again, into a folder that is kept until it is registered.",
        ) from error


def _require_that_it_loads(bundle: Bundle) -> None:
    from maas_jupyter.serving.servable import Servable

    try:
        Servable.load(bundle).unload()
    except MaasError as error:
        raise type(error)(
            f"The bundle in {bundle.folder} cannot be registered, since it cannot be served: {error.message}",
            hint=error.hint,
        ) from error


def _register_bundle(bundle: Bundle, name: str, data: Any, labels: Any) -> ModelVersion:
    if labels is not None:
        raise UsageError(
            "A bundle has its labels already.", hint="Leave --labels out, or package the model with other ones."
        )
    manifest = bundle.manifest
    registry = open_registry()
    with progress(f"register {name}") as step:
        step("loading it as the server will")
        _require_that_it_loads(bundle)
        metrics = dict(manifest.measurements)
        if data is not None:
            from maas_jupyter.data import as_source
            from maas_jupyter.evaluation import score_bundle

            step("evaluating what will be served")
            metrics |= score_bundle(bundle, as_source(data, name="data"), subject=name)
        step("registering")
        params = {"task": manifest.task, "precision": manifest.precision, "digest": bundle.digest}
        with _tracked(registry, name, params) as run_id:
            return registry.register(name, bundle, run_id=run_id, metrics=metrics)
