"""PNG and JPEG files in the server: what is made of them, and what is refused."""

from __future__ import annotations

import base64
import struct
import warnings
import zlib
from io import BytesIO

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import ImageInput
from maas_jupyter.serving.inputs.image import MAX_PIXELS, ImagePreprocessor


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def preprocessor(channels=3, size=(6, 4), **fields):
    width, height = size
    declared = ImageInput(
        tensor="x", **{"height": height, "width": width, "mean": [0] * channels, "std": [1] * channels, **fields}
    )
    return ImagePreprocessor("image", declared)


def saved(image, kind="PNG", **options):
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gradient(width=6, height=4):
    values = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    return Image.fromarray(values)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_that_claims(width, height):
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_scaled_and_normalised_as_declared():
    made = preprocessor(mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7], scale=1 / 255)
    values = np.asarray(gradient()) / 255
    expected = ((values - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]).transpose(2, 0, 1)
    array = made(objects(saved(gradient())))["x"]
    assert (array.shape, array.dtype) == ((1, 3, 4, 6), np.float32)
    np.testing.assert_allclose(array[0], expected, atol=1e-6)


def test_channels_last_and_grey():
    grey = preprocessor(1, layout="NHWC", scale=1)(objects(saved(gradient())))["x"]
    assert grey.shape == (1, 4, 6, 1)
    np.testing.assert_array_equal(grey[0, :, :, 0], np.asarray(gradient().convert("L")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_of_png_becomes_what_is_declared(mode, channels):
    image = gradient().convert(mode)
    array = preprocessor(channels, scale=1, layout="NHWC")(objects(saved(image)))["x"]
    expected = np.asarray(Image.open(BytesIO(saved(image))).convert("L" if channels == 1 else "RGB"))
    np.testing.assert_array_equal(array.reshape(expected.shape), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_mode_of_jpeg_is_decoded(mode):
    assert preprocessor()(objects(saved(gradient().convert(mode), "JPEG")))["x"].shape == (1, 3, 4, 6)


def test_sixteen_bits_of_grey_are_not_cut_off():
    values = np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6)
    array = preprocessor(1, scale=1)(objects(saved(Image.fromarray(values))))["x"]
    np.testing.assert_array_equal(array[0, 0], values >> 8)


def test_resized_to_what_is_declared():
    image = gradient(30, 20)
    array = preprocessor(scale=1, layout="NHWC")(objects(saved(image)))["x"]
    np.testing.assert_array_equal(array[0], np.asarray(image.resize((6, 4), Image.Resampling.BILINEAR)))


def test_turned_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    upright = preprocessor(scale=1, size=(4, 6), layout="NHWC")(objects(saved(gradient(), exif=exif)))["x"]
    np.testing.assert_array_equal(upright[0], np.asarray(gradient().transpose(Image.Transpose.ROTATE_270)))


def test_a_text_is_base64():
    made, file = preprocessor(), saved(gradient())
    text = base64.b64encode(file).decode()
    wrapped = "\n".join(text[start : start + 20] for start in range(0, len(text), 20))
    array = made(objects(file, text, wrapped))["x"]
    np.testing.assert_array_equal(array[0], array[1])
    np.testing.assert_array_equal(array[0], array[2])


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (b"", "not a PNG or JPEG"),
        (b"hello", "not a PNG or JPEG"),
        (saved(gradient(), "GIF"), "not a PNG or JPEG"),
        (saved(gradient(), "BMP"), "not a PNG or JPEG"),
        (saved(gradient(), "TIFF"), "not a PNG or JPEG"),
        (saved(gradient(), "WEBP"), "not a PNG or JPEG"),
        (saved(gradient(60, 40))[:-200], "cannot be decoded"),
        (saved(gradient(60, 40), "JPEG")[:-200], "cannot be decoded"),
        (saved(gradient())[:40], "PNG"),
        (saved(gradient(), save_all=True, append_images=[gradient().rotate(180)]), "animated"),
        (png_that_claims(100_000, 100_000), f"more than {MAX_PIXELS:,} pixels"),
        (png_that_claims(5_000, 5_001), f"more than {MAX_PIXELS:,} pixels"),
        (png_that_claims(2**31 - 1, 2**31 - 1), "pixels"),
        ("not base64!", "not an image in base64"),
        ("größer", "not an image in base64"),
        ("aGVsbG8=", "not a PNG or JPEG"),
    ],
)
def test_what_is_refused_in_words_by_its_row(value, words):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        with pytest.raises(InvalidInput, match=words) as caught:
            preprocessor()(objects(saved(gradient()), value))
    assert caught.value.message.startswith("Row 1 of input 'image'")
    assert caught.value.hint


@pytest.mark.parametrize(
    "fields",
    [
        {"mean": [0, 0]},
        {"std": [1]},
        {"std": [1, 0, 1]},
        {"height": 0},
        {"width": -1},
        {"height": 100_000, "width": 100_000},
    ],
)
def test_declarations_that_cannot_be(fields):
    with pytest.raises(BundleError, match="cannot be made"):
        preprocessor(**fields)


MADE = preprocessor(size=(5, 3))
FILES = [saved(gradient(20, 10)), saved(gradient(20, 10), "JPEG"), saved(gradient(9, 9).convert("P"))]


def decodes(value):
    try:
        array = MADE(objects(value))["x"]
    except InvalidInput as error:
        assert error.message.startswith("Row 0 of input 'image'")
    else:
        assert array.shape == (1, 3, 3, 5)
        assert np.isfinite(array).all()


@given(st.one_of(st.binary(), st.text()))
@example(b"\x89PNG\r\n\x1a\n")
@example(b"\xff\xd8\xff")
def test_any_value_gives_an_array_or_is_refused(value):
    decodes(value)


@settings(max_examples=300)
@given(st.sampled_from(FILES), st.data())
def test_any_altered_file_gives_an_array_or_is_refused(file, data):
    content = bytearray(file)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
        if not content:
            break
    decodes(bytes(content))


@given(st.sampled_from(FILES), st.data())
def test_any_file_that_was_cut_is_refused(file, data):
    # The last bytes of both formats hold no pixels.
    end = data.draw(st.integers(0, len(file) - 30))
    with pytest.raises(InvalidInput):
        MADE(objects(file[:end]))


@pytest.mark.parametrize("turned", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_large_jpeg_is_decoded_small_and_nearly_the_same(turned, mode):
    y, x = np.mgrid[:1200, :1600]
    large = Image.fromarray(np.stack([x / 8, y / 6, (x + y) / 14], axis=-1).astype(np.uint8)).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = turned
    file = saved(large, "JPEG", quality=95, exif=exif)
    size = (40, 30) if turned == 1 else (30, 40)
    array = preprocessor(scale=1, size=size, layout="NHWC")(objects(file))["x"][0]
    whole = ImageOps.exif_transpose(Image.open(BytesIO(file))).convert("RGB").resize(size, Image.Resampling.BILINEAR)
    assert np.abs(array - np.asarray(whole, dtype=np.float32)).max() <= 3


def test_a_picture_is_in_memory_once(monkeypatch):
    copied, copy = [], Image.Image.copy
    monkeypatch.setattr(Image.Image, "copy", lambda image: copied.append(image.size) or copy(image))
    preprocessor()(objects(saved(gradient(60, 40))))
    assert (60, 40) not in copied
