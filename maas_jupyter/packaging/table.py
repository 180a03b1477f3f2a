"""Package a module that takes encoded columns into a bundle that takes the columns of a table as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from maas_jupyter.data.source import TableSource
from maas_jupyter.data.table import RESERVED_START, CategoryColumn, NumberColumn, TablePreprocessing, check_names
from maas_jupyter.errors import InvalidInput
from maas_jupyter.packaging import export
from maas_jupyter.packaging.package import Packaged, Rows, empty_folder, package_rows
from maas_jupyter.schema import Task, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

#: Names in the graph that no column has.
_PREFIX, _FRONT = f"{RESERVED_START}module/", f"{RESERVED_START}table/"


def package_table(
    model: nn.Module,
    columns: Mapping[str, Any],
    folder: Path | str,
    *,
    preprocessing: TablePreprocessing,
    task: Task,
    labels: list[str | int] | None = None,
) -> Packaged:
    """Make a bundle, in a folder of its own, that takes one input per column.

    Numbers are FP32 ``[-1]``, NaN where one is missing, texts BYTES ``[-1]``, ``""`` where one is. The graph fills and
    encodes them.

    Parameters
    ----------
    model : torch.nn.Module
        Takes what the preprocessing makes of the columns.
    columns : mapping of str to array-like, or DataFrame
        Real rows for the export and its validation.
    folder : Path or str
        As for `package`.
    preprocessing : TablePreprocessing
        The one that the model was trained with. ``NumberColumn("size")`` leaves the numbers of a column as they are.
    task, labels
        As for `package`.

    Returns
    -------
    Packaged

    Raises
    ------
    ExportError
        If the model cannot be exported, or its export computes something else.
    InvalidInput
        If a column is missing, has a name that cannot be, or holds something else than it should, or there is none.
    """
    target = empty_folder(folder)
    check_names(preprocessing.kinds)
    for column in preprocessing.categories:
        if not column.indices:
            raise InvalidInput(
                f"Column '{column.name}' has no known value.", hint="Give the indices that the model knows."
            )
    sent = {name: _values(name, kind, columns) for name, kind in preprocessing.kinds.items()}
    lengths = {name: len(values) for name, values in sent.items()}
    if len(set(lengths.values())) != 1:
        raise InvalidInput(f"The columns differ in length: {lengths}.", hint="Give each column one value per row.")
    # A last row in which everything is missing: what the graph makes of that is compared too.
    sent = {
        name: np.append(values, np.array([np.nan if values.dtype != object else ""], dtype=values.dtype))
        for name, values in sent.items()
    }
    tensors = preprocessing.tensors(TableSource(columns=sent))
    names = export.input_names(model, len(tensors))
    rows = Rows(
        sent=sent,
        signature=[
            TensorSpec(name, "FP32" if kind == "number" else "BYTES", [-1])
            for name, kind in preprocessing.kinds.items()
        ],
        tensors=tensors,
        names=names,
        axes=export.only_rows(len(tensors)),
        front=_table_front(preprocessing, names),
    )
    return package_rows(model, rows, target, task=task, labels=labels)


def _table_front(preprocessing: TablePreprocessing, targets: list[str]) -> Callable[[ModelProto], None]:
    """Return what puts in front of a graph one input per column, and what makes the graph's inputs of them."""

    def add(graph: ModelProto) -> None:
        from onnx import TensorProto, compose, helper

        # Columns keep their names, so what is inside the graph gives way.
        renamed = compose.add_prefix(graph, _PREFIX, rename_outputs=False)
        front = _Front()
        numbers = front.numbers(preprocessing.numbers)
        if preprocessing.encoding == "one-hot":
            parts = [*numbers, *(front.one_hot(column) for column in preprocessing.categories)]
            front.join(parts, targets[0])
        else:
            indices = [front.column(front.indices(column), column.name) for column in preprocessing.categories]
            left = iter(targets)
            for columns in (numbers, indices):
                if columns:
                    front.join(columns, next(left))
        body = list(renamed.graph.node)
        del renamed.graph.node[:], renamed.graph.input[:]
        renamed.graph.node.extend([*front.nodes, *body])
        renamed.graph.initializer.extend(front.constants)
        for name, kind in preprocessing.kinds.items():
            element = TensorProto.FLOAT if kind == "number" else TensorProto.STRING
            renamed.graph.input.append(helper.make_tensor_value_info(name, element, ["batch"]))
        renamed.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        graph.CopyFrom(renamed)

    return add


class _Front:
    """The nodes between a table's columns and a graph's inputs; every step in float32 and in the order of training."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._axis = self._constant("axis", np.array([1], dtype=np.int64))

    def numbers(self, columns: list[NumberColumn]) -> list[str]:
        """Return all numbers as one tensor: what is missing filled, standardised."""
        if not columns:
            return []
        raw = [self.column(column.name, column.name) for column in columns]
        joined = self._node("Concat", raw, "raw", axis=1)
        missing = self._node("IsNaN", [joined], "missing")
        values = {
            field: self._constant(field, np.array([getattr(column, field) for column in columns], dtype=np.float32))
            for field in ("median", "mean", "std")
        }
        filled = self._node("Where", [missing, values["median"], joined], "filled")
        centered = self._node("Sub", [filled, values["mean"]], "centered")
        return [self._node("Div", [centered, values["std"]], "standardised")]

    def indices(self, column: CategoryColumn) -> str:
        """Return the indices of a column's texts."""
        return self._node(
            "LabelEncoder",
            [column.name],
            f"indices/{column.name}",
            domain="ai.onnx.ml",
            keys_strings=list(column.indices),
            values_int64s=list(column.indices.values()),
            default_int64=column.unknown,
            doc_string=column.common,  # explanations start there
        )

    def one_hot(self, column: CategoryColumn) -> str:
        """Return a number for each known text of a column."""
        table = self._constant(f"one_hot_table/{column.name}", column.one_hot())
        return self._node("Gather", [table, self.indices(column)], f"one_hot/{column.name}", axis=0)

    def column(self, values: str, name: str) -> str:
        """Return values ``(rows,)`` as ``(rows, 1)``."""
        return self._node("Unsqueeze", [values, self._axis], f"column/{name}")

    def join(self, parts: list[str], target: str) -> None:
        """Let the graph's input be these parts side by side."""
        self._node("Concat", parts, target, prefix=_PREFIX, axis=1)

    def _constant(self, name: str, values: np.ndarray) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(values, _FRONT + name))
        return _FRONT + name

    def _node(self, kind: str, inputs: list[str], output: str, *, prefix: str = _FRONT, **attributes: Any) -> str:
        from onnx import helper

        name = prefix + output
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name


def _values(name: str, kind: str, columns: Mapping[str, Any]) -> np.ndarray:
    if name not in columns:
        raise InvalidInput(f"There is no column '{name}'.", hint=f"The columns are {', '.join(map(str, columns))}.")
    if kind == "number":
        array = np.asarray(columns[name])
        if array.ndim != 1 or array.dtype.kind not in "biuf":
            raise InvalidInput(
                f"Column '{name}' does not hold one number per row.",
                hint="Columns of texts are categories of the preprocessing.",
            )
        return array.astype(np.float32)
    array = np.asarray(columns[name], dtype=object)
    if array.ndim != 1 or not all(isinstance(value, str) for value in array):
        raise InvalidInput(
            f"Column '{name}' does not hold one text per row.", hint="Turn its values into texts, as clients will send."
        )
    return array
