"""The small models of the benchmarks, as bundles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from maas_jupyter.bundle import Bundle
from maas_jupyter.schema import Manifest, Signature, TensorSpec


def make_perceptron(folder: Path) -> Path:
    """Write a 64-128-10 perceptron as a bundle."""
    random = np.random.default_rng(0)
    first, second = (random.standard_normal(shape).astype("float32") for shape in ((64, 128), (128, 10)))
    nodes = [
        helper.make_node("MatMul", ["input", "first"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["output"]),
    ]
    _seal(folder, nodes, 64, 10, [numpy_helper.from_array(first, "first"), numpy_helper.from_array(second, "second")])
    return folder


def make_small_bundles(folder: Path, number: int) -> list[str]:
    """Write many bundles of one linear layer, 4 to 3, each under its digest; return the digests."""
    digests = []
    for seed in range(number):
        weights = np.random.default_rng(seed).standard_normal((4, 3)).astype("float32")
        place = folder / "new"
        node = helper.make_node("MatMul", ["input", "weights"], ["output"])
        bundle = _seal(place, [node], 4, 3, [numpy_helper.from_array(weights, "weights")])
        place.rename(folder / bundle.digest)
        digests.append(bundle.digest)
    return digests


def _seal(folder: Path, nodes: list[onnx.NodeProto], features: int, classes: int, weights: list[TensorProto]) -> Bundle:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", features])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", classes])],
        weights,
    )
    folder.mkdir(parents=True)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(folder / "model.onnx"))
    signature = Signature([TensorSpec("input", "FP32", [-1, features])], [TensorSpec("output", "FP32", [-1, classes])])
    return Bundle.seal(
        folder, Manifest(task="tensor", runtime="onnx", precision="fp32", signature=signature), ["model.onnx"]
    )
