"""One row as features, each of which can be there or be replaced by the baseline's."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from maas_jupyter.errors import InvalidInput
from maas_jupyter.explanation.baseline import Baseline
from maas_jupyter.explanation.intake import Usual
from maas_jupyter.schema import ImageInput

#: A side of a picture is cut into at most this many patches.
_PATCHES = 8
#: A word; in scripts that put no spaces between words, a character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
#: A text of more words is explained in passages of several words.
_MOST_WORDS = 100


class Part(Protocol):
    """The features of one input of one row.

    Attributes
    ----------
    names, values : list
        Of each feature: what it is called, and what the row has there.
    described : str
        The baseline, in words.
    """

    names: list[str]
    values: list[Any]
    described: str

    def perturbed(self, present: np.ndarray) -> np.ndarray:
        """Return the input with some features absent.

        Parameters
        ----------
        present : ndarray of bool, shape (rows, features)

        Returns
        -------
        ndarray, shape (rows, ...)
            As the input is sent.
        """


class Held:
    """An input that is no feature, such as an attention mask: it is as it is in every perturbed row."""

    described = ""

    def __init__(self, row: np.ndarray) -> None:
        self.names: list[str] = []
        self.values: list[Any] = []
        self._row = row

    def perturbed(self, present: np.ndarray) -> np.ndarray:
        """Return the row's own input."""
        return np.repeat(self._row[None], len(present), axis=0)


class Values:
    """Numbers, indices or categories, each a feature: a column of a table, or a row of several."""

    def __init__(self, row: np.ndarray, names: Sequence[str], baseline: Baseline, usual: Usual) -> None:
        self.names = list(names)
        self.values = [None if isinstance(value, str) and not value else value for value in row.ravel()]
        self._row = row
        self._absent, self.described = baseline.of_array(row, usual)

    def perturbed(self, present: np.ndarray) -> np.ndarray:
        """Replace the values of absent features."""
        return np.where(present.reshape(-1, *self._row.shape), self._row, self._absent)


class Patches:
    """A picture as an array ``(height, width)``, ``(channels, height, width)`` or ``(height, width, channels)``.

    Attributes
    ----------
    index : ndarray of int, shape (height, width)
        The patch of each place.
    channels : int or None
        The axis of the channels.
    """

    def __init__(self, row: np.ndarray, baseline: Baseline) -> None:
        self._row = row
        self.channels = channel_axis(row.shape)
        axes = tuple(axis for axis in range(row.ndim) if axis != self.channels)
        if isinstance(baseline.asked, str) and baseline.asked == "mean":
            colour = row.mean(axis=axes, keepdims=True)
            self._absent, self.described = np.broadcast_to(colour, row.shape).astype(row.dtype), "its mean colour"
        else:
            self._absent, self.described = baseline.of_array(row, Usual(0, "zeros"))
        self.index = patch_index(*(row.shape[axis] for axis in axes))
        self.names = [f"patch {number}" for number in range(int(self.index.max()) + 1)]
        self.values = [""] * len(self.names)

    def perturbed(self, present: np.ndarray) -> np.ndarray:
        """Replace absent patches."""
        there = present[:, self.index]
        if self.channels is not None:
            there = np.expand_dims(there, self.channels + 1)
        return np.where(there, self._row, self._absent)

    def spread(self, weights: np.ndarray) -> np.ndarray:
        """Share the patches' attributions out to their places, so that the sum stays."""
        shared: np.ndarray = (weights / np.bincount(self.index.ravel()))[self.index]
        return shared

    def flattened(self, attributions: np.ndarray) -> np.ndarray:
        """Return an array of the row's shape summed over its channels."""
        summed: np.ndarray = attributions if self.channels is None else attributions.sum(axis=self.channels)
        return summed

    @property
    def picture(self) -> np.ndarray:
        """Grey or RGB, uint8, stretched over what the row holds."""
        row = np.nan_to_num(self._row.astype(np.float64))
        if self.channels is not None:
            row = np.moveaxis(row, self.channels, -1)
            row = row if row.shape[-1] == 3 else row.mean(axis=-1)
        low, high = row.min(), row.max()
        pixels: np.ndarray = ((row - low) / ((high - low) or 1.0) * 255).round().astype(np.uint8)
        return pixels


