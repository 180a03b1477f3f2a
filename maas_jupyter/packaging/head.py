"""The task's head, added to the exported graph, so that an endpoint answers with labels and scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from maas_jupyter.packaging.export import RAW_OUTPUT

if TYPE_CHECKING:
    from onnx import ModelProto

Normalization = Literal["softmax", "none"]


def normalization_for(output: Tensor) -> Normalization:
    """Say whether class outputs still have to be made probabilities.

    Parameters
    ----------
    output : Tensor, shape (rows, classes)
        What the model gives for real rows.
    """
    summed = torch.allclose(output.sum(1), torch.ones(len(output)), atol=1e-4)
    return "none" if summed and bool((output >= 0).all()) else "softmax"


def add_classification_head(graph: ModelProto, labels: list[str | int], normalization: Normalization) -> None:
    """Replace the graph's output by ``label`` (the class) and ``scores`` (a probability for each class)."""
    from onnx import TensorProto, helper

    classes = len(labels)
    nodes = graph.graph.node
    if normalization == "softmax":
        nodes.append(helper.make_node("Softmax", [RAW_OUTPUT], ["scores"], name="scores", axis=1))
    else:
        nodes.append(helper.make_node("Identity", [RAW_OUTPUT], ["scores"], name="scores"))
    nodes.append(helper.make_node("ArgMax", ["scores"], ["class_index"], name="class_index", axis=1, keepdims=0))
    texts = isinstance(labels[0], str)
    kind = TensorProto.STRING if texts else TensorProto.INT64
    values = [label.encode() if isinstance(label, str) else label for label in labels]
    graph.graph.initializer.append(helper.make_tensor("class_labels", kind, [classes], values))
    nodes.append(helper.make_node("Gather", ["class_labels", "class_index"], ["label"], name="label", axis=0))
    del graph.graph.output[:]
    graph.graph.output.extend(
        [
            helper.make_tensor_value_info("label", kind, ["batch"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", classes]),
        ]
    )


def rename_output(graph: ModelProto, name: str) -> None:
    """Give the graph's only output another name."""
    from onnx import helper

    graph.graph.node.append(helper.make_node("Identity", [RAW_OUTPUT], [name], name=name))
    graph.graph.output[0].name = name
