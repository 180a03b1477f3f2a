"""Which rows are the same: leakage between two parts, and a fingerprint of the data of a run."""

from __future__ import annotations

import hashlib

import numpy as np

from maas_jupyter.data.distinct import distinct
from maas_jupyter.data.source import LoaderSource, Source, TableSource

_ROWS_AT_ONCE = 65_536


def shared_rows(train: Source, test: Source) -> int | None:
    """Count the rows of one part that are in the other too, whatever their targets are.

    Parameters
    ----------
    train, test : Source
        Images are the same where their files are; of a table the columns of ``train`` are compared.

    Returns
    -------
    int or None
        Rows of ``train`` that ``test`` holds; None where one of them is a loader, or they are of different forms.
    """
    if train.form != test.form or isinstance(train, LoaderSource) or isinstance(test, LoaderSource):
        return None
    if isinstance(train, TableSource) and isinstance(test, TableSource):
        test = test.like(train.kinds)
    known = set(_row_keys(test))
    return sum(key in known for key in _row_keys(train))


def fingerprint(source: Source) -> str | None:
    """Return the sha256 of all rows, their names and their targets; None for a loader."""
    if isinstance(source, LoaderSource):
        return None
    digest = hashlib.sha256(source.form.encode())
    arrays = source.raw()
    targets = source.targets()
    if targets is not None:
        arrays = {**arrays, "": targets}
    for name, array in arrays.items():
        kind = "texts" if array.dtype == object else array.dtype.str
        digest.update(f"\0{name}\0{kind}\0{array.shape}\0".encode())
        if array.dtype != object:
            digest.update(np.ascontiguousarray(array).data)
            continue
        places, found = distinct(array)
        digest.update(np.ascontiguousarray(places, dtype="<i8").data)
        for value in found:
            data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
            digest.update(len(data).to_bytes(8, "little"))
            digest.update(data)
    return digest.hexdigest()


def _row_keys(source: Source) -> list[int]:
    """Return a number for each row: equal rows have the same one in this process, others by a chance of 2**-64."""
    arrays = list(source.raw().values())
    if len(arrays) == 1 and arrays[0].dtype == object:
        return [hash(value) for value in arrays[0]]
    # In parts: of a million rows there is not room for every column a second and a third time.
    keys: list[int] = []
    for start in range(0, len(arrays[0]), _ROWS_AT_ONCE):
        keys += _keys([array[start : start + _ROWS_AT_ONCE] for array in arrays])
    return keys


def _keys(arrays: list[np.ndarray]) -> list[int]:
    numbers = [array for array in arrays if array.dtype != object]
    parts = []
    if all(array.ndim == 1 for array in numbers) and numbers:
        numbers = [np.stack(numbers, axis=1)]
    for array in numbers:
        rows = array.reshape(len(array), -1)
        if rows.dtype.kind == "f":
            rows = rows + rows.dtype.type(0)  # -0.0 is 0.0
            rows[np.isnan(rows)] = np.nan
        parts.append(np.ascontiguousarray(rows).view(np.uint8))
    texts = [_hashes(array) for array in arrays if array.dtype == object]
    if texts:
        parts.append(np.ascontiguousarray(np.stack(texts, axis=1)).view(np.uint8))
    rows = np.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]
    data, width = rows.tobytes(), rows.shape[1]
    return [hash(data[start : start + width]) for start in range(0, len(data), width)]


def _hashes(texts: np.ndarray) -> np.ndarray:
    places, found = distinct(texts)
    return np.array([hash(text) for text in found], dtype=np.int64)[places]
