"""Export of a torch module to ONNX with a dynamic batch."""

from __future__ import annotations

import copy
import inspect
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maas_jupyter.errors import ExportError
from maas_jupyter.packaging.failures import not_exported, reason
from maas_jupyter.packaging.recurrent import shapes_only

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.onnx import ONNXProgram

#: The name that the module's own output has in the graph, before the task's head.
RAW_OUTPUT = "maas.raw"

#: Bytes of weights above which they lie in a file of their own: a graph's own file can have 2 GB.
LARGEST = 2_000_000_000

#: The free axes of a tensor by their index; axes that share a ``torch.export.Dim`` are always of the same size.
Axes = Mapping[int, Any]


def only_rows(count: int) -> tuple[Axes, ...]:
    """Return the axes of tensors whose number of rows is free, and nothing else."""
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in range(count))


def export_onnx(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    *,
    names: Sequence[str],
    axes: Sequence[Axes],
    path: Path | None = None,
) -> ModelProto:
    """Export a module in evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
        It is left as it is: device, mode and weights.
    inputs : tuple of Tensor
        Real rows, first axis the rows; their number does not matter.
    names : sequence of str
        What the graph's inputs are called.
    axes : sequence of Axes
        The free axes of each input.
    path : Path, optional
        Where the graph will be saved. Weights of more than `LARGEST` bytes are written beside it, as
        ``model.onnx.data`` beside ``model.onnx``, and are not in the graph that is returned.

    Returns
    -------
    onnx.ModelProto
        With one output, and with any size of the free axes.

    Raises
    ------
    ExportError
        If torch cannot export it: the reason, and what to do.
    """
    program = translate(still_copy(model), example_of(inputs), names=names, axes=axes, outputs=[RAW_OUTPUT])
    if len(program.model.graph.outputs) != 1:
        raise ExportError("The exported model does not have exactly one output.", hint="Let forward return one tensor.")
    return _checked(program, path)


def translate(
    still: nn.Module,
    example: tuple[Tensor, ...],
    *,
    names: Sequence[str],
    axes: Sequence[Axes],
    outputs: Sequence[str] | None = None,
) -> ONNXProgram:
    """Export what `still_copy` and `example_of` return.

    Raises
    ------
    ExportError
        If torch cannot export it.
    """
    with quiet(), shapes_only():
        try:
            program = torch.onnx.export(
                still,
                example,
                dynamo=True,
                input_names=list(names),
                output_names=outputs,
                dynamic_shapes=dynamic_shapes(still, axes),
                verbose=False,
            )
        except Exception as error:
            # The exporter raises whatever the model's code or its own passes raise.
            raise not_exported(error, still, "onnx") from error
    assert program is not None
    return program


def still_copy(model: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode on the CPU; weights that are there already are shared with it."""
    weights = {id(each): each.detach().cpu() for each in model.buffers()}
    weights |= {
        id(each): nn.Parameter(each.detach().cpu(), requires_grad=each.requires_grad) for each in model.parameters()
    }
    return copy.deepcopy(model, weights).eval()


def example_of(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return two rows: a batch of one would be taken for a constant."""
    return tuple(
        torch.cat([tensor[:1], tensor[:1]]).cpu() if len(tensor) < 2 else tensor[:2].cpu() for tensor in inputs
    )


def _checked(program: ONNXProgram, path: Path | None) -> ModelProto:
    """Return the program's graph once it was found valid, without weights where these are too large for it."""
    import onnx

    size = sum(each.const_value.nbytes for each in program.model.graph.initializers.values() if each.const_value)
    apart = size > LARGEST
    if apart:
        if path is None:
            raise ExportError(f"The model is {size / 1e9:.1f} GB; a graph alone can have 2 GB.")
        with quiet():
            program.save(path, external_data=True)
        graph = onnx.load(path, load_external_data=False)
    else:
        graph = program.model_proto
    _anonymise(graph)
    try:
        onnx.checker.check_model(str(path) if apart else graph)
    except onnx.checker.ValidationError as error:
        raise ExportError(
            f"The exported graph is not valid: {reason(error)}",
            hint="Look for a parameter and an argument of the module that have the same name.",
        ) from error
    return graph


def input_names(model: nn.Module, count: int) -> list[str]:
    """Return the names of the first positional arguments of ``forward``."""
    parameters = [
        name
        for name, parameter in inspect.signature(model.forward).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    if len(parameters) < count:
        return ["input"] if count == 1 else [f"input_{index}" for index in range(count)]
    # A name that the head's outputs need would make the graph ambiguous.
    taken = {"label", "scores", "prediction", "output", RAW_OUTPUT}
    return [f"{name}_input" if name in taken else name for name in parameters[:count]]


def save(graph: ModelProto, path: Path) -> list[str]:
    """Write a graph, and weights of more than `LARGEST` bytes into a file beside it.

    Returns
    -------
    list of str
        The names of all files that belong to it, those that its weights were in already included.
    """
    import onnx

    if graph.ByteSize() > LARGEST:
        onnx.save(graph, str(path), save_as_external_data=True, location=weights_name(path))
    else:
        path.write_bytes(graph.SerializeToString())
    return [path.name, *weight_files(graph)]


def weights_name(path: Path) -> str:
    """Return the name of the file with weights that do not fit into a graph's own."""
    return f"{path.name}.data"


def weight_files(graph: ModelProto) -> list[str]:
    """Return the names of the files that hold weights of a graph, beside it."""
    from onnx.external_data_helper import uses_external_data

    found = {
        entry.value
        for tensor in graph.graph.initializer
        if uses_external_data(tensor)
        for entry in tensor.external_data
        if entry.key == "location"
    }
    return sorted(found)


def dynamic_shapes(model: nn.Module, axes: Sequence[Axes]) -> tuple[object, ...]:
    """Return the free axes as ``torch.export`` takes them for this module's arguments."""
    parameters = inspect.signature(model.forward).parameters.values()
    if not any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return tuple(axes)
    # torch sees what *args takes as one tuple behind the named arguments.
    named = sum(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD) for parameter in parameters
    )
    return (*axes[:named], tuple(axes[named:]))


def _anonymise(graph: ModelProto) -> None:
    """Drop the exporter's notes: source paths of this machine, and shapes that later passes contradict."""
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.graph.value_info[:]
    del graph.graph.metadata_props[:]
    for node in graph.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for function in graph.functions:
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporter's notes on optional packages and deprecations out of the notebook."""
    # torch sets levels of its own on loggers of its own; while it exports, everything below an error is noise.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # It also prints the graph that it could not finish.
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
