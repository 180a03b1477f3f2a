from __future__ import annotations

import re

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.data import as_source
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec
from maas_jupyter.signature import Validator, conform, validate

shapes = st.lists(st.integers(0, 3), max_size=3)
datatypes = st.sampled_from([("FP32", np.float32), ("INT64", np.int64), ("BYTES", object)])


@given(
    st.dictionaries(st.sampled_from("abc"), st.tuples(datatypes, st.lists(st.sampled_from([-1, 1, 2, 3]), max_size=3))),
    st.dictionaries(st.sampled_from("abc"), st.tuples(datatypes, shapes)),
)
def test_a_validator_says_what_validate_says(specs, arrays):
    signature = Signature([TensorSpec(name, datatype, shape) for name, ((datatype, _), shape) in specs.items()], [])
    inputs = {name: np.zeros(shape, dtype) for name, ((_, dtype), shape) in arrays.items()}
    words = []
    for check in (lambda: validate(inputs, signature), lambda: Validator(signature)(inputs)):
        try:
            check()
            words.append("")
        except InvalidInput as error:
            words.append(str(error))
    assert words[0] == words[1]


def test_a_validator_counts_rows():
    signature = Signature([TensorSpec("a", "FP32", [-1, 2]), TensorSpec("b", "FP32", [])], [])
    assert Validator(signature)({"a": np.zeros((3, 2), np.float32), "b": np.zeros((), np.float32)}) == 3
    assert Validator(Signature([], []))({}) == 1


# -- what the user has ------------------------------------------------------------------------------------------------

TENSOR = Signature([TensorSpec("x", "FP32", [-1, 2])], [])
TEXT = Signature([TensorSpec("text", "BYTES", [-1])], [])
PICTURE = Signature([TensorSpec("input", "FP32", [-1, 1, 8, 8])], [])
NUMBERS = Signature([TensorSpec(name, "FP32", [-1]) for name in ("width", "height")], [])
TABLE = Signature(
    [
        TensorSpec("size", "FP32", [-1]),
        TensorSpec("weight", "FP32", [-1]),
        TensorSpec("color", "BYTES", [-1]),
        TensorSpec("shape", "BYTES", [-1]),
    ],
    [],
)
COLUMNS = {"color": ["red", "blue"], "size": [1.5, 2], "shape": ["round", "flat"], "weight": [1, 2]}
ROWS = [dict(zip(COLUMNS, values, strict=True)) for values in zip(*COLUMNS.values(), strict=True)]


def listed(arrays):
    return {name: array.tolist() for name, array in arrays.items()}


@pytest.mark.parametrize(
    "X",
    [
        COLUMNS,
        {name: np.array(values) for name, values in COLUMNS.items()},
        pandas.DataFrame(COLUMNS),
        pandas.DataFrame(COLUMNS).astype({"color": "category", "shape": "string", "weight": "Int64"}),
        ROWS,
        tuple(ROWS),
        dict(pandas.DataFrame(COLUMNS)),
    ],
    ids=["dict", "arrays", "DataFrame", "pandas dtypes", "rows", "tuple of rows", "dict of Series"],
)
def test_a_table_in_every_form_that_users_have(X):
    arrays = conform(X, TABLE)
    assert listed(arrays) == {name: COLUMNS[name] for name in ("size", "weight", "color", "shape")}
    assert list(arrays) == ["size", "weight", "color", "shape"]
    assert [str(array.dtype) for array in arrays.values()] == ["float32", "float32", "object", "object"]


def test_bare_rows_where_the_order_is_plain():
    expected = {"width": [1, 3], "height": [2, 4]}
    assert listed(conform([[1, 2], [3, 4]], NUMBERS)) == expected
    assert listed(conform(np.array([[1, 2], [3, 4]]), NUMBERS)) == expected


