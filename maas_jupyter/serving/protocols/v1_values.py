"""V1's rows and columns of values to arrays and back; MLflow's ``instances`` and ``inputs`` are the same."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec, decoder
from maas_jupyter.serving.dataplane import Answer
from maas_jupyter.serving.responses import decode_body
from maas_jupyter.serving.tensors import decode_values, to_lists


class Base64(Struct, forbid_unknown_fields=True):
    """A binary value in JSON: ``{"b64": "..."}``."""

    b64: bytes


#: Each costs an object of its own, whose memory is many times that of its text.
MAX_CELLS = 1_000_000

_ROWS = decoder(list[dict[str, msgspec.Raw]])
_COLUMNS = decoder(dict[str, msgspec.Raw])
_OBJECT = re.compile(rb"\{")
_LIST_OF_OBJECTS = re.compile(rb"\[\s*\{")
#: An object that is a value, not the values of inputs by their names.
_BASE64 = re.compile(rb'\[?\s*\{\s*"b64"\s*:\s*"')


def describe(spec: TensorSpec) -> str:
    """Return how error messages begin: which input, and what is expected of it."""
    return f"Input '{spec.name}' (expected {spec.datatype}{spec.shape})"


def decode_nested(raw: msgspec.Raw | bytes, spec: TensorSpec, depth: int, *, in_table: bool) -> np.ndarray:
    """Decode nested JSON lists of an input's values; BYTES are texts or `Base64` objects.

    Parameters
    ----------
    raw : bytes
        JSON text.
    spec : TensorSpec
        The input.
    depth : int
        Number of list levels; 0 for one value.
    in_table : bool
        Whether the input is one of several: ``true`` and ``false`` are the texts ``True`` and ``False`` there, as
        training reads a table's column of them.

    Returns
    -------
    ndarray
        Of the datatype's dtype, with ``depth`` dimensions; BYTES hold ``str``, and ``bytes`` where they came as base64.

    Raises
    ------
    InvalidInput
        If the text is not such a list, or a value does not fit the datatype.
    """
    where = describe(spec)
    if spec.datatype != "BYTES":
        return decode_values(raw, spec.datatype, depth, where=where, shape=spec.shape)
    try:
        values = _texts(depth, in_table).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where}: {error}") from error
    try:
        array = np.array(values, dtype=object)
    except ValueError as error:
        raise InvalidInput(f"{where}: the nested lists have unequal lengths.") from error
    if array.ndim != depth:
        raise InvalidInput(f"{where}: the nested lists have unequal lengths.")
    array.reshape(-1)[:] = [
        value.b64 if isinstance(value, Base64) else str(value) if isinstance(value, bool) else value
        for value in array.flat
    ]
    return array


@cache
def _texts(depth: int, in_table: bool) -> msgspec.json.Decoder[Any]:
    kind: Any = str | Base64 | bool if in_table else str | Base64
    for _ in range(depth):
        kind = list[kind]
    return decoder(kind)


def check_names(names: set[str], signature: Signature) -> None:
    """Compare the names of a row, or of the columns, with the model's inputs.

    Raises
    ------
    InvalidInput
        If they differ.
    """
    expected = {spec.name for spec in signature.inputs}
    if names != expected:
        shown = sorted(name[:128] for name in names)[:8]
        raise InvalidInput(f"The model takes the inputs {sorted(expected)}, but the request has {shown}.")


def decode_rows(raw: msgspec.Raw, signature: Signature) -> dict[str, np.ndarray]:
    """Decode the row format: a list of values for a model with one input, or of objects with one value per input.

    Raises
    ------
    InvalidInput
        If it is not that.
    """
    specs = signature.inputs
    one_binary = len(specs) == 1 and specs[0].datatype == "BYTES" and _BASE64.match(raw)
    if one_binary or not _LIST_OF_OBJECTS.match(raw):
        if len(specs) != 1:
            raise InvalidInput(
                f"Each item of 'instances' must be an object with the inputs {[spec.name for spec in specs]}."
            )
        return {specs[0].name: decode_nested(raw, specs[0], len(specs[0].shape), in_table=False)}
    check_cells(raw, b":{", "instances")
    rows = decode_body(raw, _ROWS, expected='"instances": [{"INPUT": value, ...}, ...]')
    names = {spec.name for spec in specs}
    for row in rows:
        if row.keys() != names:
            check_names(set(row), signature)
    table = len(specs) > 1
    return {
        spec.name: decode_nested(listed(row[spec.name] for row in rows), spec, len(spec.shape), in_table=table)
        for spec in specs
    }


def check_cells(raw: msgspec.Raw | bytes, marks: bytes, what: str) -> None:
    """Refuse a table of very many values before memory is taken for them.

    Parameters
    ----------
    raw : bytes
        JSON text.
    marks : bytes
        Characters of which each value, row or list has one.
    what : str
        What it is.

    Raises
    ------
    InvalidInput
        If there are more than `MAX_CELLS`.
    """
    text = bytes(raw)
    if len(text) > MAX_CELLS and any(text.count(mark) >= MAX_CELLS for mark in marks):
        raise too_many_cells(what)


def too_many_cells(what: str) -> InvalidInput:
    """Return the error of a table that is too large."""
    return InvalidInput(
        f"'{what}' holds more than {MAX_CELLS:,} values or rows.",
        hint="Send it in parts, or as tensors: POST /v2/models/NAME/infer takes them in JSON and as raw bytes.",
    )


def listed(values: Iterable[msgspec.Raw | bytes]) -> bytes:
    """Return the JSON list of values that are JSON."""
    return b"[%b]" % b",".join(values)


def decode_columns(raw: msgspec.Raw, signature: Signature) -> dict[str, np.ndarray]:
    """Decode the column format: one value for a model with one input, or an object with one value per input.

    Raises
    ------
    InvalidInput
        If it is not that.
    """
    specs = signature.inputs
    one_binary = len(specs) == 1 and specs[0].datatype == "BYTES" and _BASE64.match(raw)
    if one_binary or not _OBJECT.match(raw):
        if len(specs) != 1:
            raise InvalidInput(f"'inputs' must be an object with the inputs {[spec.name for spec in specs]}.")
        columns = {specs[0].name: raw}
    else:
        columns = decode_body(raw, _COLUMNS, expected='"inputs": {"INPUT": values, ...}')
        check_names(set(columns), signature)
    table = len(specs) > 1
    return {spec.name: decode_nested(columns[spec.name], spec, len(spec.shape), in_table=table) for spec in specs}


def encode_columns(answer: Answer) -> Any:
    """Return the outputs by name, and the only one without its name.

    Raises
    ------
    InvalidInput
        If JSON cannot carry a value.
    """
    columns = {spec.name: _lists(spec, array) for spec, array in answer.outputs}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def encode_rows(answer: Answer) -> list[Any]:
    """Return one item per row: an object with the outputs by name, or the value of the only output.

    Raises
    ------
    InvalidInput
        If the outputs do not have one item per row, or JSON cannot carry a value.
    """
    if not has_rows(answer):
        raise InvalidInput(
            "The model's outputs do not have one item per row.", hint="Use the column format: 'inputs' for 'instances'."
        )
    columns = encode_columns(answer)
    if not isinstance(columns, dict):
        return columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def has_rows(answer: Answer) -> bool:
    """Say whether all outputs have the same number of items."""
    sizes = {array.shape[0] if array.ndim else None for _, array in answer.outputs}
    return len(sizes) == 1 and None not in sizes


def _lists(spec: TensorSpec, array: np.ndarray) -> Any:
    if spec.datatype != "BYTES" or not spec.name.endswith("_bytes"):
        return to_lists(spec.name, array)
    values = np.empty(array.shape, dtype=object)
    values.reshape(-1)[:] = [
        {"b64": base64.b64encode(value.encode() if isinstance(value, str) else value).decode()} for value in array.flat
    ]
    return values.tolist()
