"""Tensors as raw little-endian bytes to numpy and back: the binary extension of REST, and gRPC's raw contents.

Row-major and without padding. BOOL is one byte, 0 or 1; each BYTES element is its length as a 4-byte unsigned integer
and then that many bytes. BF16 exists on the wire only: it is widened to FP32, which holds each of its values exactly.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES
from maas_jupyter.serving.tensors import MAX_RANK

_WIRE: dict[str, np.dtype] = {
    datatype: np.dtype(name).newbyteorder("<") for datatype, name in NUMPY_DTYPES.items() if datatype != "BYTES"
}
_BF16 = np.dtype("<u2")
_LENGTH = struct.Struct("<I")

#: The datatypes that can come as raw bytes.
BINARY_DATATYPES = (*NUMPY_DTYPES, "BF16")


def decode_binary(buffer: memoryview, datatype: str, shape: Sequence[int], *, where: str) -> np.ndarray:
    """Turn raw bytes into an array, without copying them where they lie aligned.

    Parameters
    ----------
    buffer : memoryview
        Exactly the tensor's bytes, as a flat view of single bytes. It lives as long as the array.
    datatype : str
        Open Inference Protocol datatype of the elements.
    shape : sequence of int
        The array's shape.
    where : str
        Start of the error message: which tensor is being decoded.

    Returns
    -------
    ndarray
        Of the datatype's dtype (BF16: float32), perhaps read-only. BYTES are an ``object`` array of what
        `decode_element` returns.

    Raises
    ------
    InvalidInput
        If the datatype is unknown, the shape cannot be, or the bytes are not what both ask for.
    """
    if datatype not in BINARY_DATATYPES:
        raise InvalidInput(
            f"{where}: the datatype '{datatype[:128]}' is unknown.",
            hint=f"The datatypes are {', '.join(BINARY_DATATYPES)}.",
        )
    count = size_of(shape, where=where)
    if datatype == "BYTES":
        array = _decode_elements(buffer, count, where)
    else:
        dtype = _WIRE.get(datatype, _BF16)
        if len(buffer) != count * dtype.itemsize:
            raise InvalidInput(
                f"{where}: {datatype}{list(shape)} takes {count * dtype.itemsize} bytes, but there are {len(buffer)}."
            )
        # numpy would take any byte for a truth value, and compute with its other bits.
        if datatype == "BOOL" and np.frombuffer(buffer, np.uint8).max(initial=0) > 1:
            raise InvalidInput(f"{where}: a BOOL is one byte, 0 or 1.")
        array = np.frombuffer(buffer, dtype)
        if datatype == "BF16":
            array = (array.astype(np.uint32) << 16).view(np.float32)
        elif not array.flags.aligned:
            array = array.copy()
    return shaped(array, shape, where=where)


def size_of(shape: Sequence[int], *, where: str) -> int:
    """Return the number of elements of a shape.

    Raises
    ------
    InvalidInput
        If it has too many dimensions or one of negative size.
    """
    if len(shape) > MAX_RANK:
        raise InvalidInput(f"{where}: {len(shape)} dimensions; at most {MAX_RANK} are supported.")
    if any(size < 0 for size in shape):
        raise InvalidInput(f"{where}: the shape {list(shape)} has a negative size.")
    return math.prod(shape)


def shaped(array: np.ndarray, shape: Sequence[int], *, where: str) -> np.ndarray:
    """Return a flat array, which has as many elements as the shape, in that shape.

    Raises
    ------
    InvalidInput
        If no array can have it: there are no elements, but sizes beyond all bounds.
    """
    try:
        return array.reshape(shape)
    except ValueError as error:
        raise InvalidInput(f"{where}: {error}") from error


def decode_element(element: bytes) -> str | bytes:
    """Return one BYTES element: ``str`` where it is UTF-8 text, as JSON would give it, else the bytes."""
    try:
        return element.decode()
    except UnicodeDecodeError:
        return element


def _decode_elements(buffer: memoryview, count: int, where: str) -> np.ndarray:
    size = len(buffer)
    if count * _LENGTH.size > size:  # before memory is taken for a count that nothing stands behind
        raise InvalidInput(f"{where}: {count} BYTES elements cannot be in {size} bytes.")
    array = np.empty(count, dtype=object)
    position = 0
    for index in range(count):
        start = position + _LENGTH.size
        position = start + _LENGTH.unpack_from(buffer, position)[0] if start <= size else start
        if position > size:
            raise InvalidInput(
                f"{where}: the bytes end within element {index}.",
                hint="Each BYTES element is its length as a 4-byte little-endian integer, and then its bytes.",
            )
        array[index] = decode_element(bytes(buffer[start:position]))
    if position != size:
        raise InvalidInput(f"{where}: {size - position} bytes are left after the last of {count} BYTES elements.")
    return array


def encode_binary(array: np.ndarray, datatype: str) -> bytes | memoryview:
    """Return an array's raw bytes, without copying them where they lie in order.

    Parameters
    ----------
    array : ndarray
        Of the datatype's dtype; BYTES hold ``str`` or ``bytes``.
    datatype : str
        Open Inference Protocol datatype of the elements, one that a signature can have.

    Returns
    -------
    bytes or memoryview
        A flat sequence of single bytes.

    Raises
    ------
    TypeError
        If the array has another dtype.
    """
    if datatype == "BYTES":
        parts: list[bytes] = []
        for value in array.ravel().tolist():
            element = value.encode() if isinstance(value, str) else value
            parts += (_LENGTH.pack(len(element)), element)
        return b"".join(parts)
    return array.astype(_WIRE[datatype], order="C", casting="equiv", copy=False).reshape(-1).view(np.uint8).data
