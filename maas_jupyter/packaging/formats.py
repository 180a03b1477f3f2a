"""The three forms of an exported module: made, run and saved."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from maas_jupyter.errors import ExportError
from maas_jupyter.packaging.divergence import Run
from maas_jupyter.packaging.export import (
    Axes,
    dynamic_shapes,
    example_of,
    export_onnx,
    input_names,
    quiet,
    save,
    still_copy,
    translate,
)
from maas_jupyter.packaging.failures import Format, not_exported
from maas_jupyter.packaging.recurrent import shapes_only
from maas_jupyter.packaging.validate import Agreement, graph_runner, require_agreement
from maas_jupyter.schema import Task

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

#: Files that these are called by; the first one is added to a name without one.
SUFFIXES: dict[Format, tuple[str, ...]] = {"onnx": (".onnx",), "pt2": (".pt2",), "torchscript": (".pt", ".ts", ".pth")}


def checked_graph(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    names: Sequence[str],
    axes: tuple[Axes, ...],
    path: Path,
    *,
    task: Task,
) -> tuple[ModelProto, Agreement]:
    """Export a module to ONNX, and compare the graph with it.

    Parameters
    ----------
    model, inputs, names, axes, path
        As for `export.export_onnx`.
    task : {'classification', 'regression', 'tensor'}
        As for `validate.require_agreement`.

    Raises
    ------
    ExportError
        If it cannot be exported, or the graph computes something else.
    """
    floats = {each.dtype for each in (*inputs, *model.parameters()) if each.is_floating_point()}
    if torch.bfloat16 in floats:
        raise ExportError(
            "A model in bfloat16 has no graph that runs on a CPU.", hint="Export or register model.float() instead."
        )
    graph = export_onnx(model, inputs, names=names, axes=axes, path=path)
    agreement = require_agreement(
        lambda: graph_runner(graph, names, path.parent), model, inputs, axes, task=task, make=_make_graph
    )
    return graph, agreement


def write_graph(
    model: nn.Module, inputs: tuple[Tensor, ...], axes: tuple[Axes, ...], path: Path, task: Task
) -> Agreement:
    """Export a module to ONNX, with weights beside the graph where they are too large for it.

    Raises
    ------
    ExportError
        If it cannot be exported, or the graph computes something else.
    """
    graph, agreement = checked_graph(model, inputs, input_names(model, len(inputs)), axes, path, task=task)
    save(graph, path)
    return agreement


def write_program(
    model: nn.Module, inputs: tuple[Tensor, ...], axes: tuple[Axes, ...], path: Path, task: Task
) -> Agreement:
    """Export a module with ``torch.export`` to a ``.pt2`` file; no row and no path of this machine is kept in it.

    Raises
    ------
    ExportError
        If torch cannot export it, or the program computes something else.
    """
    program = _program(still_copy(model), example_of(inputs), axes, "pt2")
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    program.example_inputs = None
    agreement = require_agreement(lambda: _program_runner(program), model, inputs, axes, task=task, make=_make_program)
    with quiet():
        torch.export.save(program, path)
    return agreement


def write_trace(
    model: nn.Module, inputs: tuple[Tensor, ...], axes: tuple[Axes, ...], path: Path, task: Task
) -> Agreement:
    """Trace a module to a TorchScript file.

    A trace follows one way through the code whatever the values are; so what ``torch.export`` refuses, which looks for
    that, is refused here too.

    No row is kept in it.

    Raises
    ------
    ExportError
        If torch cannot export it, or the trace computes something else.
    """
    still, example = still_copy(model), example_of(inputs)
    _program(still, example, axes, "torchscript")
    traced = _traced(still, example)
    agreement = require_agreement(lambda: _trace_runner(traced), model, inputs, axes, task=task, make=_make_trace)
    whole = path.with_name(f"{path.name}.whole")
    with quiet():
        traced.save(str(whole))
    _strip(whole, path)
    whole.unlink()
    return agreement


#: What writes a module in a form.
WRITERS: dict[Format, Callable[..., Agreement]] = {
    "onnx": write_graph,
    "pt2": write_program,
    "torchscript": write_trace,
}


def _program_runner(program: ExportedProgram) -> Run:
    """Return what runs a program in this process."""
    with quiet():
        module = program.module()

    def run(tensors: tuple[Tensor, ...]) -> list[Tensor]:
        return _listed(module(*tensors))

    return run


def _trace_runner(traced: torch.jit.ScriptModule) -> Run:
    """Return what runs a traced module in this process."""

    def run(tensors: tuple[Tensor, ...]) -> list[Tensor]:
        with torch.no_grad():
            return _listed(traced(*tensors))

    return run


def _strip(whole: Path, path: Path) -> None:
    """Copy a TorchScript file without the notes on where in this machine's files its operations come from."""
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w") as target:
        for entry in source.infolist():
            if not entry.filename.endswith(".debug_pkl"):
                with source.open(entry) as data, target.open(entry.filename, "w", force_zip64=True) as copied:
                    shutil.copyfileobj(data, copied)


def _listed(answer: Tensor | tuple[Tensor, ...]) -> list[Tensor]:
    return [answer] if isinstance(answer, Tensor) else list(answer)


def _make_graph(module: nn.Module, example: tuple[Tensor, ...], axes: tuple[Axes, ...]) -> Run:
    names = [f"input_{index}" for index in range(len(example))]
    program = translate(module, example, names=names, axes=axes)
    return graph_runner(program.model_proto, names)


def _make_program(module: nn.Module, example: tuple[Tensor, ...], axes: tuple[Axes, ...]) -> Run:
    return _program_runner(_program(module, example, axes, "pt2"))


def _make_trace(module: nn.Module, example: tuple[Tensor, ...], axes: tuple[Axes, ...]) -> Run:
    return _trace_runner(_traced(module, example))


def _program(still: nn.Module, example: tuple[Tensor, ...], axes: tuple[Axes, ...], form: Format) -> ExportedProgram:
    with quiet(), shapes_only():
        try:
            return torch.export.export(still, example, dynamic_shapes=dynamic_shapes(still, axes))
        except Exception as error:
            # It raises whatever the module's code or its own passes raise.
            raise not_exported(error, still, form) from error


def _traced(still: nn.Module, example: tuple[Tensor, ...]) -> torch.jit.ScriptModule:
    with quiet(), torch.no_grad():
        try:
            traced: torch.jit.ScriptModule = torch.jit.trace(still, example, check_trace=False, _store_inputs=False)
        except Exception as error:
            # It raises whatever the module's code raises.
            raise not_exported(error, still, "torchscript") from error
    return traced
