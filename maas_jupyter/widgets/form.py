"""How the inputs of a model are asked for: a field for each, from the signature and what else is known of it."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from maas_jupyter.api.playing import Known
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image

FieldKind = Literal["number", "truth", "choice", "text", "drawing", "file", "json"]

#: A drawing has at most so many points a side, and a row of numbers at most so many fields.
_LARGEST_DRAWING, _MOST_NUMBERS = 64, 32
#: Rows of numbers that are as long are taken for small square images, of at least so many points a side.
_SMALLEST_SQUARE = 8
_TEXT_LENGTH = 4000
#: Points of the longer side of a thumbnail.
_THUMBNAIL = 48


@dataclass(frozen=True)
class Field:
    """One input of the form, as the front end is told.

    Attributes
    ----------
    name : str
        Of the model's input.
    kind : str
        What it is asked with; ``others`` are the ways that it can be asked with instead.
    spec : str
        Datatype and shape, in words.
    length : int
        How many numbers, for the kind ``number``.
    height, width : int
        Points of a drawing.
    options : list of str
        The values of a choice.
    initial : str
        What stands in the field at first.
    whole : bool
        Whether a number is an integer.
    """

    name: str
    kind: FieldKind
    spec: str
    others: list[FieldKind] = field(default_factory=list)
    length: int = 1
    height: int = 0
    width: int = 0
    options: list[str] = field(default_factory=list)
    initial: str = ""
    whole: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def fields_of(signature: Signature, known: Known) -> list[Field]:
    """Return a field for each input of a signature."""
    return [_field(spec, known, alone=len(signature.inputs) == 1) for spec in signature.inputs]


def _field(spec: TensorSpec, known: Known, *, alone: bool) -> Field:
    words = f"{spec.datatype} {spec.shape}"
    row = spec.shape[1:]
    whole = "INT" in spec.datatype
    if spec.name in known.images:
        channels, height, width = known.images[spec.name]
        if channels == 1 and max(height, width) <= _LARGEST_DRAWING:
            return Field(spec.name, "drawing", words, ["file"], height=height, width=width)
        return Field(spec.name, "file", words, height=height, width=width)
    if spec.datatype == "BYTES":
        if row:
            return Field(spec.name, "json", words, initial=_example(spec))
        options = known.choices.get(spec.name, [])
        if options:
            return Field(spec.name, "choice", words, ["text"], options=options, initial=options[0])
        return Field(spec.name, "text", words, ["file"] if alone else [])
    if spec.datatype == "BOOL":
        if not row or row == [1]:
            return Field(spec.name, "truth", words)
        return Field(spec.name, "json", words, initial=_example(spec))
    side = _sides(row)
    if side is not None and spec.datatype.startswith("FP"):
        height, width = side
        channels = _channels(row)
        others: list[FieldKind] = ["file", "json"]
        if channels == 1 and max(side) <= _LARGEST_DRAWING:
            return Field(spec.name, "drawing", words, others, height=height, width=width, initial=_example(spec))
        return Field(spec.name, "file", words, ["json"], height=height, width=width, initial=_example(spec))
    if len(row) <= 1 and -1 not in row and math.prod(row) <= _MOST_NUMBERS:
        return Field(spec.name, "number", words, length=math.prod(row), initial="0", whole=whole)
    return Field(spec.name, "json", words, initial=_example(spec))


def _sides(row: list[int]) -> tuple[int, int] | None:
    """Return height and width where a row is, or may be, an image."""
    if -1 in row:
        return None
    if len(row) == 1:
        side = math.isqrt(row[0])
        return (side, side) if side >= _SMALLEST_SQUARE and side * side == row[0] else None
    if len(row) == 2:
        return (row[0], row[1]) if min(row) >= _SMALLEST_SQUARE else None
    if len(row) == 3 and row[0] in (1, 3):
        return row[1], row[2]
    if len(row) == 3 and row[2] in (1, 3):
        return row[0], row[1]
    return None


def _channels(row: list[int]) -> int:
    return (row[0] if row[0] in (1, 3) else row[2]) if len(row) == 3 else 1


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]} …"


def _example(spec: TensorSpec) -> str:
    """Return a row of zeros as JSON."""
    row = [max(size, 1) for size in spec.shape[1:]]
    value = np.zeros(row, dtype=np.int64).tolist() if spec.datatype != "BYTES" else np.full(row, "text").tolist()
    return json.dumps(value)


# -- from the form to the model ---------------------------------------------------------------------------------------


def inputs_of(values: Mapping[str, Any], signature: Signature, known: Known, ink: float) -> dict[str, Any]:
    """Return one row for the model from what the form holds.

    Parameters
    ----------
    values : mapping of str to dict
        For each input ``{"kind": ..., "value": ...}``.
    signature : Signature
    known : Known
    ink : float
        The number that stands for a point that is fully drawn, or white.

    Raises
    ------
    InvalidInput
        If a value is missing or cannot be read.
    """
    found = {}
    for spec in signature.inputs:
        given = values.get(spec.name)
        if not isinstance(given, Mapping):
            raise InvalidInput(f"There is no value for '{spec.name}'.")
        found[spec.name] = _value(given.get("kind"), given.get("value"), spec, known, ink)
    return found


def _value(kind: Any, value: Any, spec: TensorSpec, known: Known, ink: float) -> Any:
    if kind == "number":
        return _numbers(value, spec)
    if kind == "truth":
        return np.full([1, *spec.shape[1:]], bool(value))
    if kind in ("text", "choice"):
        return [str(value)]
    if kind == "drawing":
        return _drawing(value, spec, ink)
    if kind == "file":
        return _file(value, spec, known, ink)
    try:
        return [json.loads(value)]
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"'{spec.name}' is no JSON: {error}", hint=f"Such as {_cut(_example(spec))}") from error


def _numbers(value: Any, spec: TensorSpec) -> np.ndarray:
    texts = value if isinstance(value, list) else [value]
    try:
        numbers = [float(text) if str(text).strip() else math.nan for text in texts]
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"'{spec.name}' takes numbers, not {texts}.") from error
    return np.asarray(numbers, dtype=np.float64).reshape([1, *spec.shape[1:]])


def _points(value: Any, spec: TensorSpec) -> np.ndarray:
    try:
        points = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The drawing for '{spec.name}' cannot be read: {error}") from error
    if points.ndim != 2 or not points.size:
        raise InvalidInput(f"The drawing for '{spec.name}' has no points.")
    return np.clip(points, 0.0, 1.0)


def _drawing(value: Any, spec: TensorSpec, ink: float) -> Any:
    points = _points(value, spec)
    if spec.datatype != "BYTES":
        return _shaped(points * np.float32(ink), spec)
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray((points * 255).round().astype(np.uint8)).save(buffer, "PNG")
    return [buffer.getvalue()]


def _shaped(points: np.ndarray, spec: TensorSpec) -> np.ndarray:
    shape = [1, *spec.shape[1:]]
    if points.size != math.prod(shape):
        raise InvalidInput(f"'{spec.name}' takes {spec.shape}, but the image has the shape {list(points.shape)}.")
    return points.reshape(shape)


def _file(value: Any, spec: TensorSpec, known: Known, ink: float) -> Any:
    try:
        data = base64.b64decode(str(value["data"]), validate=True)
    except (TypeError, KeyError, binascii.Error) as error:
        raise InvalidInput(f"There is no file for '{spec.name}'.", hint="Choose one.") from error
    if spec.name in known.images:
        with _picture(data, spec):
            return [data]
    if spec.datatype == "BYTES":
        return [data.decode("utf-8", "replace")[:_TEXT_LENGTH]]
    return _shaped(_decoded(data, spec) * np.float32(ink), spec)


@contextmanager
def _picture(data: bytes, spec: TensorSpec) -> Iterator[Image]:
    """Open an image file; one that is none, or is cut, is said to be so."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            yield picture
    except UnidentifiedImageError as error:
        raise InvalidInput(f"The file for '{spec.name}' is no image.", hint="Choose a PNG or a JPEG file.") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"The image file for '{spec.name}' cannot be read: {error}") from error


