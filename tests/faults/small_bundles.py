"""One small model that can be told from its neighbours: y = x * weights * scale."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maas_jupyter.bundle import Bundle
from maas_jupyter.schema import Manifest, Signature, TensorSpec


def make_bundle(folder, scale, padding=0):
    """Write a bundle; ``padding`` more numbers make it large."""
    weights = np.arange(12, dtype=np.float32).reshape(4, 3) * np.float32(scale)
    initializers = [numpy_helper.from_array(weights, "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    if padding:
        random = np.random.default_rng(int(scale * 1000)).standard_normal(padding).astype(np.float32)
        initializers.append(numpy_helper.from_array(random, "padding"))
        nodes = [
            helper.make_node("ReduceMin", ["padding"], ["smallest"], keepdims=0),
            helper.make_node("MatMul", ["x", "w"], ["product"]),
            helper.make_node("Max", ["product", "smallest"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3])],
        initializers,
    )
    folder.mkdir(parents=True)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), folder / "model.onnx"
    )
    signature = Signature([TensorSpec("x", "FP32", [-1, 4])], [TensorSpec("y", "FP32", [-1, 3])])
    Bundle.seal(folder, Manifest(task="tensor", runtime="onnx", precision="fp32", signature=signature), ["model.onnx"])
    return folder
