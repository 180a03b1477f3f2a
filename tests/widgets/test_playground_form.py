"""How the inputs of models are asked for, and what the form's values become."""

from __future__ import annotations

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image

from maas_jupyter.api.playing import Known
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec
from maas_jupyter.widgets.form import fields_of, inputs_of, shown


def signature(*inputs):
    return Signature([TensorSpec(*each) for each in inputs], [TensorSpec("scores", "FP32", [-1, 3])])


def field(*spec, known=None):
    return fields_of(signature(spec), known or Known())[0]


def png(mode="L", size=(20, 10), colour=255):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return {"name": "a.png", "data": base64.b64encode(buffer.getvalue()).decode()}


@pytest.mark.parametrize(
    ("datatype", "shape", "kind"),
    [
        ("FP32", [-1], "number"),
        ("INT64", [-1, 3], "number"),
        ("FP32", [-1, 13], "number"),
        ("FP32", [-1, 33], "json"),
        ("FP32", [-1, -1], "json"),
        ("FP32", [-1, 64], "drawing"),
        ("FP32", [-1, 1, 28, 28], "drawing"),
        ("FP32", [-1, 28, 28], "drawing"),
        ("FP32", [-1, 3, 224, 224], "file"),
        ("FP32", [-1, 32, 32, 3], "file"),
        ("FP32", [-1, 5, 8, 8], "json"),
        ("INT64", [-1, 64], "json"),
        ("BOOL", [-1], "truth"),
        ("BOOL", [-1, 4], "json"),
        ("BYTES", [-1], "text"),
        ("BYTES", [-1, 2], "json"),
    ],
)
def test_each_kind_of_input_has_its_field(datatype, shape, kind):
    assert field("x", datatype, shape).kind == kind


def test_a_column_with_known_values_is_a_choice_and_an_image_a_drawing_or_a_file():
    known = Known(choices={"colour": ["blue", "red"]}, images={"image": (1, 28, 28)})
    assert field("colour", "BYTES", [-1], known=known).options == ["blue", "red"]
    assert field("image", "BYTES", [-1], known=known).kind == "drawing"
    assert field("image", "BYTES", [-1], known=Known(images={"image": (3, 224, 224)})).kind == "file"


@pytest.mark.parametrize("shape", [[-1, 64], [-1, 8, 8], [-1, 1, 8, 8], [-1, 8, 8, 1]])
def test_a_drawing_becomes_the_tensor_with_the_ink_that_was_chosen(shape):
    drawn = np.zeros((8, 8))
    drawn[2, 3] = 0.5
    found = inputs_of({"x": {"kind": "drawing", "value": drawn.tolist()}}, signature(("x", "FP32", shape)), Known(), 16)
    assert found["x"].shape == (1, *shape[1:])
    assert found["x"].reshape(8, 8)[2, 3] == 8


def test_a_drawing_becomes_a_picture_where_the_model_takes_files():
    known = Known(images={"x": (1, 4, 4)})
    given = {"x": {"kind": "drawing", "value": [[0, 1], [1, 0]]}}
    (data,) = inputs_of(given, signature(("x", "BYTES", [-1])), known, 1)["x"]
    assert np.asarray(Image.open(io.BytesIO(data))).tolist() == [[0, 255], [255, 0]]


@pytest.mark.parametrize(
    ("shape", "mode", "colour"), [([-1, 1, 4, 6], "L", 255), ([-1, 3, 4, 6], "RGB", (255, 255, 255))]
)
def test_an_image_file_is_made_as_large_as_the_model_wants_it(shape, mode, colour):
    values = {"x": {"kind": "file", "value": png(mode, colour=colour)}}
    found = inputs_of(values, signature(("x", "FP32", shape)), Known(), 2)["x"]
    assert found.shape == (1, *shape[1:])
    assert np.all(found == 2)


def test_a_table_takes_numbers_choices_and_missing_values():
    values = {
        "size": {"kind": "number", "value": [""]},
        "colour": {"kind": "choice", "value": "red"},
        "new": {"kind": "truth", "value": True},
    }
    spec = signature(("size", "FP32", [-1]), ("colour", "BYTES", [-1]), ("new", "BOOL", [-1]))
    found = inputs_of(values, spec, Known(), 1)
    assert math.isnan(found["size"][0])
    assert found["colour"] == ["red"]
    assert found["new"].tolist() == [True]


@pytest.mark.parametrize(
    "given",
    [
        None,
        {"kind": "json", "value": "[1, "},
        {"kind": "json", "value": None},
        {"kind": "number", "value": ["one"]},
        {"kind": "drawing", "value": "ink"},
        {"kind": "drawing", "value": []},
        {"kind": "drawing", "value": [[1, 2], [3]]},
        {"kind": "drawing", "value": [[1.0]]},
        {"kind": "file", "value": None},
        {"kind": "file", "value": {"name": "a", "data": "%%%"}},
        {"kind": "file", "value": {"name": "a", "data": "YWJj"}},
    ],
)
def test_what_cannot_be_read_says_so(given):
    with pytest.raises(InvalidInput):
        inputs_of({"x": given}, signature(("x", "FP32", [-1, 1, 8, 8])), Known(), 1)


@pytest.mark.parametrize("data", [b"plain text", base64.b64decode(png()["data"])[:40]])
def test_a_file_that_is_no_image_is_not_sent(data):
    given = {"x": {"kind": "file", "value": {"name": "a.png", "data": base64.b64encode(data).decode()}}}
    with pytest.raises(InvalidInput, match=r"is no image|cannot be read"):
        inputs_of(given, signature(("x", "BYTES", [-1])), Known(images={"x": (3, 8, 8)}), 1)


def test_a_field_of_long_json_says_that_its_example_is_cut():
    with pytest.raises(InvalidInput) as caught:
        inputs_of({"x": {"kind": "json", "value": "["}}, signature(("x", "FP32", [-1, 90])), Known(), 1)
    assert caught.value.hint.endswith(" …")


def test_code_holds_the_values():
    array = np.array([[0.123456, np.nan]])
    assert eval(shown(array), {"float": float})[0][0] == 0.1235
    assert shown([b"x"], "it's.png") == """[Path("it's.png").read_bytes()]"""
    assert shown(["a 'text'"]) == repr(["a 'text'"])
