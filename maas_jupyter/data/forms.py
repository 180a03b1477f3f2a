"""Any form of data that a user holds, as a `Source`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from maas_jupyter.data.adapt import check_lengths, no_rows
from maas_jupyter.data.files import IMAGE_SUFFIXES, image_folder, is_image, read_images_given, read_table
from maas_jupyter.data.frames import read_column, read_target
from maas_jupyter.data.source import ImageSource, LoaderSource, Source, TableSource, TensorSource, TextSource
from maas_jupyter.data.tensors import FORMS, as_tensor, is_array
from maas_jupyter.errors import InvalidInput, UsageError, nearest

if TYPE_CHECKING:
    import pandas as pd

#: What Hugging Face calls the target.
_USUAL_TARGETS = ("label", "labels")


def as_source(value: Any, *, target: str | None = None, text: str | None = None, name: str = "data") -> Source:
    """Adapt any form of data.

    Parameters
    ----------
    value : object
        ``(X, y)`` of arrays, tensors or lists, or X alone; a ``TensorDataset``, ``Dataset`` or ``DataLoader``; a table
        (pandas, or anything with ``to_pandas``, such as a Hugging Face ``datasets.Dataset``), or ``(table, y)``; a path
        to CSV, Parquet, JSON lines or JSON, or to a folder with one folder of images for each class; texts; PNG or JPEG
        images as bytes, paths or PIL images; texts or images with their targets: ``(texts, y)``.
    target : str, optional
        The table's column to predict.
    text : str, optional
        The table's column of texts. A table whose only column, beside the target, holds texts is taken for texts too,
        unless that is a pandas category.
    name : str
        How messages call it.

    Returns
    -------
    Source

    Raises
    ------
    InvalidInput
        If the form is not one of these, is empty, or holds what no model can take; names the first place.
    UsageError
        If a target or a text column is named for something without columns.
    """
    if isinstance(value, Source):
        return value
    if isinstance(value, str | Path):
        path = Path(value).expanduser()
        value = image_folder(path, name) if path.is_dir() else read_table(path, name)
        if isinstance(value, Source):
            _no_columns(value, target, text)
            return value
    rows, targets = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    if _is_table(rows):
        return _table(rows, targets, target, text, name)
    source = _plain(value, rows, targets, name)
    _no_columns(source, target, text)
    return source


def _plain(value: Any, rows: Any, targets: Any, name: str) -> Source:
    if isinstance(value, TensorDataset):
        *inputs, goals = value.tensors
        return _tensors(tuple(inputs) if inputs else (goals,), goals if inputs else None, name)
    if isinstance(value, DataLoader | Dataset):
        source: Source = LoaderSource(loader=value, name=name)
        if source.rows == 0:
            raise no_rows(name)
        return source
    if isinstance(rows, list | np.ndarray) and not len(rows):
        raise no_rows(name)
    if _is_list_of(rows, is_image):
        return _with_targets(ImageSource(files=read_images_given(rows, name), name=name), targets)
    if _is_list_of(rows, lambda each: isinstance(each, str)):
        if all(each.lower().endswith(IMAGE_SUFFIXES) for each in rows):
            files = read_images_given([Path(each) for each in rows], name)
            return _with_targets(ImageSource(files=files, name=name), targets)
        return _with_targets(TextSource(texts=np.array([str(each) for each in rows], dtype=object), name=name), targets)
    if is_array(rows) and (targets is None or is_array(targets)):
        return _tensors((rows,), targets, name)
    kind = type(value).__name__
    if "keys" in dir(value) and type(value).__module__.startswith("datasets"):
        raise InvalidInput(
            f"'{name}' is a {kind} of several parts: {', '.join(value)}.",
            hint=f"Pass one of them: {name}['{next(iter(value), 'train')}'].",
        )
    if hasattr(rows, "toarray"):
        raise InvalidInput(
            f"'{name}' is a sparse matrix ({type(rows).__name__}), which a torch module does not take.",
            hint="Make it dense: (X.toarray(), y); of many columns first fewer: sklearn's TruncatedSVD(100).",
        )
    raise InvalidInput(f"'{name}' is a {kind}, which is not a form of data that is known.", hint=FORMS)


def _tensors(inputs: tuple[Any, ...], targets: Any, name: str) -> TensorSource:
    tensors = tuple(as_tensor(value, f"{name}'s inputs") for value in inputs)
    source = TensorSource(inputs=tensors, name=name)
    return _with_targets(source, targets)


def _with_targets(source: Any, targets: Any) -> Any:
    if targets is None:
        check_lengths(source.name, source.rows, targets=None)
        return source
    raw, order = _raw_targets(targets, source.name)
    check_lengths(source.name, source.rows, targets=len(raw))
    return dataclasses.replace(source, target=raw, label_order=order)


def _raw_targets(targets: Any, name: str) -> tuple[np.ndarray, tuple[str | int, ...] | None]:
    if hasattr(targets, "isna") and hasattr(targets, "dtype"):  # a series, whose dtype says more than its values
        return read_target(str(targets.name or "y"), targets, name)
    if isinstance(targets, Tensor):
        return as_tensor(targets, f"{name}'s targets").cpu().numpy(), None
    array = np.asarray(targets)
    if array.dtype.kind in "OSUT" and array.ndim == 1:
        import pandas as pd

        return read_target("y", pd.Series(array.tolist(), dtype=object), name)
    if array.dtype.kind == "b" and array.ndim == 1:
        return np.array([str(bool(value)) for value in array], dtype=object), None
    if array.dtype.kind in "OSUT" and array.ndim == 2 and array.shape[1] == 1:
        return _raw_targets(array[:, 0], name)
    return as_tensor(array, f"{name}'s targets").numpy(), None


def _table(rows: Any, targets: Any, target: str | None, text: str | None, name: str) -> Source:
    notes: list[str] = []
    label_names = _class_names(rows)
    images = _image_columns(rows)
    frame = _frame(rows, name)
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise InvalidInput(f"'{name}' has two columns called '{twice[0]}'.", hint="Rename one of them.")
    if target is None and targets is None and type(rows).__module__.startswith("datasets"):
        target = next((column for column in _USUAL_TARGETS if column in frame), None)
        if target:
            notes.append(f"the target is the column '{target}'; another one: target=")
    if target is not None:
        if targets is not None:
            raise UsageError(f"'{name}' has targets, and the target '{target}'.", hint="Pass one of the two.")
        _check_column(frame, target, name, "target")
        targets = frame[target]
        frame = frame.drop(columns=target)
    if not len(frame):
        raise no_rows(name)
    if not len(frame.columns):
        raise InvalidInput(f"'{name}' has no column beside the target.", hint="Pass the columns to predict from.")
    source = _of_columns(frame, images, text, name, notes)
    source = dataclasses.replace(source, notes=tuple(notes) + source.notes)
    source = _with_targets(source, targets)
    if target in label_names and source.target is not None and source.target.dtype.kind == "i":
        names = label_names[target]
        decoded = np.array([names[index] for index in source.target], dtype=object)
        source = dataclasses.replace(source, target=decoded, label_order=tuple(names))
    return source


def _of_columns(frame: pd.DataFrame, images: list[str], text: str | None, name: str, notes: list[str]) -> Any:
    if text is not None:
        _check_column(frame, text, name, "text column")
    elif len(images) == 1:
        cells = [Path(cell["path"]) if cell["bytes"] is None else cell["bytes"] for cell in frame[images[0]]]
        _note_unused(frame, images[0], notes)
        return ImageSource(files=read_images_given(cells, name), name=name)
    elif len(frame.columns) == 1 and _is_text(frame.iloc[:, 0]):
        text = str(frame.columns[0])
    if text is None:
        columns = {column: read_column(column, frame[column], name) for column in frame.columns}
        return TableSource(
            columns={column: read.values for column, read in columns.items()},
            notes=tuple(note for read in columns.values() for note in read.notes),
            name=name,
        )
    cells = frame[text].tolist()
    for row, cell in enumerate(cells):
        if not isinstance(cell, str):
            raise InvalidInput(
                f"The text in column '{text}' of '{name}' at row {row} is missing or no text: {cell!r}.",
                hint=f"frame.dropna(subset=['{text}']), or frame['{text}'].fillna('').astype(str).",
            )
    _note_unused(frame, text, notes)
    return TextSource(texts=np.array(cells, dtype=object), name=name)


def _note_unused(frame: pd.DataFrame, used: str, notes: list[str]) -> None:
    unused = [str(column) for column in frame.columns if column != used]
    if unused:
        notes.append(f"not used: {', '.join(unused)}")


def _is_text(series: pd.Series[Any]) -> bool:
    import pandas as pd

    if isinstance(series.dtype, pd.CategoricalDtype):
        return False
    return bool(pd.api.types.infer_dtype(series, skipna=True) == "string")


def _is_table(value: Any) -> bool:
    return hasattr(value, "to_pandas") or (hasattr(value, "columns") and hasattr(value, "iloc"))


def _frame(value: Any, name: str) -> pd.DataFrame:
    frame = value.to_pandas() if hasattr(value, "to_pandas") else value
    if not hasattr(frame, "columns"):
        raise InvalidInput(f"'{name}' is a {type(value).__name__}, not a table.", hint=FORMS)
    return frame.reset_index(drop=True)


def _class_names(value: Any) -> dict[str | None, list[str]]:
    """Return the names of a Hugging Face dataset's classes by column."""
    features = getattr(value, "features", None)
    if not isinstance(features, dict):
        return {}
    return {column: list(kind.names) for column, kind in features.items() if hasattr(kind, "names")}


