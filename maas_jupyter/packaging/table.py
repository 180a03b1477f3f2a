"""Package a module that takes numbers and category indices into a bundle that takes the columns of a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from maas_jupyter.errors import InvalidInput
from maas_jupyter.packaging import export
from maas_jupyter.packaging.package import Packaged, Rows, package_rows
from maas_jupyter.schema import Task, TensorSpec

if TYPE_CHECKING:
    from onnx import ModelProto

#: Columns of these names would clash with the head's outputs.
_RESERVED = {"label", "scores", "prediction", "output"}
_PREFIX = "module/"


@dataclass(frozen=True)
class Categories:
    """How a column of texts becomes indices.

    Attributes
    ----------
    indices : mapping of str to int
        The index of each known value.
    unknown : int
        The index of every other value.
    """

    indices: Mapping[str, int]
    unknown: int


def package_table(
    model: nn.Module,
    columns: Mapping[str, Any],
    folder: Path,
    *,
    categories: Mapping[str, Categories],
    task: Task,
    labels: list[str | int] | None = None,
) -> Packaged:
    """Make a bundle, in an empty folder, that takes one input per column: FP32 ``[-1]`` numbers, BYTES ``[-1]`` texts.

    Parameters
    ----------
    model : torch.nn.Module
        Takes numbers FP32 ``(rows, number columns)`` and indices INT64 ``(rows, category columns)``, in this order; one
        of them where the table has no columns of the other kind.
    columns : mapping of str to array-like, or DataFrame
        Real rows for the export and its validation. Columns of numbers reach the module in this order.
    folder : Path
        Existing and empty; holds the bundle afterwards.
    categories : mapping of str to Categories
        The columns of texts, in the order in which they reach the module.
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
    _check_names(columns, categories)
    numbers = {name: _numbers(name, values) for name, values in columns.items() if name not in categories}
    texts = {name: _texts(name, columns[name]) for name in categories}
    lengths = {name: len(values) for name, values in {**numbers, **texts}.items()}
    if len(set(lengths.values())) != 1:
        raise InvalidInput(f"The columns differ in length: {lengths}.", hint="Give each column one value per row.")
    parts = []
    if numbers:
        parts.append(torch.from_numpy(np.stack(list(numbers.values()), axis=1)))
    if texts:
        encoded = [
            [categories[name].indices.get(value, categories[name].unknown) for value in values]
            for name, values in texts.items()
        ]
        parts.append(torch.tensor(encoded).T.contiguous())
    names = export.input_names(model, len(parts))
    targets = iter(names)
    gathered = [
        *([(next(targets), list(numbers))] if numbers else []),
        *([(next(targets), list(texts))] if texts else []),
    ]
    rows = Rows(
        sent={**numbers, **texts},
        signature=[
            *(TensorSpec(name, "FP32", [-1]) for name in numbers),
            *(TensorSpec(name, "BYTES", [-1]) for name in texts),
        ],
        tensors=tuple(parts),
        names=names,
        axes=export.only_rows(len(parts)),
        front=_table_front(gathered, categories),
    )
    return package_rows(model, rows, folder, task=task, labels=labels)


def _table_front(
    gathered: list[tuple[str, list[str]]], categories: Mapping[str, Categories]
) -> Callable[[ModelProto], None]:
    """Return what puts in front of a graph one input per column, for each ``(graph's input, columns)``."""

    def add(graph: ModelProto) -> None:
        from onnx import TensorProto, compose, helper

        # Columns keep their names, so what is inside the graph gives way.
        renamed = compose.add_prefix(graph, _PREFIX, rename_outputs=False)
        nodes, inputs = [], []
        axis = helper.make_tensor("maas.column_axis", TensorProto.INT64, [1], [1])
        for target, names in gathered:
            for name in names:
                known = categories.get(name)
                kind = TensorProto.STRING if known else TensorProto.FLOAT
                inputs.append(helper.make_tensor_value_info(name, kind, ["batch"]))
                values = name
                if known:
                    values = f"{_PREFIX}indices/{name}"
                    nodes.append(
                        helper.make_node(
                            "LabelEncoder",
                            [name],
                            [values],
                            name=values,
                            domain="ai.onnx.ml",
                            keys_strings=list(known.indices),
                            values_int64s=list(known.indices.values()),
                            default_int64=known.unknown,
                        )
                    )
                column = f"{_PREFIX}column/{name}"
                nodes.append(helper.make_node("Unsqueeze", [values, axis.name], [column], name=column))
            joined = [f"{_PREFIX}column/{name}" for name in names]
            nodes.append(helper.make_node("Concat", joined, [_PREFIX + target], name=f"{_PREFIX}{target}", axis=1))
        renamed.graph.initializer.append(axis)
        body = list(renamed.graph.node)
        del renamed.graph.node[:], renamed.graph.input[:]
        renamed.graph.node.extend([*nodes, *body])
        renamed.graph.input.extend(inputs)
        renamed.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
        graph.CopyFrom(renamed)

    return add


def _check_names(columns: Mapping[str, Any], categories: Mapping[str, Categories]) -> None:
    missing = [name for name in categories if name not in columns]
    if missing:
        raise InvalidInput(
            f"There is no column '{missing[0]}'.", hint=f"The columns are {', '.join(map(str, columns))}."
        )
    for name in columns:
        if not isinstance(name, str) or not name or name in _RESERVED:
            raise InvalidInput(
                f"A column cannot be called {name!r}.",
                hint=f"Rename it; {', '.join(sorted(_RESERVED))} are names of the answer.",
            )
    for name, known in categories.items():
        if not known.indices:
            raise InvalidInput(f"Column '{name}' has no known value.", hint="Give the indices that the model knows.")


def _numbers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "biuf":
        raise InvalidInput(
            f"Column '{name}' does not hold one number per row.", hint="Columns of texts are named in categories."
        )
    return array.astype(np.float32)


def _texts(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values, dtype=object)
    if array.ndim != 1 or not all(isinstance(value, str) for value in array):
        raise InvalidInput(
            f"Column '{name}' does not hold one text per row.", hint="Turn its values into texts, as clients will send."
        )
    return array