class PictureFile:
    """A PNG or JPEG file, seen at the size that the model takes."""

    def __init__(self, file: bytes | str, declared: ImageInput, name: str, baseline: Baseline) -> None:
        from maas_jupyter.serving.inputs.image import ImagePreprocessor

        sent = np.empty(1, dtype=object)
        sent[0] = file
        decoded = ImagePreprocessor(name, declared)(sent)[declared.tensor][0]
        pixels = decoded.transpose(1, 2, 0) if declared.layout == "NCHW" else decoded
        pixels = (pixels * np.array(declared.std) + np.array(declared.mean)) / declared.scale
        self.pixels = pixels.round().clip(0, 255).astype(np.uint8)
        self._patches = Patches(self.pixels, baseline)
        self.names, self.values = self._patches.names, self._patches.values
        self.described = "black" if self._patches.described == "zeros" else self._patches.described
        self.channels = 0 if declared.layout == "NCHW" else 2
        self.spread = self._patches.spread

    def perturbed(self, present: np.ndarray) -> np.ndarray:
        """Return PNG files of the model's size, absent patches replaced."""
        from PIL import Image

        files = np.empty(len(present), dtype=object)
        for row, pixels in enumerate(self._patches.perturbed(present)):
            buffer = io.BytesIO()
            Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).save(buffer, "PNG", compress_level=1)
            files[row] = buffer.getvalue()
        return files

    def flattened(self, attributions: np.ndarray) -> np.ndarray:
        """Return attributions of the model's tensor summed over the channels."""
        summed: np.ndarray = attributions.sum(axis=self.channels)
        return summed

    @property
    def picture(self) -> np.ndarray:
        """Grey or RGB, uint8."""
        return self.pixels if self.pixels.shape[-1] == 3 else self.pixels[..., 0]


class Words:
    """The words of a text; absent ones are replaced by a token, or left out where there is none for that.

    Attributes
    ----------
    spans : list of (int, int)
        Where each feature stands in the text.
    token : str or None
    """

    def __init__(self, text: str, token: str | None) -> None:
        words = [match.span() for match in _WORD.finditer(text)]
        if not words:
            raise InvalidInput("A text without a word cannot be explained.", hint="Leave empty rows out.")
        together = -(-len(words) // _MOST_WORDS)
        groups = [words[start : start + together] for start in range(0, len(words), together)]
        self.text = text
        self.spans = [(group[0][0], group[-1][1]) for group in groups]
        self.names = [text[start:stop] for start, stop in self.spans]
        self.values: list[Any] = [""] * len(self.names)
        self.token = token
        self.described = f"{token} for each word" if token else "words left out"

    def perturbed(self, present: np.ndarray) -> np.ndarray:
        """Return texts."""
        texts = np.empty(len(present), dtype=object)
        for row, there in enumerate(present):
            pieces, position = [], 0
            for (start, stop), here in zip(self.spans, there, strict=True):
                pieces += [self.text[position:start], self.text[start:stop] if here else self.token or ""]
                position = stop
            texts[row] = "".join(pieces) + self.text[position:]
        return texts


def channel_axis(shape: tuple[int, ...]) -> int | None:
    """Say which axis of a picture holds its channels; None where it has none."""
    if len(shape) == 2:
        return None
    return 2 if shape[2] in (1, 3) and shape[0] not in (1, 3) else 0


def patch_index(height: int, width: int) -> np.ndarray:
    """Return the number of each place's patch, int ``(height, width)``, in a grid of at most 8 x 8."""
    down, across = min(height, _PATCHES), min(width, _PATCHES)
    rows = np.arange(height) * down // height
    columns = np.arange(width) * across // width
    return rows[:, None] * across + columns[None, :]
