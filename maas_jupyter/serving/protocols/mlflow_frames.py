"""MLflow's table forms (split, records, CSV) to arrays: columns become the model's inputs."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import NUMPY_DTYPES, Signature, TensorSpec
from maas_jupyter.serving.protocols.v1_values import decode_nested, describe, stack
from maas_jupyter.serving.responses import encode_json

_NULL = b"null"
_INTEGER = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: Cells that records may leave out beyond those that they have: a small body must not take much memory.
_HOLES = 1_000_000


class SplitFrame(Struct):
    """``dataframe_split``: pandas' orient ``split``, of which an index is not looked at."""

    data: list[list[msgspec.Raw]]
    columns: list[str | int] | None = None


class Frame(Struct):
    """A table: names of the columns (none where it came without), and its cells as JSON."""

    columns: list[str] | None
    rows: list[list[msgspec.Raw]]


def from_split(split: SplitFrame) -> Frame:
    """Return the table of ``dataframe_split``.

    Raises
    ------
    InvalidInput
        If a row has another number of cells than the first, or than there are columns.
    """
    columns = [str(name) for name in split.columns] if split.columns is not None else None
    return _checked(columns, split.data)


def from_records(records: list[dict[str, msgspec.Raw]]) -> Frame:
    """Return the table of ``dataframe_records``; a column that a row leaves out is null there."""
    columns = list(dict.fromkeys(name for record in records for name in record))
    if len(columns) * len(records) > 4 * sum(map(len, records)) + _HOLES:
        raise InvalidInput("The records of 'dataframe_records' hardly share a column.", hint="Send one table.")
    null = msgspec.Raw(_NULL)
    return Frame(columns, [[record.get(name, null) for name in columns] for record in records])


def from_csv(body: bytes, signature: Signature) -> Frame:
    """Return the table of a CSV file with a header. An empty cell is null, but for texts, where it is an empty text.

    Raises
    ------
    InvalidInput
        If it is not UTF-8, has no header, or has rows of different lengths.
    """
    try:
        lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"The body is not CSV: {error}", hint="Send UTF-8 with a header line.") from error
    rows = [line for line in lines if line]
    if not rows:
        raise InvalidInput("The CSV has no header.", hint="Its first line names the columns.")
    header, *rows = rows
    by_name = {spec.name: spec.datatype for spec in signature.inputs}
    kinds = [by_name.get(name, signature.inputs[0].datatype) for name in header]
    _checked(header, rows)
    return Frame(header, [[_cell(text, kind) for text, kind in zip(row, kinds, strict=True)] for row in rows])


def _cell(text: str, datatype: str) -> msgspec.Raw:
    """Return a CSV cell as the JSON that it means; what cannot be a number stays a text, and is refused as one."""
    if datatype == "BYTES":
        return msgspec.Raw(encode_json(text))
    bare = text.strip()
    if bare.lower() in ("", "nan"):
        return msgspec.Raw(_NULL)
    if datatype == "BOOL" and bare.lower() in ("true", "false"):
        return msgspec.Raw(bare.lower().encode())
    if _INTEGER.fullmatch(bare):
        sign = "-" if bare[0] == "-" else ""
        return msgspec.Raw(f"{sign}{bare.lstrip('+-0') or '0'}".encode())
    if _NUMBER.fullmatch(bare) and math.isfinite(number := float(bare)):
        return msgspec.Raw(encode_json(number))
    return msgspec.Raw(encode_json(text))


def _checked(columns: list[str] | None, rows: list[list[Any]]) -> Frame:
    if not rows:
        raise InvalidInput("The table has no rows.")
    width = len(columns) if columns is not None else len(rows[0])
    for index, row in enumerate(rows):
        if len(row) != width:
            raise InvalidInput(f"Row {index} of the table has {len(row)} cells, expected are {width}.")
    if columns is not None and len(set(columns)) != width:
        raise InvalidInput("Two columns of the table have the same name.")
    return Frame(columns, rows)


def frame_inputs(frame: Frame, signature: Signature) -> dict[str, np.ndarray]:
    """Turn a table into the model's inputs.

    Every input is the column of its name; further columns are not looked at, as in MLflow. A model with one input of
    ``[-1, n]`` whose name no column has takes all columns in their order.

    Parameters
    ----------
    frame : Frame
        The table. A null becomes NaN in a float input.
    signature : Signature
        The model's.

    Raises
    ------
    InvalidInput
        If a column is missing, or a cell does not fit its input.
    """
    specs, columns = signature.inputs, frame.columns or []
    if len(specs) == 1 and specs[0].name not in columns:
        (spec,) = specs
        if len(spec.shape) == 2:
            return {spec.name: _matrix(frame.rows, spec)}
        if frame.columns is None and len(frame.rows[0]) == 1:
            columns = [spec.name]
    missing = [spec.name for spec in specs if spec.name not in columns]
    if missing:
        raise InvalidInput(
            f"The table has no column '{missing[0]}'; the model takes {', '.join(map(str, specs))}.",
            hint=nearest(missing[0], [name[:128] for name in columns[:1000]], what="columns", otherwise=""),
        )
    positions = {name: index for index, name in enumerate(columns)}
    return {spec.name: _column([row[positions[spec.name]] for row in frame.rows], spec) for spec in specs}


def _matrix(rows: list[list[msgspec.Raw]], spec: TensorSpec) -> np.ndarray:
    width = spec.shape[1]
    if width not in (-1, len(rows[0])):
        raise InvalidInput(f"{describe(spec)}: the table has {len(rows[0])} columns, the model takes {width}.")
    flat = _column([cell for row in rows for cell in row], TensorSpec(spec.name, spec.datatype, [-1]))
    return flat.reshape(len(rows), len(rows[0]))


def _column(cells: list[msgspec.Raw], spec: TensorSpec) -> np.ndarray:
    """Decode one column: a number, text or list per row."""
    depth = len(spec.shape) - 1
    if depth:
        return stack([decode_nested(cell, spec, depth) for cell in cells], spec)
    nulls = [index for index, cell in enumerate(cells) if bytes(cell) == _NULL]
    if not nulls:
        return decode_nested(_list(cells), spec, 1)
    if np.dtype(NUMPY_DTYPES[spec.datatype]).kind != "f":
        raise InvalidInput(
            f"{describe(spec)}: row {nulls[0]} has no value.", hint="Only inputs of floating point can miss values."
        )
    zero = msgspec.Raw(b"0")
    filled = list(cells)
    for index in nulls:
        filled[index] = zero
    array = decode_nested(_list(filled), spec, 1)
    array[nulls] = np.nan
    return array


def _list(cells: list[msgspec.Raw]) -> bytes:
    return b"[" + b",".join(map(bytes, cells)) + b"]"
