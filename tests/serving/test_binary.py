from __future__ import annotations

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES
from maas_jupyter.serving.binary import BINARY_DATATYPES, decode_binary, encode_binary

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
NUMBERS = sorted(set(NUMPY_DTYPES) - {"BYTES"})


@st.composite
def any_array(draw):
    datatype = draw(st.sampled_from(sorted(NUMPY_DTYPES)))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        size = int(np.prod(shape))
        elements = st.text(st.characters(codec="utf-8"), max_size=5) | st.binary(max_size=5)
        flat = draw(st.lists(elements, min_size=size, max_size=size))
        array = np.array([*flat, None], dtype=object)[:-1].reshape(shape)
    else:
        array = draw(arrays.arrays(np.dtype(NUMPY_DTYPES[datatype]), shape))
    return datatype, array


def octets(values):
    return [value.encode() if isinstance(value, str) else value for value in values]


@given(any_array())
def test_round_trip(made):
    datatype, array = made
    raw = memoryview(encode_binary(array, datatype))
    back = decode_binary(raw, datatype, array.shape, where="t")
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    if datatype == "BYTES":
        assert octets(back.ravel().tolist()) == octets(array.ravel().tolist())
    else:
        assert back.tobytes() == array.tobytes()  # also each NaN, bit by bit
        assert len(raw) == array.nbytes


@given(
    st.sampled_from([*BINARY_DATATYPES, "", "FP8"]), st.lists(st.integers(-1, 2**40), max_size=20) | SHAPES, st.data()
)
def test_garbage_raises_only_invalid_input(datatype, shape, data):
    raw = data.draw(st.binary(max_size=64))
    with contextlib.suppress(InvalidInput):
        array = decode_binary(memoryview(raw), datatype, shape, where="t")
        assert list(array.shape) == list(shape)


@given(any_array(), st.data())
def test_every_other_length_is_refused(made, data):
    datatype, array = made
    raw = bytes(encode_binary(array, datatype))
    cut = data.draw(st.integers(0, len(raw)))
    changed = raw[:cut] if cut < len(raw) else raw + b"\0"
    with pytest.raises(InvalidInput, match=r"^Input 'x': "):
        decode_binary(memoryview(changed), datatype, array.shape, where="Input 'x'")


@pytest.mark.parametrize("datatype", NUMBERS)
def test_the_wire_is_little_endian_and_row_major(datatype):
    array = np.array([[0, 1], [1, 0]], dtype=NUMPY_DTYPES[datatype])
    expected = array.astype(array.dtype.newbyteorder("<")).tobytes()
    assert bytes(encode_binary(array, datatype)) == expected
    assert bytes(encode_binary(np.asfortranarray(array), datatype)) == expected
    assert bytes(encode_binary(np.stack([array, array], 2)[:, :, 1], datatype)) == expected


@pytest.mark.parametrize("offset", range(9))
@pytest.mark.parametrize("datatype", NUMBERS)
def test_nothing_is_copied_where_the_bytes_lie_aligned(datatype, offset):
    array = np.array([0, 1, 1], dtype=NUMPY_DTYPES[datatype])
    body = np.frombuffer(bytes(offset) + array.tobytes(), np.uint8)
    decoded = decode_binary(body.data[offset:], datatype, [3], where="t")
    assert decoded.flags.aligned
    assert decoded.tolist() == array.tolist()
    aligned = (body.ctypes.data + offset) % array.dtype.alignment == 0
    assert np.shares_memory(decoded, body) == aligned


def test_encoding_copies_nothing_that_lies_in_order():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    view = encode_binary(array, "FP32")
    assert np.shares_memory(np.frombuffer(view, np.float32), array)


def test_bf16_is_widened():
    values = np.array([0.0, -1.5, 3.0e38, np.inf, 1e-40], dtype=np.float32)
    raw = (values.view(np.uint32) >> 16).astype("<u2")
    decoded = decode_binary(memoryview(raw.tobytes()), "BF16", [5], where="t")
    assert decoded.dtype == np.float32
    assert decoded.tolist()[:2] == [0.0, -1.5]
    assert (decoded.view(np.uint32) == raw.astype(np.uint32) << 16).all()


def test_bytes_are_text_where_they_can_be():
    raw = b"".join(struct.pack("<I", len(value)) + value for value in (b"", "ü".encode(), b"\x89PNG\xff"))
    assert decode_binary(memoryview(raw), "BYTES", [3], where="t").tolist() == ["", "ü", b"\x89PNG\xff"]


def test_a_count_that_nothing_stands_behind_takes_no_memory():
    with pytest.raises(InvalidInput, match="cannot be in 4 bytes"):
        decode_binary(memoryview(b"\0\0\0\0"), "BYTES", [2**40], where="t")


def test_a_length_beyond_the_end_is_refused():
    with pytest.raises(InvalidInput, match="end within element 0"):
        decode_binary(memoryview(b"\xff\xff\xff\xffabc"), "BYTES", [1], where="t")


def test_bools_are_zero_or_one():
    assert decode_binary(memoryview(b"\0\1"), "BOOL", [2], where="t").tolist() == [False, True]
    with pytest.raises(InvalidInput, match="0 or 1"):
        decode_binary(memoryview(b"\0\2"), "BOOL", [2], where="t")


def test_an_array_of_another_dtype_is_not_bent():
    with pytest.raises(TypeError):
        encode_binary(np.array([1.5]), "FP32")
