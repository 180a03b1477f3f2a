from __future__ import annotations

import contextlib
import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES, TensorSpec
from maas_jupyter.serving import tensors
from maas_jupyter.serving.tensors import JsonTensor, decode_tensor, encode_tensor, to_lists

SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def any_array(draw):
    datatype = draw(st.sampled_from(sorted(NUMPY_DTYPES)))
    shape = draw(SHAPES)
    if datatype == "BYTES":
        texts = st.text(st.characters(codec="utf-8"), max_size=5)
        flat = draw(st.lists(texts, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
        array = np.array([*flat, None], dtype=object)[:-1].reshape(shape)
    else:
        elements = {"allow_nan": False, "allow_infinity": False} if datatype.startswith("FP") else {}
        dtype = np.dtype(NUMPY_DTYPES[datatype])
        array = draw(arrays.arrays(dtype, shape, elements=arrays.from_dtype(dtype, **elements)))
    return datatype, array


def sent(tensor):
    return msgspec.json.decode(json.dumps(tensor), type=JsonTensor)


@given(any_array(), st.booleans())
def test_round_trip(made, nested):
    datatype, array = made
    tensor = encode_tensor(TensorSpec("t", datatype, list(array.shape)), array)
    if nested and array.ndim:
        tensor["data"] = array.tolist()
    back = decode_tensor(sent(tensor))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert (back == array).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)


@given(st.sampled_from([*NUMPY_DTYPES, "BF16", ""]), st.lists(st.integers(0, 2**40), max_size=20) | SHAPES, JSON)
def test_garbage_raises_only_invalid_input(datatype, shape, data):
    tensor = sent({"name": "t", "shape": list(shape), "datatype": datatype, "data": data})
    try:
        array = decode_tensor(tensor)
    except InvalidInput:
        return
    assert array.shape == tuple(shape)


@given(st.sampled_from(sorted(NUMPY_DTYPES)), st.binary(max_size=30))
def test_garbage_bytes_raise_only_invalid_input(datatype, data):
    with contextlib.suppress(InvalidInput):
        decode_tensor(JsonTensor("t", [2], datatype, msgspec.Raw(data)))


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        ("FP32", "abc"),
        ("FP32", "1.5"),
        ("FP32", True),
        ("FP32", 1e39),
        ("FP16", 70000),
        ("FP64", 10**400),
        ("UINT8", -1),
        ("UINT8", 256),
        ("UINT64", -1),
        ("UINT64", 2**64),
        ("INT8", 128),
        ("INT64", 1.5),
        ("INT64", 2**63),
        ("INT64", True),
        ("INT64", None),
        ("BOOL", 1),
        ("BOOL", "true"),
        ("BYTES", 1),
        ("BYTES", None),
    ],
)
def test_values_that_do_not_fit(datatype, value):
    tensor = {"name": "t", "shape": [1], "datatype": datatype, "data": [value]}
    with pytest.raises(InvalidInput, match="'t'"):
        decode_tensor(sent(tensor))


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_null_is_a_missing_number_in_a_column_of_floating_point_alone(datatype):
    tensor = {"name": "t", "shape": [3], "datatype": datatype, "data": [1.5, None, 2]}
    array = decode_tensor(sent(tensor))
    assert array.dtype == NUMPY_DTYPES[datatype]
    np.testing.assert_array_equal(array, [1.5, np.nan, 2])
    for shape, data in (([3, 1], [1.5, None, 2]), ([3, 1], [[1.5], [None], [2]]), ([], [None])):
        with pytest.raises(InvalidInput, match="got `null`"):
            decode_tensor(sent({**tensor, "shape": shape, "data": data}))
    with pytest.raises(InvalidInput, match="range"):
        decode_tensor(sent({**tensor, "data": [1e308 if datatype != "FP64" else 10**400, None, 2]}))


@pytest.mark.parametrize(
    ("datatype", "value"), [("UINT64", 2**64 - 1), ("INT64", -(2**63)), ("FP32", 3), ("BOOL", True)]
)
def test_values_at_the_edge(datatype, value):
    assert decode_tensor(sent({"name": "t", "shape": [1], "datatype": datatype, "data": [value]})).tolist() == [value]


def test_a_shape_that_no_array_can_have():
    with pytest.raises(InvalidInput, match="too big"):
        decode_tensor(sent({"name": "t", "shape": [0, 2**40, 2**40], "datatype": "FP32", "data": []}))


def test_bytes_that_are_utf8_become_text_and_others_are_refused():
    assert to_lists("t", np.array([b"\xc3\xa4", "b"], dtype=object)) == ["ä", "b"]
    with pytest.raises(InvalidInput, match="UTF-8"):
        to_lists("t", np.array([b"\xff"], dtype=object))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_json_cannot_carry_is_an_error(value):
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        to_lists("t", np.array([value], dtype=np.float32))


# -- long lists, which are decoded in pieces --------------------------------------------------------------------------

NUMBERS = st.integers(-300, 300) | st.floats(-300, 300, width=32)


@given(
    st.sampled_from(["FP32", "FP64", "INT16", "UINT8"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\n\t", ":")]),
    st.data(),
)
def test_long_lists_are_decoded_as_short_ones(datatype, shape, separators, data):
    count = math.prod(shape)
    values = data.draw(st.lists(NUMBERS, min_size=count, max_size=count))
    text = json.dumps(np.array(values, dtype=object).reshape(shape).tolist(), separators=separators).encode()
    assert outcome(text, datatype, len(shape), long=True) == outcome(text, datatype, len(shape), long=False)


@pytest.mark.parametrize(
    "text",
    [
        b"[[1,2],[3]]",
        b"[[1,2],[3,4],5]",
        b"[[1,2],[[3,4]]]",
        b"[[[1,2]],[[3,4]]]",
        b"[[1],[2,3,4]]",
        b"[1,2,3,4,5]",
        b'[[1,2],["3",4]]',
        b'[[1,2],[3,"4,5"]]',
        b"[[1,2],[null,4]]",
        b"[[1,2],[true,4]]",
        b"[[1,2],[{},4]]",
        b"[[1,2],[1e400,4]]",
        b"[[1,2],[1e39,4]]",
        b"[[],[1]]",
        b"[[1],[]]",
    ],
)
def test_long_lists_that_are_wrong_are_refused_as_short_ones(text):
    assert outcome(text, "FP32", 2, long=True) is outcome(text, "FP32", 2, long=False) is None


@pytest.mark.parametrize(
    "text", [b"[1,null,2.5,null ,3]", b"[null]", b"[1null,2]", b"[nul,l]", b"[nnullull]", b"[[null]]", b"[1,null", b"1"]
)
def test_long_columns_with_missing_numbers_are_decoded_as_short_ones(text):
    long, short = (repr(outcome(text, "FP32", 1, long=long, shape=[-1])) for long in (True, False))
    assert long == short
    assert (long == "None") == (text not in (b"[1,null,2.5,null ,3]", b"[null]"))


def outcome(text, datatype, depth, *, long, shape=()):
    """Return what comes of a text; None where it is refused."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensors, "_LONG_BYTES", 0 if long else 10**9)
        patch.setattr(tensors, "_PIECE_BYTES", 6)
        try:
            array = tensors.decode_values(text, datatype, depth, where="x", shape=shape)
        except InvalidInput:
            return None
    return array.dtype, array.tolist()
