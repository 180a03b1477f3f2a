"""Export of a torch module to ONNX with a dynamic batch."""

from __future__ import annotations

import copy
import inspect
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maas_jupyter.errors import ExportError

if TYPE_CHECKING:
    from onnx import ModelProto

#: The name that the module's own output has in the graph, before the task's head.
RAW_OUTPUT = "maas.raw"

#: The free axes of a tensor by their index; axes that share a ``torch.export.Dim`` are always of the same size.
Axes = Mapping[int, Any]


def only_rows(count: int) -> tuple[Axes, ...]:
    """Return the axes of tensors whose number of rows is free, and nothing else."""
    batch = torch.export.Dim("batch")
    return tuple({0: batch} for _ in range(count))


def export_onnx(
    model: nn.Module, inputs: tuple[Tensor, ...], *, names: Sequence[str], axes: Sequence[Axes]
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

    Returns
    -------
    onnx.ModelProto
        With one output, and with any size of the free axes.

    Raises
    ------
    ExportError
        If torch cannot export it: the reason, and what to do.
    """
    import onnx

    still = copy.deepcopy(model).cpu().eval()
    # Two rows: a batch of one would be taken for a constant.
    example = tuple(
        torch.cat([tensor[:1], tensor[:1]]).cpu() if len(tensor) < 2 else tensor[:2].cpu() for tensor in inputs
    )
    with _quiet():
        try:
            program = torch.onnx.export(
                still,
                example,
                dynamo=True,
                input_names=list(names),
                output_names=[RAW_OUTPUT],
                dynamic_shapes=_dynamic_shapes(still, axes),
                verbose=False,
            )
        except Exception as error:
            # The exporter raises whatever the model's code or its own passes raise.
            raise ExportError(
                f"The model cannot be exported to ONNX: {_reason(error)}",
                hint="Replace what depends on the values of a tensor (if, while, .item(), .tolist(), numpy) "
                "by torch operations such as torch.where, and keep the batch axis free.",
            ) from error
    graph = program.model_proto if program is not None else None
    if graph is None or len(graph.graph.output) != 1:
        raise ExportError("The exported model does not have exactly one output.", hint="Let forward return one tensor.")
    _anonymise(graph)
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise ExportError(
            f"The exported graph is not valid: {_reason(error)}",
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


def save(graph: ModelProto, path: Path) -> None:
    """Write a graph as one file.

    Raises
    ------
    ExportError
        If it is larger than the 2 GB that one file can hold.
    """
    import onnx

    size = graph.ByteSize()
    if size >= onnx.checker.MAXIMUM_PROTOBUF:
        raise ExportError(
            f"The model is {size / 1e9:.1f} GB; a graph in one file can have 2 GB.", hint="Use a smaller model."
        )
    onnx.save(graph, str(path))


def _dynamic_shapes(model: nn.Module, axes: Sequence[Axes]) -> tuple[object, ...]:
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


def _reason(error: BaseException) -> str:
    deepest = error
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    lines = [line.strip() for line in str(deepest).splitlines() if line.strip()]
    text = re.sub(r"\x1b\[[0-9;]*m", "", lines[0]) if lines else ""
    return f"{type(deepest).__name__}: {text}"[:400]


@contextmanager
def _quiet() -> Iterator[None]:
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