@pytest.mark.parametrize(
    ("X", "signature", "said", "hint"),
    [
        ([[1.5, 1, "red", "round"]], TABLE, "bare rows do not say", "a DataFrame"),
        ([[1, 2, 3]], NUMBERS, "takes 2 inputs.*rows of 3", "a DataFrame"),
        ([[1, 2], [3]], NUMBERS, "cannot be read as a table", "a DataFrame"),
        ([1, 2], NUMBERS, "takes 2 inputs", "a DataFrame"),
        ("red", TABLE, "takes 4 inputs", "a DataFrame"),
        ([np.zeros((1, 2))], Signature([*TENSOR.inputs, *TEXT.inputs], []), "takes 2 inputs", "one array per input"),
        ({**COLUMNS, "colour": 1, "color": 1} | {"x": 1}, TABLE, "unknown: 'colour', 'x'", "Leave out 'colour', 'x'"),
        (pandas.DataFrame(COLUMNS).rename(columns={"color": "colour"}), TABLE,
         "missing: 'color'; unknown: 'colour'", "Did you mean 'color'"),
        (pandas.DataFrame(COLUMNS).assign(price=1), TABLE, "unknown: 'price'", r"X\.drop\(columns='price'\)"),
        (pandas.DataFrame(COLUMNS).assign(a=1, b=2), TABLE, "unknown: 'a', 'b'", r"X\.drop\(columns=\['a', 'b'\]\)"),
        ({**COLUMNS, "price": [1, 2]}, TABLE, "unknown: 'price'", "Leave out 'price'"),
        ({"size": [1], "weight": [1]}, TABLE, "missing: 'color', 'shape'", "Give 'color', 'shape' too"),
        ([*ROWS, {**ROWS[0], "sizes": 1}], TABLE, "Row 2: .*unknown: 'sizes'", "Leave out 'sizes'"),
        (pandas.DataFrame([[1, 2]], columns=["size", "size"]), TABLE, "same name", "'size'"),
        ({**COLUMNS, "color": ["red", 7]}, TABLE, "Row 1 of input 'color' expects a text.*int", r"astype\(str\)"),
        ({**COLUMNS, "size": ["1", "2"]}, TABLE, "Input 'size' expects FP32.*such as '1' in row 0", "Convert"),
        ({**COLUMNS, "size": [1, "2"]}, TABLE, "Input 'size' expects FP32.*such as '1' in row 0", "Convert"),
        ({**COLUMNS, "size": np.array(["1", "2"])}, TABLE, "expects FP32, given are texts with values", "Convert"),
        ({**COLUMNS, "size": np.array([1, 2], "M8[D]")}, TABLE, "expects FP32, given are dates with values", "Convert"),
        ({**COLUMNS, "size": pandas.to_datetime(["2020-01-01", "2020-01-02"])}, TABLE, "2020.* in row 0", "trained on"),
        ({**COLUMNS, "size": [1, {}]}, TABLE, "such as {} in row 1", "Convert"),
        ({**COLUMNS, "size": [1, 1e300]}, TABLE, r"such as 1e\+300 in row 1", "astype"),
        ([[1, 2], [3, 0.5]], Signature([TensorSpec("n", "INT64", [-1, 2])], []), "such as 0.5 in row 1", "astype"),
        ({**COLUMNS, "color": ["red"]}, TABLE, "not equally long: 'size' 2, 'weight' 2, 'color' 1", "every"),
        (["a", None], TEXT, "Row 1 of input 'text' has no value", "Leave"),
        ([1.5], TEXT, "Row 0 of input 'text' expects a text", "astype"),
        ([["a"]], TEXT, r"shape \(rows,\), given is \(1, 1\)", ""),
        ([[1, None]], Signature([TensorSpec("n", "INT64", [-1, 2])], []), "Row 0 of input 'n' has no value", "fill"),
        ("abc", TENSOR, "expects the shape", "numbers, not texts"),
        (np.zeros((2, 8, 8)), TEXT, r"given is \(2, 8, 8\)", "PNG or JPEG file as bytes"),
        (np.zeros((2, 8, 8), np.uint8), PICTURE, r"given is \(2, 8, 8\)", r"X\[:, None\]"),
        (np.zeros((2, 8, 8, 1), np.uint8), PICTURE, r"given is \(2, 8, 8, 1\)", r"X\.transpose\(0, 3, 1, 2\)"),
        (np.zeros((2, 64)), PICTURE, r"given is \(2, 64\)", r"X\.reshape\(-1, 1, 8, 8\)"),
        (np.zeros((1, 8, 8)), PICTURE, r"given is \(1, 8, 8\)", r"X\[None\]"),
        ({**COLUMNS, "size": ["small", "2"]}, TABLE, "such as 'small' in row 0", "Correct such values"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(X, signature, said, hint):
    with pytest.raises(InvalidInput, match=said) as caught:
        conform(X, signature)
    assert re.search(hint, caught.value.hint)


def test_many_columns_do_not_flood_the_message():
    wide = Signature([TensorSpec(f"c{index}", "FP32", [-1]) for index in range(300)], [])
    for X in ({"c0": [1]}, [[1, 2]], [1]):
        with pytest.raises(InvalidInput, match=r"and 29[12] more") as caught:
            conform(X, wide)
        assert len(str(caught.value)) < 500


def test_what_is_missing_is_said_in_the_models_way():
    frame = pandas.DataFrame({**COLUMNS, "size": [None, 2.0], "color": [None, "red"]})
    frame["weight"] = pandas.array([1, None], dtype="Int64")
    frame["shape"] = pandas.array([None, "flat"], dtype="string")
    found = conform(frame, TABLE)
    np.testing.assert_array_equal(found["size"], np.array([np.nan, 2], np.float32))
    np.testing.assert_array_equal(found["weight"], np.array([1, np.nan], np.float32))
    assert found["color"].tolist() == ["", "red"]
    assert found["shape"].tolist() == ["", "flat"]
    np.testing.assert_array_equal(conform([[1, None]], TENSOR)["x"], np.array([[1, np.nan]], np.float32))


@pytest.mark.parametrize(
    "X",
    [
        pandas.DataFrame({**COLUMNS, "color": [True, False]}),
        pandas.DataFrame({**COLUMNS, "color": [True, False]}).astype({"color": "boolean"}),
        [{**ROWS[0], "color": True}, {**ROWS[1], "color": False}],
        {**COLUMNS, "color": np.array([True, False])},
    ],
    ids=["DataFrame", "nullable", "rows", "array"],
)
def test_truth_values_are_the_texts_that_training_reads(X):
    assert conform(X, TABLE)["color"].tolist() == ["True", "False"]
    column = as_source(pandas.DataFrame({"color": [True, False], "size": [1, 2]})).columns["color"]
    assert column.tolist() == ["True", "False"]


def test_a_truth_value_is_no_text():
    with pytest.raises(InvalidInput, match="expects a text"):
        conform([True], TEXT)


@pytest.mark.parametrize(
    "X",
    [
        "a text",
        ["a text"],
        ("a text",),
        np.array(["a text"]),
        pandas.Series(["a text"]),
        {"text": "a text"},
        [{"text": "a text"}],
        pandas.DataFrame({"text": ["a text"]}),
    ],
    ids=str,
)
def test_texts(X):
    assert listed(conform(X, TEXT)) == {"text": ["a text"]}


def test_a_single_value_is_a_row():
    assert listed(conform({"width": 1, "height": 2}, NUMBERS)) == {"width": [1], "height": [2]}
    assert listed(conform({**ROWS[0]}, TABLE)) == {name: [value] for name, value in ROWS[0].items()}


def test_files_as_bytes_and_as_paths(tmp_path):
    content = b"\x89PNG and zeros at the end\0\0"
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    for X in (content, [content], path, [path], {"text": path}, np.array([content], dtype=object)):
        assert conform(X, TEXT)["text"].tolist() == [content]
    assert conform([content, path, "dGV4dA=="], TEXT)["text"].tolist() == [content, content, "dGV4dA=="]
    with pytest.raises(InvalidInput, match=r"none\.png cannot be read: No such file"):
        conform(tmp_path / "none.png", TEXT)


def test_no_rows_are_the_servers_to_refuse():
    for empty in ([], np.array([], dtype=str), np.array([], dtype="M8[s]"), pandas.Series([], dtype=object)):
        assert conform({"width": empty, "height": empty}, NUMBERS)["width"].dtype == np.float32


def test_a_text_that_names_a_file_stays_a_text():
    # A text may come from anybody: it must not decide which files of this machine are sent.
    assert conform([__file__], TEXT)["text"].tolist() == [__file__]


def test_a_data_frame_for_one_tensor_goes_in_its_order():
    frame = pandas.DataFrame({"b": [1, 2], "a": [3.5, 4]})
    assert listed(conform(frame, TENSOR)) == {"x": [[1, 3.5], [2, 4]]}
    assert listed(conform([{"x": [1, 2]}, {"x": [3, 4]}], TENSOR)) == {"x": [[1, 2], [3, 4]]}


def test_no_rows_are_refused_with_what_to_send():
    signature = Signature(inputs=[TensorSpec("x", "FP32", [-1, 4])], outputs=[])
    with pytest.raises(InvalidInput, match="holds no values") as refused:
        validate({"x": np.empty((0, 4), dtype=np.float32)}, signature)
    assert refused.value.hint == "Send at least one row."
