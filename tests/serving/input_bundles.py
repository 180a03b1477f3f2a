"""Small bundles whose inputs the server has to preprocess, written by hand."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from maas_jupyter.bundle import Bundle
from maas_jupyter.schema import ImageInput, Manifest, Signature, TensorSpec, TextInput

WORDS = "the quick brown fox jumps over a lazy dog"
TEXT = TextInput(tensors={"ids": "ids", "mask": "mask"}, max_length=16)
PIXELS = ImageInput(tensor="pixels", height=4, width=6, mean=[0.0] * 3, std=[1.0] * 3, scale=1)


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def model(nodes, inputs, outputs, initializers=()):
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def seal(folder, graph, *, preprocessing, inputs=None, files=("model.onnx",), **fields):
    """A bundle with a tokenizer beside the graph, and one raw input for each preprocessing."""
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(
        [WORDS], trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    inputs = inputs or [TensorSpec(name, "BYTES", [-1]) for name in preprocessing]
    manifest = Manifest(
        task="tensor",
        runtime="onnx",
        precision="fp32",
        signature=Signature(inputs, [TensorSpec("output", "FP32", [-1, 3])]),
        preprocessing=preprocessing,
        **fields,
    )
    return Bundle.seal(folder, manifest, files)


def mean_of_words():
    """Mean of the words' vectors where the mask is 1: ids, mask INT64[-1, -1] -> output FP32[-1, 3]."""
    table = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["vectors"]),
        helper.make_node("Cast", ["mask"], ["weights"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["weights", "last"], ["column"]),
        helper.make_node("Mul", ["vectors", "column"], ["masked"]),
        helper.make_node("ReduceSum", ["masked", "one"], ["sum"], keepdims=0),
        helper.make_node("ReduceSum", ["weights", "one"], ["count"], keepdims=1),
        helper.make_node("Div", ["sum", "count"], ["output"]),
    ]
    return model(
        nodes,
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"]) for name in ("ids", "mask")],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 3])],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(np.array([-1]), "last"),
            numpy_helper.from_array(np.array([1]), "one"),
        ],
    )


def mean_of_pixels():
    """Mean of each channel: pixels FP32[-1, 3, 4, 6] -> output FP32[-1, 3]."""
    return model(
        [helper.make_node("ReduceMean", ["pixels"], ["output"], axes=[2, 3], keepdims=0)],
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["rows", 3, 4, 6])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["rows", 3])],
    )


def png(value):
    """A picture of one colour."""
    file = BytesIO()
    Image.new("RGB", (9, 7), (value, 0, 255)).save(file, "PNG")
    return file.getvalue()
