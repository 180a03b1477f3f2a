"""The Open Inference Protocol's JSON tensors to numpy and back.

Decoding is strict, because a value that is silently bent gives a wrong answer: numbers in quotes, ``true`` for a
number, fractions for integers and values beyond the datatype's range are all refused, and so is ``null``, but for a
table's column of floating point, one number per row, where it is a missing number: NaN in memory. BYTES are UTF-8
strings in JSON and ``object`` arrays of ``str`` in memory.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct, field

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES, TensorSpec, decoder

MAX_RANK = 16

#: Floats of so many bytes of JSON are worth a way of their own; longer ones are numpy's.
_SHORT_BYTES = 16 * 1024
_FORMS: dict[str, tuple[str, np.dtype[Any]]] = {
    "FP32": ("f", np.dtype(np.float32)),
    "FP64": ("d", np.dtype(np.float64)),
}
_FLOATS = decoder(list[float])
#: So many values are found finite more quickly in a list than in an array.
_SHORT_LIST = 256

#: Longer lists of numbers are decoded in pieces of about so many bytes.
_PIECE_BYTES = 128 * 1024
_LONG_BYTES = 2 * _PIECE_BYTES
_NUMBERS = b"0123456789+-.eE \t\r\n"

#: What one element of each datatype is in JSON. 64-bit upper bounds are numpy's to check: msgspec's end at 2**63.
_ELEMENTS: dict[str, Any] = {
    "BOOL": bool,
    "UINT8": Annotated[int, Meta(ge=0, le=2**8 - 1)],
    "UINT16": Annotated[int, Meta(ge=0, le=2**16 - 1)],
    "UINT32": Annotated[int, Meta(ge=0, le=2**32 - 1)],
    "UINT64": Annotated[int, Meta(ge=0)],
    "INT8": Annotated[int, Meta(ge=-(2**7), le=2**7 - 1)],
    "INT16": Annotated[int, Meta(ge=-(2**15), le=2**15 - 1)],
    "INT32": Annotated[int, Meta(ge=-(2**31), le=2**31 - 1)],
    "INT64": int,
    "FP16": float,
    "FP32": float,
    "FP64": float,
    "BYTES": str,
}
#: What can miss numbers.
_MAY_MISS = ("FP16", "FP32", "FP64")


class JsonTensor(Struct, omit_defaults=True):
    """A tensor as it is sent.

    ``data`` is nested or flat, row-major, undecoded until its datatype is known; empty where the tensor's values are
    raw bytes after the JSON.
    """

    name: str
    shape: list[Annotated[int, Meta(ge=0, le=2**40)]]
    datatype: str
    data: msgspec.Raw = field(default_factory=msgspec.Raw)
    parameters: dict[str, Any] = field(default_factory=dict)


@lru_cache(maxsize=len(_ELEMENTS) * (MAX_RANK + 1))
def _decoder(datatype: str, depth: int, nulls: bool) -> msgspec.json.Decoder[Any]:
    kind: Any = float | None if nulls else _ELEMENTS[datatype]
    for _ in range(depth):
        kind = list[kind]
    return decoder(kind)


def _depth(raw: memoryview) -> int:
    """Count the brackets that the text starts with."""
    depth = 0
    for byte in raw:
        if byte == 0x5B:
            depth += 1
        elif byte not in b" \t\n\r":
            break
    return depth


def decode_values(
    raw: msgspec.Raw | bytes, datatype: str, depth: int, *, where: str, shape: Sequence[int] = ()
) -> np.ndarray:
    """Decode nested JSON lists.

    Parameters
    ----------
    raw : bytes
        JSON text.
    datatype : str
        Open Inference Protocol datatype of the elements.
    depth : int
        Number of list levels; 0 for one element.
    where : str
        Start of the error message: what is being decoded, and what is expected.
    shape : sequence of int
        The tensor's: one of a single axis and of floating point may hold ``null`` for NaN.

    Returns
    -------
    ndarray
        Of the datatype's dtype, with ``depth`` dimensions.

    Raises
    ------
    InvalidInput
        If the text is not such a list or an element does not fit the datatype.
    """
    nulls = len(shape) == 1 and datatype in _MAY_MISS
    if depth and len(raw) > _LONG_BYTES and datatype not in ("BOOL", "BYTES"):
        long = _decode_long(bytes(raw), datatype, depth, where, nulls)
        if long is not None:
            return long
    return _decode_whole(raw, datatype, depth, where, nulls)


def _decode_whole(raw: msgspec.Raw | bytes, datatype: str, depth: int, where: str, nulls: bool) -> np.ndarray:
    try:
        values = _decoder(datatype, depth, nulls).decode(raw)
        with np.errstate(over="ignore"):
            array = np.array(values, dtype=NUMPY_DTYPES[datatype])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"{where}: {error}") from error
    except OverflowError as error:
        raise InvalidInput(f"{where}: a value is beyond the range of {datatype}.") from error
    except ValueError as error:  # numpy on lists of unequal length
        raise InvalidInput(f"{where}: the nested lists have unequal lengths.") from error
    if array.ndim != depth:
        raise InvalidInput(f"{where}: the nested lists have unequal lengths.")
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise InvalidInput(f"{where}: a value is beyond the range of {datatype}.")
    return array


def _decode_long(raw: bytes, datatype: str, depth: int, where: str, nulls: bool) -> np.ndarray | None:
    """Decode a long list of numbers in pieces; None where it holds something else, which is wrong.

    Python objects for all numbers at once would take ten times the memory of the text, and keep all other threads
    waiting while they are made.
    """
    brackets = (raw.replace(b"null", b"") if nulls else raw).translate(None, _NUMBERS)
    if brackets.translate(None, b"[],"):
        return None
    shape = _shape(brackets, depth, where)
    array = np.empty(math.prod(shape), dtype=NUMPY_DTYPES[datatype])
    flat = raw.translate(None, b"[]")
    start = filled = 0
    while start <= len(flat):
        end = flat.find(b",", start + _PIECE_BYTES)
        end = len(flat) if end < 0 else end
        piece = _decode_whole(b"[%b]" % flat[start:end], datatype, 1, where, nulls)
        array[filled : filled + piece.size] = piece
        filled += piece.size
        start = end + 1
    return array.reshape(shape)


def _shape(brackets: bytes, depth: int, where: str) -> list[int]:
    """Return the shape of nested lists of which everything but brackets and commas was taken out."""
    item, shape = b"", []
    for level in range(depth):
        start = depth - 1 - level
        size = brackets.find(b"]" * (level + 1), start) + level + 1 - start
        count, rest = divmod(size - 1, len(item) + 1)
        if rest or count < 1:
            break
        item = b"[" + (item + b",") * (count - 1) + item + b"]"
        shape.append(count)
    if item != brackets or len(shape) != depth:
        raise InvalidInput(f"{where}: the nested lists are not {depth} deep, or have unequal lengths, or are empty.")
    return shape[::-1]


def _decode_quickly(tensor: JsonTensor) -> np.ndarray | None:
    """Decode what most requests consist of, a short flat list of FP32 or FP64; None where it is not that, or wrong."""
    form = _FORMS.get(tensor.datatype)
    if form is None or len(tensor.data) > _SHORT_BYTES or len(tensor.shape) > MAX_RANK:
        return None
    code, dtype = form
    try:
        values = _FLOATS.decode(tensor.data)
        # Packing refuses what is beyond the range of FP32, which numpy would turn into infinity.
        packed = bytearray(struct.pack(f"<{len(values)}{code}", *values))
        return np.frombuffer(packed, dtype).reshape(tensor.shape)
    except (msgspec.MsgspecError, OverflowError, ValueError, UnicodeDecodeError):
        return None


def decode_tensor(tensor: JsonTensor) -> np.ndarray:
    """Turn a tensor of a request or an answer into an array of its datatype and shape.

    Raises
    ------
    InvalidInput
        If the datatype is unknown, or the data does not fit the datatype or the shape.
    """
    quickly = _decode_quickly(tensor)
    if quickly is not None:
        return quickly
    shape = tensor.shape
    if tensor.datatype not in _ELEMENTS:
        raise InvalidInput(
            f"Tensor '{tensor.name}' has the unknown datatype '{tensor.datatype}'.",
            hint=f"The datatypes are {', '.join(_ELEMENTS)}.",
        )
    where = f"Tensor '{tensor.name}' ({tensor.datatype} {shape})"
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"Tensor '{tensor.name}' has {len(shape)} dimensions; at most {MAX_RANK} are supported.")
    if not tensor.data:
        raise InvalidInput(f"{where}: it has no data.")
    depth = _depth(memoryview(tensor.data))
    flat = depth <= 1
    # Empty lists end early: [] and [[], []] are the data of shapes [0, 64] and [2, 0, 3].
    if not flat and depth != len(shape) and math.prod(shape) != 0:
        raise InvalidInput(f"{where}: data must be flat or nested {len(shape)} deep, but it is nested {depth} deep.")
    if depth > MAX_RANK:
        raise InvalidInput(f"{where}: data is nested {depth} deep.")
    array = decode_values(tensor.data, tensor.datatype, max(depth, 1), where=where, shape=shape)
    count = math.prod(shape)
    if array.size != count:
        raise InvalidInput(f"{where}: the shape asks for {count} values, but data holds {array.size}.")
    if not flat and count and list(array.shape) != shape:
        raise InvalidInput(f"{where}: data is nested as {list(array.shape)}.")
    try:
        return array.reshape(shape)
    except ValueError as error:  # no values, but sizes whose product no array can have
        raise InvalidInput(f"{where}: {error}") from error


def to_lists(name: str, array: np.ndarray) -> list[Any]:
    """Return an array as nested lists that JSON can carry.

    Raises
    ------
    InvalidInput
        If a number is NaN or infinite. JSON has no such values: ``null`` would be another type and a bare ``NaN``
        breaks strict readers, so neither is sent; the same input always gets this answer.
    """
    if array.dtype == object:
        return np.vectorize(_text, otypes=[object])(array).tolist() if array.size else array.tolist()
    values: list[Any] = array.tolist()
    if array.dtype.kind != "f":
        return values
    # A sum is finite only where every value is.
    if array.ndim == 1 and array.size <= _SHORT_LIST and math.isfinite(sum(values)):
        return values
    if not np.isfinite(array).all():
        raise InvalidInput(
            f"Tensor '{name}' holds NaN or infinity, which JSON cannot carry.",
            hint="Look for extreme values in the input.",
        )
    return values


def _text(value: str | bytes) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("A BYTES value is not UTF-8, which JSON cannot carry.") from error


def encode_tensor(spec: TensorSpec, array: np.ndarray) -> dict[str, Any]:
    """Return a tensor as the protocol's JSON object, with flat row-major data.

    Raises
    ------
    InvalidInput
        If a value cannot be carried by JSON.
    """
    return {
        "name": spec.name,
        "shape": array.shape,
        "datatype": spec.datatype,
        "data": to_lists(spec.name, array.ravel()),
    }