def _image_columns(value: Any) -> list[str]:
    features = getattr(value, "features", None)
    if not isinstance(features, dict):
        return []
    return [column for column, kind in features.items() if type(kind).__name__ == "Image"]


def _is_list_of(value: Any, check: Any) -> bool:
    if isinstance(value, np.ndarray) or hasattr(value, "tolist"):
        if getattr(value, "ndim", 1) != 1 or isinstance(value, Tensor):
            return False
        # An array of numbers is left as it is: only these dtypes can hold texts and files.
        kind = getattr(value.dtype, "kind", "O")
        return kind in "OUST" and all(check(each) for each in value)
    return isinstance(value, list) and bool(value) and all(map(check, value))


def _check_column(frame: pd.DataFrame, column: str, name: str, what: str) -> None:
    if column not in frame.columns:
        raise InvalidInput(
            f"'{name}' has no column '{column}' for the {what}.",
            hint=nearest(column, frame.columns, what="columns", otherwise="It has no columns at all."),
        )


def _no_columns(source: Source, target: str | None, text: str | None) -> None:
    for option, column in (("target", target), ("text", text)):
        if column is not None:
            raise UsageError(
                f"'{source.name}' has no columns, so there is no {option} '{column}' in it.",
                hint="Pass a DataFrame or a file of a table, or (X, y) without it.",
            )
