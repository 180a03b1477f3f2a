"""PNG and JPEG files to arrays of numbers."""

from __future__ import annotations

import base64
import binascii
import math
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import ImageInput

FORMATS = ("PNG", "JPEG")
#: Larger images are refused: a file of some kilobytes can claim any size, and is unpacked in memory as a whole.
MAX_PIXELS = 25_000_000

_MODES = {1: "L", 3: "RGB"}


class ImagePreprocessor:
    """Decodes images, turns them as their EXIF says, and makes them of one size, mode and scale.

    Parameters
    ----------
    name : str
        Of the signature's input, for errors.
    declared : ImageInput
        Size, channels, scale and layout.

    Raises
    ------
    BundleError
        If there can be no such array.
    """

    def __init__(self, name: str, declared: ImageInput) -> None:
        channels, size = len(declared.mean), (declared.width, declared.height)
        if (
            channels not in _MODES
            or len(declared.std) != channels
            or 0 in declared.std
            or min(size) < 1
            or math.prod(size) > MAX_PIXELS
        ):
            raise BundleError(
                f"The manifest declares images for '{name}' that cannot be made: {declared}.",
                hint="mean and std have 1 or 3 numbers, std none that is zero, and height and width are at least 1.",
            )
        self._name = name
        self._declared = declared
        self._mode = _MODES[channels]
        self._size = size

    def __call__(self, values: np.ndarray) -> dict[str, np.ndarray]:
        """Return FP32 ``(value * scale - mean) / std``.

        Raises
        ------
        InvalidInput
            If a value is not a whole PNG or JPEG file, is animated or has too many pixels.
        """
        declared = self._declared
        channels = len(declared.mean)
        pixels = np.empty((len(values), declared.height, declared.width, channels), dtype=np.float32)
        for row, value in enumerate(values):
            decoded = self._decoded(row, value)
            pixels[row] = np.asarray(decoded, dtype=np.uint8).reshape(pixels.shape[1:])
        pixels *= np.float32(declared.scale)
        pixels -= np.array(declared.mean, dtype=np.float32)
        pixels /= np.array(declared.std, dtype=np.float32)
        if declared.layout == "NCHW":
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        return {declared.tensor: pixels}

    def sample(self) -> np.ndarray:
        """Return a black PNG of the size that the model takes."""
        file = BytesIO()
        Image.new(self._mode, self._size).save(file, "PNG")
        values = np.empty(1, dtype=object)
        values[0] = file.getvalue()
        return values

    def _decoded(self, row: int, value: str | bytes) -> Image.Image:
        where = f"Row {row} of input '{self._name}'"
        try:
            data = base64.b64decode("".join(value.split()), validate=True) if isinstance(value, str) else value
        except (binascii.Error, ValueError) as error:
            raise InvalidInput(
                f"{where} is a text, but not an image in base64: {error}",
                hint="Send the file's bytes, or their base64.",
            ) from error
        try:
            image: Image.Image = Image.open(BytesIO(data), formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise self._too_large(where) from error
        except Exception as error:  # whatever the format's reader trips over
            raise InvalidInput(f"{where} is not a PNG or JPEG file.", hint="Send the whole file, unaltered.") from error
        if image.width * image.height > MAX_PIXELS:
            raise self._too_large(where)
        if image.format == "PNG" and getattr(image, "is_animated", False):
            raise InvalidInput(f"{where} is an animated PNG.", hint="Send one of its frames as a file of its own.")
        try:
            if image.format == "JPEG":
                # Decodes at an eighth to a half where that is still twice the size; either side may be the width.
                image.draft(None, (2 * max(self._size), 2 * max(self._size)))
            ImageOps.exif_transpose(image, in_place=True)
            return _as_mode(image, self._mode).resize(self._size, Image.Resampling.BILINEAR)
        except Exception as error:  # as above; now its pixels are read
            raise InvalidInput(
                f"{where} is a {image.format} file that cannot be decoded: {error}", hint="It may have been cut off."
            ) from error

    @staticmethod
    def _too_large(where: str) -> InvalidInput:
        return InvalidInput(
            f"{where} is an image of more than {MAX_PIXELS:,} pixels.", hint="Make it smaller before sending it."
        )


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow's own conversion would cut off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    return image if image.mode == mode else image.convert(mode)
