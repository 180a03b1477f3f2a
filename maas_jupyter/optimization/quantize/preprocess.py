"""What a graph goes through before it is quantized: constants folded, shapes inferred, attention fused.

onnxruntime's own fusions for transformers (``onnxruntime.transformers.optimizer``) find no attention in graphs of
torch's exporter: it transposes the keys in three dimensions, scales both factors and guards the softmax against NaN.
What they do find there (bias with GELU, sums with layer normalization) made an encoder of 22 M parameters slower, 88 ms
against 77, since onnxruntime fuses these as it loads a graph, and better. So only attention is fused, here: nothing
gained in fp32 at 78 tokens, 8 % at one short text, 9 % of the shortest and 1 % of the median time at 232 tokens; there
19 % of what int8 leaves.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.optimization.optimizer import Family
from maas_jupyter.optimization.original import Original
from maas_jupyter.optimization.quantize.graph import contents, require_float, seal_variant, toolkit, weights_apart
from maas_jupyter.packaging.export import save

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


class Fused:
    """Attention as one operator; the numbers stay what they are."""

    name = "fused"
    description = "attention as one operator, fp32"
    family: Family = "other"
    seconds = 3.0
    seconds_per_megabyte = 0.15

    def applies_to(self, original: Original) -> bool:
        """Say whether the graph may hold attention."""
        found = contents(original.bundle)
        return not found.quantized and {"Softmax", "MatMul", "Transpose"} <= found.weights.keys()

    def run(self, original: Original, folder: Path) -> Bundle:
        """Write the fused bundle into an empty folder.

        Raises
        ------
        Conflict
            If the model is quantized already.
        ExportError
            If the graph has no attention as torch exports it.
        """
        require_float(original, self.name)
        with toolkit(self.name), prepare(original.bundle) as graph:
            if not any(node.op_type == "MultiHeadAttention" for node in graph.graph.node):
                raise ValueError("The graph holds no attention of a known form")
            made = save(graph, folder / MODEL_FILE)
        return seal_variant(original, folder, "fp32", made)


@contextmanager
def prepare(bundle: Bundle) -> Iterator[ModelProto]:
    """Give a bundle's graph, ready to be quantized.

    Quantized without this pass a graph was measured slower than the original.
    """
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="maas-quantize-") as place:
        prepared = Path(place) / MODEL_FILE
        quant_pre_process(
            bundle.folder / MODEL_FILE,
            prepared,
            skip_symbolic_shape=True,
            save_as_external_data=weights_apart(bundle),
        )
        graph = onnx.load(str(prepared))
        fuse_attention(graph)
        yield graph


def turn_weights(graph: ModelProto) -> None:
    """Store the weights of linear layers as they are multiplied, in place.

    onnxruntime's quantizers turn them where they lie, once for each layer that uses them: weights that several layers
    share, or that rows are looked up in as well, would be turned too often, and the answers be wrong. Here layers that
    share weights share the turned ones, and who else uses them keeps them as they were.
    """
    from onnx import helper, numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    turned = {}
    for node in graph.graph.node:
        transposed = next((each for each in node.attribute if each.name == "transB" and each.i), None)
        if node.op_type != "Gemm" or transposed is None or node.input[1] not in tensors:
            continue
        name = node.input[1]
        if name not in turned:
            turned[name] = numpy_helper.from_array(
                np.ascontiguousarray(numpy_helper.to_array(tensors[name]).T), f"{name}.turned"
            )
        node.input[1] = turned[name].name
        node.attribute.remove(transposed)
        node.attribute.append(helper.make_attribute("transB", 0))
    graph.graph.initializer.extend(turned.values())
    used = {name for node in graph.graph.node for name in node.input}
    for name in turned.keys() - used:
        graph.graph.initializer.remove(tensors[name])


def fuse_attention(graph: ModelProto) -> int:
    """Replace scaled dot products, as torch's exporter writes them, by ``MultiHeadAttention``, in place.

    Parameters
    ----------
    graph : onnx.ModelProto
        With inferred shapes.

    Returns
    -------
    int
        How many were replaced; those of another form stay.
    """
    from onnx import helper
    from onnxruntime.transformers.onnx_model import OnnxModel

    pattern = _Pattern(graph)
    found = [match for node in graph.graph.node if (match := pattern.match(node)) is not None]
    if not found:
        return 0
    nodes = list(graph.graph.node)
    for last, attention in found:
        place = nodes.index(last)
        last.output[0] += ".unfused"
        nodes.insert(place, attention)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    if not any(opset.domain == "com.microsoft" for opset in graph.opset_import):
        graph.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    OnnxModel(graph).prune_graph()
    return len(found)


class _Pattern:
    """Looks for attention around a softmax."""

    def __init__(self, graph: ModelProto) -> None:
        from onnx import numpy_helper

        self._graph = graph
        self._maker = {output: node for node in graph.graph.node for output in node.output}
        self._users: dict[str, list[NodeProto]] = {}
        for node in graph.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
        self._ranks = {
            info.name: len(info.type.tensor_type.shape.dim)
            for info in graph.graph.value_info
            if info.type.tensor_type.HasField("shape")
        }
        self._array = numpy_helper.to_array

    def match(self, softmax: NodeProto) -> tuple[NodeProto, NodeProto] | None:
        """Return the last node of an attention and what does the same as all of its nodes; None where there is none."""
        from onnx import helper

        if softmax.op_type != "Softmax":
            return None
        product, bias = self._made_by(softmax.input[0], "MatMul"), ""
        if product is None:
            added = self._made_by(softmax.input[0], "Add")
            if added is None:
                return None
            product, bias = self._made_by(added.input[0], "MatMul"), added.input[1]
            if self._ranks.get(bias) != 4:
                return None
        if product is None:
            return None
        query, query_scale = self._scaled(product.input[0])
        key, key_scale = self._scaled(product.input[1])
        weighted = self._only_user(softmax.output[0])
        if weighted is None:  # the guard against NaN uses it twice
            guard = next((node for node in self._users.get(softmax.output[0], []) if node.op_type == "Where"), None)
            weighted = self._only_user(guard.output[0]) if guard is not None else None
        if weighted is None or weighted.op_type != "MatMul":
            return None
        heads = [self._split(query), self._split(self._turned(key)), self._split(weighted.input[1])]
        joined = self._joined(weighted)
        sizes = [split[1] for split in heads if split is not None]
        if joined is None or len(sizes) < 3 or len(set(sizes)) > 1:
            return None
        if bias:
            self._make_finite(bias)
        names = [split[0] for split in heads if split is not None]
        attention = helper.make_node(
            "MultiHeadAttention",
            [*names, *(["", "", bias] if bias else [])],
            [joined.output[0]],
            name=f"{softmax.name}.attention",
            domain="com.microsoft",
            num_heads=sizes[0],
            scale=query_scale * key_scale,
        )
        return joined, attention

    def _made_by(self, name: str | None, operator: str) -> NodeProto | None:
        node = self._maker.get(name or "")
        return node if node is not None and node.op_type == operator else None

    def _only_user(self, name: str) -> NodeProto | None:
        users = self._users.get(name, [])
        return users[0] if len(users) == 1 else None

    def _constant(self, name: str) -> np.ndarray | None:
        tensor = self._tensors.get(name)
        return None if tensor is None else self._array(tensor)

    def _scaled(self, name: str) -> tuple[str, float]:
        """Return what was scaled, and by how much."""
        scaled = self._made_by(name, "Mul")
        scale = self._constant(scaled.input[1]) if scaled is not None else None
        if scaled is None or scale is None or scale.size != 1:
            return name, 1.0
        return scaled.input[0], float(scale.reshape(()))

    def _turned(self, name: str) -> str | None:
        """Return the keys before torch's exporter transposed them in three dimensions."""
        back = self._made_by(name, "Reshape")
        turned = self._made_by(back.input[0], "Transpose") if back is not None else None
        flat = self._made_by(turned.input[0], "Reshape") if turned is not None and _axes(turned) == [0, 2, 1] else None
        return flat.input[0] if flat is not None else None

    def _split(self, name: str | None) -> tuple[str, int] | None:
        """Return the (rows, tokens, features) that were split into heads, and the number of these."""
        turned = self._made_by(name, "Transpose")
        if turned is None or _axes(turned) != [0, 2, 1, 3]:
            return None
        split = self._made_by(turned.input[0], "Reshape")
        if split is None:
            return None
        shape = self._made_by(split.input[1], "Concat")
        last = self._constant(shape.input[-1] if shape is not None else split.input[1])
        width = self._width(split.input[0])
        if last is None or not width or int(last.reshape(-1)[-1]) < 1:
            return None
        return split.input[0], width // int(last.reshape(-1)[-1])

    def _width(self, name: str) -> int:
        """Return how many features a linear layer gives; 0 where it is none."""
        added, product = self._made_by(name, "Add"), self._made_by(name, "MatMul")
        for node in (added, product):
            for constant in node.input if node is not None else ():
                if constant in self._tensors:
                    return int(self._tensors[constant].dims[-1])
        return 0

    def _joined(self, weighted: NodeProto) -> NodeProto | None:
        """Return the node that joins the heads again."""
        turned = self._only_user(weighted.output[0])
        if turned is None or turned.op_type != "Transpose" or _axes(turned) != [0, 2, 1, 3]:
            return None
        joined = self._only_user(turned.output[0])
        return joined if joined is not None and joined.op_type == "Reshape" else None

    def _make_finite(self, bias: str) -> None:
        """Let a mask hold the lowest number instead of minus infinity: a row of that alone would become NaN."""
        from onnx import numpy_helper

        chosen = self._made_by(bias, "Where")
        if chosen is None:
            return
        for place in (1, 2):
            value = self._constant(chosen.input[place])
            if value is not None and value.size == 1 and np.isneginf(value).all():
                name = f"{bias}.lowest"
                lowest = np.full(value.shape, np.finfo(np.float32).min, dtype=np.float32)
                self._graph.graph.initializer.append(numpy_helper.from_array(lowest, name))
                chosen.input[place] = name


def _axes(node: NodeProto) -> list[int]:
    return next((list(attribute.ints) for attribute in node.attribute if attribute.name == "perm"), [])