def _decoded(data: bytes, spec: TensorSpec) -> np.ndarray:
    """Return an image file's points, from 0 to 1, in the model's size and layout."""
    row = spec.shape[1:]
    height, width = _sides(row) or (0, 0)
    channels = _channels(row)
    with _picture(data, spec) as picture:
        small = picture.convert("L" if channels == 1 else "RGB").resize((width, height))
    points = np.asarray(small, dtype=np.float32) / 255
    return points.transpose(2, 0, 1) if channels == 3 and row[0] == 3 else points


def thumbnail(values: Mapping[str, Any]) -> str:
    """Return the first drawing or image file among what was given, as a small PNG file in base64; empty without any."""
    from PIL import Image

    for each in values.values():
        kind: Any
        value: Any
        kind, value = (each.get("kind"), each.get("value")) if isinstance(each, Mapping) else (None, None)
        try:
            if kind == "drawing":
                picture = Image.fromarray((np.clip(np.asarray(value, dtype=np.float32), 0, 1) * 255).astype(np.uint8))
            elif kind == "file":
                picture = Image.open(io.BytesIO(base64.b64decode(value["data"])))
                picture.thumbnail((_THUMBNAIL, _THUMBNAIL))
            else:
                continue
        except (ValueError, TypeError, KeyError, OSError, Image.DecompressionBombError):
            continue  # no picture: what is wrong with it, the request says
        buffer = io.BytesIO()
        picture.convert("RGB" if picture.mode != "L" else "L").save(buffer, "PNG")
        return base64.b64encode(buffer.getvalue()).decode()
    return ""


def shown(value: Any, file: str = "image.png") -> str:
    """Return an input as Python source; what was in a file, by the file's name."""
    if isinstance(value, np.ndarray):
        return json.dumps(np.round(value.astype(np.float64), 4).tolist()).replace("NaN", "float('nan')")
    if isinstance(value, list) and value and isinstance(value[0], bytes):
        return f"[Path({file!r}).read_bytes()]"
    return repr(value)
