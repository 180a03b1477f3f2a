"""V1's rows and columns of values to arrays and back; MLflow's ``instances`` and ``inputs`` are the same."""

from __future__ import annotations

import base64
import re
from functools import cache
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec
from maas_jupyter.serving.dataplane import Answer
from maas_jupyter.serving.responses import decode_body
from maas_jupyter.serving.tensors import decode_values, to_lists


class Base64(Struct, forbid_unknown_fields=True):
    """A binary value in JSON: ``{"b64": "..."}``."""

    b64: bytes


_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_OBJECT = re.compile(rb"\{")
_LIST_OF_OBJECTS = re.compile(rb"\[\s*\{")
#: An object that is a value, not the values of inputs by their names.
_BASE64 = re.compile(rb'\[?\s*\{\s*"b64"\s*:\s*"')


def describe(spec: TensorSpec) -> str:
    """Return how error messages begin: which input, and what is expected of it."""
    return f"Input '{spec.name}' (expected {spec.datatype}{spec.shape})"


def decode_nested(raw: msgspec.Raw | bytes, spec: TensorSpec, depth: int) -> np.ndarray:
    """Decode nested JSON lists of an input's values; BYTES are texts or `Base64` objects.

    Parameters
    ----------
    raw : bytes
        JSON text.
    spec : TensorSpec
        The input.
    depth : int
        Number of list levels; 0 for one value.

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
        return decode_values(raw, spec.datatype, depth, where=where)
    try:
        values = _texts(depth).decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where}: {error}") from error
    try:
        array = np.array(values, dtype=object)
    except ValueError as error:
        raise InvalidInput(f"{where}: the nested lists have unequal lengths.") from error
    if array.ndim != depth:
        raise InvalidInput(f"{where}: the nested lists have unequal lengths.")
    array.reshape(-1)[:] = [value.b64 if isinstance(value, Base64) else value for value in array.flat]
    return array


@cache
def _texts(depth: int) -> msgspec.json.Decoder[Any]:
    kind: Any = str | Base64
    for _ in range(depth):
        kind = list[kind]
    return msgspec.json.Decoder(kind)


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
        return {specs[0].name: decode_nested(raw, specs[0], len(specs[0].shape))}
    rows = decode_body(raw, _ROWS, expected='"instances": [{"INPUT": value, ...}, ...]')
    for row in rows:
        check_names(set(row), signature)
    return {
        spec.name: stack([decode_nested(row[spec.name], spec, len(spec.shape) - 1) for row in rows], spec)
        for spec in specs
    }


def stack(rows: list[np.ndarray], spec: TensorSpec) -> np.ndarray:
    """Join the rows of one input.

    Raises
    ------
    InvalidInput
        If there are none, or their shapes differ.
    """
    shapes = {row.shape for row in rows}
    if len(shapes) != 1:
        raise InvalidInput(f"{describe(spec)}: the rows have the different shapes {sorted(map(list, shapes))[:4]}.")
    return np.stack(rows)


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
    return {spec.name: decode_nested(columns[spec.name], spec, len(spec.shape)) for spec in specs}


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
