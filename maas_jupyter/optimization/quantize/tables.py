"""Tables of embeddings in int8, with a scale for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

#: Smaller tables are not worth three operators more.
_LEAST_NUMBERS = 100_000


def quantize_tables(graph: ModelProto) -> None:
    """Store large tables that rows are looked up in as int8, in place.

    A row is made float again after it was looked up, so the table stays small in memory too. Each row has a scale of
    its own: a rare word with large numbers does not coarsen the others.
    """
    from onnx import TensorProto, helper, numpy_helper

    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    users: dict[str, int] = {}
    for node in graph.graph.node:
        for name in node.input:
            users[name] = users.get(name, 0) + 1
    made = []
    for node in graph.graph.node:
        table = tensors.get(node.input[0]) if node.op_type == "Gather" else None
        rows = helper.get_node_attr_value(node, "axis") if table is not None and node.attribute else 0
        if (
            table is None
            or rows != 0
            or table.data_type != TensorProto.FLOAT
            or len(table.dims) != 2
            or np.prod(table.dims) < _LEAST_NUMBERS
            or users[table.name] > 1  # shared with a linear layer
        ):
            made.append(node)
            continue
        values = numpy_helper.to_array(table)
        scales = np.maximum(np.abs(values).max(1, keepdims=True), np.finfo(np.float32).tiny) / 127
        name = table.name
        graph.graph.initializer.remove(table)
        graph.graph.initializer.extend(
            [
                numpy_helper.from_array(np.rint(values / scales).astype(np.int8), f"{name}.int8"),
                numpy_helper.from_array(scales.astype(np.float32), f"{name}.scale"),
            ]
        )
        index, output = node.input[1], node.output[0]
        made += [
            helper.make_node("Gather", [f"{name}.int8", index], [f"{output}.int8"], name=f"{output}.rows"),
            helper.make_node("Gather", [f"{name}.scale", index], [f"{output}.scale"], name=f"{output}.scales"),
            helper.make_node(
                "Cast", [f"{output}.int8"], [f"{output}.float"], name=f"{output}.cast", to=TensorProto.FLOAT
            ),
            helper.make_node("Mul", [f"{output}.float", f"{output}.scale"], [output], name=f"{output}.product"),
        ]
    del graph.graph.node[:]
    graph.graph.node.extend(made)
