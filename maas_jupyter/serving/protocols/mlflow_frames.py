"""MLflow's table forms (split, records, CSV) to arrays: columns become the model's inputs."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.schema import NUMPY_DTYPES, Signature, TensorSpec, decoder
from maas_jupyter.serving.protocols.v1_values import MAX_CELLS, check_cells, decode_nested, describe, too_many_cells
from maas_jupyter.serving.responses import decode_body, encode_json

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
#: What only numbers are made of, so that Python reads nothing else out of it: not ``1_0``, ``inf`` or other digits.
_NUMERIC = "0123456789+-.eE \t"


class SplitFrame(Struct):
    """``dataframe_split``: pandas' orient ``split``, of which an index is not looked at."""

    data: msgspec.Raw
    columns: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class Frame(NamedTuple):
    """A table: names of the columns (none where it came without), its cells, and what makes values of cells."""

    columns: list[str] | None
    rows: list[list[Any]]
    values: Callable[[list[Any], str], list[Any]] = lambda cells, datatype: cells


_COLUMNS = decoder(list[str | int] | None)
_ROWS = decoder(list[list[Any]])
_RECORDS = decoder(list[dict[str, Any]])


def from_split(split: SplitFrame) -> Frame:
    """Return the table of ``dataframe_split``.

    Raises
    ------
    InvalidInput
        If it is malformed or too large, or a row has another number of cells than the first, or than there are columns.
    """
    check_cells(split.data, b",[{", "dataframe_split")
    columns = None
    if split.columns is not msgspec.UNSET:
        check_cells(split.columns, b",", "dataframe_split")
        names = decode_body(split.columns, _COLUMNS, expected='"columns": ["NAME", ...]')
        columns = [str(name) for name in names] if names is not None else None
    return _checked(Frame(columns, decode_body(split.data, _ROWS, expected='"data": [[...], ...]')))


def from_records(raw: msgspec.Raw) -> Frame:
    """Return the table of ``dataframe_records``; a column that a row leaves out is null there.

    Raises
    ------
    InvalidInput
        If it is malformed or too large, or has no rows.
    """
    check_cells(raw, b",[{", "dataframe_records")
    records = decode_body(raw, _RECORDS, expected='"dataframe_records": [{"COLUMN": value, ...}, ...]')
    columns = list(dict.fromkeys(name for record in records for name in record))
    if len(columns) * len(records) > MAX_CELLS:
        raise too_many_cells("dataframe_records")
    return _checked(Frame(columns, [[record.get(name) for name in columns] for record in records]))


def from_csv(body: bytes) -> Frame:
    """Return the table of a CSV file with a header. An empty cell is null, but for texts, where it is an empty text.

    Raises
    ------
    InvalidInput
        If it is not UTF-8, has no header, has rows of different lengths, or is too large.
    """
    rows: list[list[str]] = []
    cells = 0
    try:
        for row in csv.reader(_lines(io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline=""))):
            cells += len(row)
            if cells > MAX_CELLS:
                raise too_many_cells("text/csv")
            if row:
                rows.append(row)
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"The body is not CSV: {error}", hint="Send UTF-8 with a header line.") from error
    if not rows:
        raise InvalidInput("The CSV has no header.", hint="Its first line names the columns.")
    header, *rows = rows
    return _checked(Frame(header, rows, _values_of_texts))


def _lines(file: io.TextIOWrapper) -> Iterator[str]:
    for line in file:
        if line.count(",") > MAX_CELLS:  # the reader makes all cells of a line at once
            raise too_many_cells("text/csv")
        yield line


def _values_of_texts(texts: list[str], datatype: str) -> list[Any]:
    """Return what CSV cells mean; what cannot be a number stays a text, and is refused as one."""
    if datatype == "BYTES":
        return texts
    if not "".join(texts).strip(_NUMERIC):
        integers = not datatype.startswith("FP")
        try:
            values: list[Any] = list(map(int if integers else float, texts))
        except ValueError:
            pass  # an empty cell, or a fraction for an integer
        else:
            if integers or all(map(math.isfinite, values)):
                return values
    return [_value_of_text(text, datatype) for text in texts]


def _value_of_text(text: str, datatype: str) -> Any:
    bare = text.strip()
    if bare.lower() in ("", "nan"):
        return None
    if datatype == "BOOL" and bare.lower() in ("true", "false"):
        return bare.lower() == "true"
    if _INTEGER.fullmatch(bare):
        return int(bare)
    if _NUMBER.fullmatch(bare) and math.isfinite(number := float(bare)):
        return number
    return text


def _checked(frame: Frame) -> Frame:
    columns, rows = frame.columns, frame.rows
    if not rows:
        raise InvalidInput("The table has no rows.")
    width = len(columns) if columns is not None else len(rows[0])
    for index, row in enumerate(rows):
        if len(row) != width:
            raise InvalidInput(f"Row {index} of the table has {len(row)} cells, expected are {width}.")
    if columns is not None and len(set(columns)) != width:
        raise InvalidInput("Two columns of the table have the same name.")
    return frame


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
            return {spec.name: _matrix(frame, spec)}
        if frame.columns is None and len(frame.rows[0]) == 1:
            columns = [spec.name]
    missing = [spec.name for spec in specs if spec.name not in columns]
    if missing:
        raise InvalidInput(
            f"The table has no column '{missing[0]}'; the model takes {', '.join(map(str, specs))}.",
            hint=nearest(missing[0], [name[:128] for name in columns[:1000]], what="columns", otherwise=""),
        )
    positions = {name: index for index, name in enumerate(columns)}
    table = len(specs) > 1
    return {
        spec.name: _column(frame, [row[positions[spec.name]] for row in frame.rows], spec, in_table=table)
        for spec in specs
    }


def _matrix(frame: Frame, spec: TensorSpec) -> np.ndarray:
    rows, width = frame.rows, len(frame.rows[0])
    if spec.shape[1] not in (-1, width):
        raise InvalidInput(f"{describe(spec)}: the table has {width} columns, the model takes {spec.shape[1]}.")
    flat = _column(
        frame, [cell for row in rows for cell in row], TensorSpec(spec.name, spec.datatype, [-1]), in_table=False
    )
    return flat.reshape(len(rows), width)


def _column(frame: Frame, cells: list[Any], spec: TensorSpec, *, in_table: bool) -> np.ndarray:
    """Turn one column into an array: a number, text or list per row."""
    values = frame.values(cells, spec.datatype)
    nulls = [index for index, value in enumerate(values) if value is None] if None in values else []
    if nulls and len(spec.shape) == 1:
        if np.dtype(NUMPY_DTYPES[spec.datatype]).kind != "f":
            raise InvalidInput(
                f"{describe(spec)}: row {nulls[0]} has no value.", hint="Only inputs of floating point can miss values."
            )
        values = list(values)
        for index in nulls:
            values[index] = 0
    # By way of JSON, so that what is a value of which datatype is decided in one place.
    array = decode_nested(encode_json(values), spec, len(spec.shape), in_table=in_table)
    if nulls:
        array[nulls] = np.nan
    return array
