"""The task's head, added to the exported graph, so that an endpoint answers with labels and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from maas_jupyter.packaging.export import RAW_OUTPUT
from maas_jupyter.schema import TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

Normalization = Literal["softmax", "none"]

# Names with a dot in front of a word that no module's parameter has.
_CAST, _INDEX, _LABELS = "maas.output", "maas.class_index", "maas.class_labels"


def normalization_for(output: Tensor) -> Normalization:
    """Say whether class outputs still have to be made probabilities.

    Parameters
    ----------
    output : Tensor, shape (rows, classes)
        What the model gives for real rows.
    """
    summed = torch.allclose(output.sum(1), torch.ones(len(output)), atol=1e-4)
    return "none" if summed and bool((output >= 0).all()) else "softmax"


def add_classification_head(
    graph: ModelProto, labels: list[str | int], normalization: Normalization
) -> list[TensorSpec]:
    """Replace the graph's output by ``label`` (the class) and ``scores`` (a probability for each class).

    Returns
    -------
    list of TensorSpec
        The outputs, ``scores`` last.
    """
    from onnx import TensorProto, helper

    classes = len(labels)
    nodes = graph.graph.node
    # A model of another precision answers in float32 too, as the signature says.
    nodes.append(helper.make_node("Cast", [RAW_OUTPUT], [_CAST], name=_CAST, to=TensorProto.FLOAT))
    if normalization == "softmax":
        nodes.append(helper.make_node("Softmax", [_CAST], ["scores"], name="maas.scores", axis=1))
    else:
        nodes.append(helper.make_node("Identity", [_CAST], ["scores"], name="maas.scores"))
    nodes.append(helper.make_node("ArgMax", ["scores"], [_INDEX], name=_INDEX, axis=1, keepdims=0))
    texts = isinstance(labels[0], str)
    kind = TensorProto.STRING if texts else TensorProto.INT64
    values = [label.encode() if isinstance(label, str) else label for label in labels]
    graph.graph.initializer.append(helper.make_tensor(_LABELS, kind, [classes], values))
    nodes.append(helper.make_node("Gather", [_LABELS, _INDEX], ["label"], name="maas.label", axis=0))
    del graph.graph.output[:]
    graph.graph.output.extend(
        [
            helper.make_tensor_value_info("label", kind, ["batch"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes]),
        ]
    )
    return [TensorSpec("label", "BYTES" if texts else "INT64", [-1]), TensorSpec("scores", "FP32", [-1, classes])]


def add_regression_head(graph: ModelProto) -> TensorSpec:
    """Replace the graph's output by ``prediction``, in float32."""
    from onnx import TensorProto, helper

    node = helper.make_node("Cast", [RAW_OUTPUT], ["prediction"], name="maas.prediction", to=TensorProto.FLOAT)
    graph.graph.node.append(node)
    graph.graph.output[0].name = "prediction"
    graph.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return TensorSpec("prediction", "FP32", _shape(graph))


def name_output(graph: ModelProto, datatype: str) -> TensorSpec:
    """Call the graph's output ``output`` and leave it as it is."""
    from onnx import helper

    graph.graph.node.append(helper.make_node("Identity", [RAW_OUTPUT], ["output"], name="maas.output"))
    graph.graph.output[0].name = "output"
    return TensorSpec("output", datatype, _shape(graph))


def _shape(graph: ModelProto) -> list[int]:
    """Return the shape of the only output, -1 for what is free."""
    sizes = graph.graph.output[0].type.tensor_type.shape.dim
    return [size.dim_value if size.HasField("dim_value") else -1 for size in sizes]
