"""Small bundles, written by hand."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from maas_jupyter import schema
from maas_jupyter.schema import FileEntry, Manifest, Signature, TensorSpec

WEIGHTS = np.arange(12, dtype=np.float32).reshape(4, 3) / 10


def _model(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model


def linear_softmax(scale: float = 1.0):
    """Softmax over a linear layer: x FP32[-1, 4] -> label INT64[-1], scores FP32[-1, 3]."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["scores"], axis=-1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=-1, keepdims=0),
    ]
    model = _model(
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 3]),
        ],
        [numpy_helper.from_array(WEIGHTS * np.float32(scale), "w")],
    )
    signature = Signature(
        [TensorSpec("x", "FP32", [-1, 4])], [TensorSpec("label", "INT64", [-1]), TensorSpec("scores", "FP32", [-1, 3])]
    )
    return model, signature


def labelled():
    """Hand an integer and a text through: n INT64[-1], text BYTES[-1] -> label BYTES[-1], number INT64[-1]."""
    nodes = [helper.make_node("Identity", ["text"], ["label"]), helper.make_node("Identity", ["n"], ["number"])]
    model = _model(
        nodes,
        [
            helper.make_tensor_value_info("n", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("text", TensorProto.STRING, ["rows"]),
        ],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["rows"]),
            helper.make_tensor_value_info("number", TensorProto.INT64, ["rows"]),
        ],
    )
    signature = Signature(
        [TensorSpec("n", "INT64", [-1]), TensorSpec("text", "BYTES", [-1])],
        [TensorSpec("label", "BYTES", [-1]), TensorSpec("number", "INT64", [-1])],
    )
    return model, signature


def two_inputs():
    """Add two columns, one of them through a table of 3 rows: a FP32[-1], i INT64[-1] -> prediction FP32[-1]."""
    nodes = [helper.make_node("Gather", ["table", "i"], ["b"]), helper.make_node("Add", ["a", "b"], ["prediction"])]
    model = _model(
        nodes,
        [
            helper.make_tensor_value_info("a", TensorProto.FLOAT, ["rows"]),
            helper.make_tensor_value_info("i", TensorProto.INT64, ["rows"]),
        ],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["rows"])],
        [numpy_helper.from_array(np.array([10, 20, 30], dtype=np.float32), "table")],
    )
    signature = Signature(
        [TensorSpec("a", "FP32", [-1]), TensorSpec("i", "INT64", [-1])], [TensorSpec("prediction", "FP32", [-1])]
    )
    return model, signature


class Bundles:
    """Writes bundles into a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def make(self, model_and_signature, **fields) -> Path:
        model, signature = model_and_signature
        return self.write(model.SerializeToString(), signature, **fields)

    def write(self, graph: bytes, signature: Signature, **fields) -> Path:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir(parents=True)
        (folder / "model.onnx").write_bytes(graph)
        entries = {"model.onnx": FileEntry(hashlib.sha256(graph).hexdigest(), len(graph))}
        kinds = {"task": "classification", "runtime": "onnx", "precision": "fp32", **fields}
        manifest = Manifest(signature=signature, files=entries, **kinds)
        (folder / "maas.json").write_bytes(schema.encode(manifest))
        return folder

    @staticmethod
    def digest(folder: Path) -> str:
        return hashlib.sha256((folder / "maas.json").read_bytes()).hexdigest()
