"""Files for other systems: ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from maas_jupyter.api.progress import progress
from maas_jupyter.api.subjects import is_module, is_run, open_registry, to_module, to_version
from maas_jupyter.arguments import DataArgument, ModelArgument, ValueOrWord
from maas_jupyter.errors import UsageError

if TYPE_CHECKING:
    from maas_jupyter.packaging import Exported
    from maas_jupyter.packaging.intake import Exportable


def export(
    model: ModelArgument,
    *,
    to: str,
    format: str | None = None,
    data: DataArgument = None,
    tokenizer: ValueOrWord = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model into a file for other systems: ONNX, torch.export or TorchScript.

    A module, or that of a run, is exported as it is: the file takes the tensors that it takes, in any number of rows,
    and of any length where they are texts. It is compared with the module on real rows and on random ones of several
    sizes, and is only there if the numbers agree. Of a registered version the file is the ONNX graph that is served.

    Files of torch.export and TorchScript can hold code, so they are for who trusts their maker; the model server opens
    neither. Torch itself advises against TorchScript for new work.

    Parameters
    ----------
    model : torch.nn.Module, Run, ModelVersion or str
        What to export.
    to : str
        The file. Its ending says the format: .onnx, .pt2 (torch.export), .pt (TorchScript).
    format : str
        onnx, pt2 or torchscript, where the file's name does not say.
    data : rows in any form, or a mapping of tensors by the names of forward's arguments
        Rows that show what goes into a module; of a run its training rows by default.
    tokenizer : tokenizer or str
        For texts; that of a loaded model by default.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Exported

    Raises
    ------
    ExportError
        If the module cannot be exported, or the export computes something else: says where in the module.
    UsageError
        If the format is unknown, rows are missing, or a registered version is asked for in another format than ONNX.
    Conflict
        If the file exists.
    """
    from maas_jupyter.packaging import check_target, export_bundle, export_module, target_of

    path, form = target_of(to, format)
    check_target(path, overwrite=overwrite)
    if is_module(model) or is_run(model):
        subject = model.name if is_run(model) else type(model).__name__
        with progress(f"export {subject}") as step:
            step("preparing the rows")
            what = _of_run(model, data) if is_run(model) else _of_module(model, data, tokenizer, path)
            step(f"exporting to {path.name} and comparing its numbers")
            return export_module(what.module, what.inputs, what.axes, path, form, subject=subject, task=what.task)
    registry = open_registry()
    version = to_version(model, registry)
    if form != "onnx":
        raise UsageError(
            f"{version.reference} is registered as an ONNX graph, and torch's formats need the torch module.",
            hint="Name the variable that holds the module or the run, with --data ROWS; or export to a .onnx file.",
        )
    with progress(f"export {version.reference}") as step:
        step("fetching the bundle")
        return export_bundle(registry.fetch(version), path, subject=version.reference)


def _of_module(model: ModelArgument, data: DataArgument, tokenizer: ValueOrWord, path: Path) -> Exportable:
    from maas_jupyter.packaging.intake import exportable

    if data is None:
        raise UsageError(
            "A module is exported with rows that show what goes into it.",
            hint=f"Add --data: %maas export VARIABLE --to {path.name} --data ROWS",
        )
    return exportable(to_module(model), data, tokenizer=tokenizer)


def _of_run(run: ModelArgument, data: DataArgument) -> Exportable:
    from maas_jupyter.data import as_source
    from maas_jupyter.packaging.intake import answering_with_a_tensor, of_prepared

    if run.prepared is None:
        raise UsageError(
            "The run of a language model is not exported.", hint="run.save(FOLDER) keeps it as transformers loads it."
        )
    prepared = run.prepared if data is None else run.prepared.like(as_source(data, name="data"))
    return of_prepared(answering_with_a_tensor(to_module(run)), prepared)
