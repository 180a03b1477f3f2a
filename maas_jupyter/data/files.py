"""Data from paths: tables as files, images as files and folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from maas_jupyter.data.source import ImageSource
from maas_jupyter.errors import InvalidInput, NotFound, nearest

if TYPE_CHECKING:
    import pandas as pd

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_STARTS = (b"\x89PNG", b"\xff\xd8")


def read_table(path: Path, name: str) -> pd.DataFrame:
    """Read a CSV, Parquet, JSON lines or JSON file.

    Raises
    ------
    NotFound
        If there is no such file; the hint offers the nearest of its folder.
    InvalidInput
        If it is of another kind, or cannot be read as what its name says.
    """
    import pandas as pd

    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": pd.read_csv,
        ".parquet": pd.read_parquet,
        ".jsonl": lambda file: pd.read_json(file, lines=True, dtype=False),
        ".json": lambda file: pd.read_json(file, dtype=False),
    }
    suffix = path.suffix.lower()
    if not path.is_file():
        folder = path.parent
        names = [each.name for each in folder.iterdir() if each.suffix.lower() in readers] if folder.is_dir() else []
        raise NotFound(
            f"'{name}': there is no file {path}.",
            hint=nearest(path.name, names, what=f"tables in {folder}", otherwise="Check the path."),
        )
    if suffix not in readers:
        raise InvalidInput(
            f"'{name}': {path.name} is not a kind of file that is known.",
            hint=f"Known are {', '.join(readers)} and folders of images; others: pandas.read_...",
        )
    try:
        return readers[suffix](path)
    except (ValueError, OSError, UnicodeError) as error:  # what pandas and pyarrow raise for malformed files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InvalidInput(
            f"'{name}': {path.name} cannot be read as {suffix[1:]}: {reason}",
            hint="Open it in an editor, or read it with pandas and pass the DataFrame.",
        ) from error


def image_folder(path: Path, name: str) -> ImageSource:
    """Return the PNG and JPEG files of a folder that holds a folder for each class.

    Raises
    ------
    InvalidInput
        If it has no such folders, or they hold no images.
    """
    folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    files: list[Path] = []
    labels: list[str] = []
    others = 0
    for folder in folders:
        for file in sorted(folder.iterdir()):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                files.append(file)
                labels.append(folder.name)
            else:
                others += not file.name.startswith(".")
    if not files:
        raise InvalidInput(
            f"'{name}': there are no PNG or JPEG files in folders of {path}.",
            hint="Make one folder for each class, with its images: cats/1.png, dogs/1.png.",
        )
    return ImageSource(
        files=_objects(files),
        target=np.array(labels, dtype=object),
        notes=(f"not used: {others} files of {path} that are not PNG or JPEG",) if others else (),
        name=name,
    )


def is_image(value: Any) -> bool:
    """Say whether a value is an image: a file's bytes, its ``Path`` or a PIL image."""
    if isinstance(value, bytes):
        return value.startswith(_STARTS)
    return isinstance(value, Path) or (hasattr(value, "getbands") and hasattr(value, "save"))


def read_images_given(values: Sequence[Any], name: str) -> np.ndarray:
    """Return images as files: ``bytes``, or a ``Path`` to be read later; PIL images become PNG files.

    Raises
    ------
    InvalidInput
        If a file is not there, or a PIL image is of a mode that PNG does not know.
    """
    files = []
    for row, value in enumerate(values):
        if isinstance(value, Path) and not value.is_file():
            raise InvalidInput(f"'{name}': there is no file {value} (row {row}).", hint="Check the paths.")
        files.append(value if isinstance(value, bytes | Path) else _png(value, row, name))
    return _objects(files)


def _png(image: Any, row: int, name: str) -> bytes:
    file = BytesIO()
    try:
        (image.convert("RGB") if image.mode == "CMYK" else image).save(file, "PNG")
    except OSError as error:
        raise InvalidInput(
            f"'{name}': the image at row {row} has the mode {image.mode}, which PNG does not know.",
            hint="Convert it first: image.convert('RGB').",
        ) from error
    return file.getvalue()


def _objects(values: Sequence[Any]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
