"""Rows as the user holds them and as clients will send them, with their raw targets."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from maas_jupyter.data.batches import LoaderData
from maas_jupyter.errors import InvalidInput, nearest

Form = Literal["tensors", "loader", "table", "text", "images"]
Kind = Literal["number", "text"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """Raw rows and raw targets; made by `as_source`.

    Attributes
    ----------
    form : {'tensors', 'loader', 'table', 'text', 'images'}
    name : str
        How messages call it.
    target : ndarray or None
        Raw targets: ``object`` of str, int64 or floats; of a loader None, it has them in its batches.
    label_order : tuple or None
        The classes in the data's own order, where it has one (a pandas category, a ``ClassLabel``, folders).
    notes : tuple of str
        What was decided while it was read.
    """

    form: ClassVar[Form]
    name: str = "data"
    target: np.ndarray | None = None
    label_order: tuple[str | int, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int | None:
        """Number of rows; None where it is not known before the end."""
        raise NotImplementedError

    def targets(self) -> np.ndarray | None:
        """Return the raw targets: texts, integers or floats; None where there are none or they are in a loader."""
        return self.target

    def raw(self) -> dict[str, np.ndarray]:
        """Return the inputs as clients send them, by the name of the signature's input.

        Tensors are called ``input``, several ``input_0``, ``input_1``, ... in the order of the module's arguments.
        """
        raise NotImplementedError

    def select(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Return the rows at these places, in this order.

        Raises
        ------
        InvalidInput
            If the rows are in a DataLoader.
        """
        raise NotImplementedError

    def _selected(self, indices: np.ndarray, **rows: Any) -> Source:
        return dataclasses.replace(self, target=None if self.target is None else self.target[indices], **rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class TensorSource(Source):
    """Arrays or tensors in memory."""

    form: ClassVar[Form] = "tensors"
    inputs: tuple[Tensor, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.inputs[0])

    def raw(self) -> dict[str, np.ndarray]:
        """Return the arrays themselves."""
        names = ["input"] if len(self.inputs) == 1 else [f"input_{index}" for index in range(len(self.inputs))]
        return {name: tensor.cpu().numpy() for name, tensor in zip(names, self.inputs, strict=True)}

    def select(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Return the rows at these places, in this order."""
        places = np.asarray(indices)
        return self._selected(places, inputs=tuple(tensor[places] for tensor in self.inputs))


@dataclass(frozen=True, eq=False, kw_only=True)
class LoaderSource(Source):
    """A ``Dataset`` or ``DataLoader`` of tensors; its rows are seen when it is walked."""

    form: ClassVar[Form] = "loader"
    loader: DataLoader[Any] | Dataset[Any]

    @property
    def rows(self) -> int | None:
        """Number of rows, where it says so."""
        return LoaderData(self.loader).rows

    def raw(self) -> dict[str, np.ndarray]:
        """Refuse: the rows are not in memory.

        Raises
        ------
        InvalidInput
        """
        raise InvalidInput(
            f"'{self.name}' is a {type(self.loader).__name__}, whose rows are not held in memory.",
            hint="Pass the rows themselves: (X, y), a table, texts or images.",
        )

    def select(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Return rows of a ``Dataset``; a ``DataLoader`` has its own order.

        Raises
        ------
        InvalidInput
            If it is a ``DataLoader``, or a ``Dataset`` that has no rows by number.
        """
        if isinstance(self.loader, DataLoader) or not hasattr(self.loader, "__getitem__") or self.rows is None:
            raise InvalidInput(
                f"'{self.name}' is a {type(self.loader).__name__}: rows cannot be taken out of it.",
                hint="Split its dataset with torch.utils.data.random_split and pass two loaders, or pass (X, y).",
            )
        return dataclasses.replace(self, loader=Subset(self.loader, [int(index) for index in indices]))


@dataclass(frozen=True, eq=False, kw_only=True)
class TableSource(Source):
    """Columns: float32 numbers with NaN where a value is missing, texts (``object``) with ``""`` where one is.

    Attributes
    ----------
    columns : dict of str to ndarray, shape (rows,)
    """

    form: ClassVar[Form] = "table"
    columns: dict[str, np.ndarray]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(next(iter(self.columns.values())))

    @property
    def kinds(self) -> dict[str, Kind]:
        """What each column holds."""
        return {name: "text" if values.dtype == object else "number" for name, values in self.columns.items()}

    def raw(self) -> dict[str, np.ndarray]:
        """Return the columns."""
        return dict(self.columns)

    def select(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Return the rows at these places, in this order."""
        places = np.asarray(indices)
        return self._selected(places, columns={name: values[places] for name, values in self.columns.items()})

    def like(self, kinds: Mapping[str, Kind]) -> TableSource:
        """Return the columns of another table, in its order and of its kinds; further ones are left out.

        Raises
        ------
        InvalidInput
            If a column is missing or of another kind.
        """
        columns = {}
        for name, kind in kinds.items():
            if name not in self.columns:
                raise InvalidInput(
                    f"'{self.name}' has no column '{name}', which the model was trained with.",
                    hint=nearest(name, self.columns, what="columns", otherwise=""),
                )
            values = self.columns[name]
            if kind == "number" and values.dtype == object:
                given = np.flatnonzero(values != "")
                if len(given):
                    raise InvalidInput(
                        f"Column '{name}' of '{self.name}' holds text where numbers are expected: "
                        f"{values[given[0]][:60]!r} at row {given[0]}.",
                        hint=f"The model was trained with numbers: pandas.to_numeric(frame['{name}']).",
                    )
                values = np.full(len(values), np.nan, dtype=np.float32)
            elif kind == "text" and values.dtype != object:
                given = np.flatnonzero(~np.isnan(values))
                if len(given):
                    raise InvalidInput(
                        f"Column '{name}' of '{self.name}' holds numbers where texts are expected: "
                        f"{values[given[0]]:g} at row {given[0]}.",
                        hint=f"The model was trained with texts: frame['{name}'].astype(str).",
                    )
                values = np.full(len(values), "", dtype=object)
            columns[name] = values
        return dataclasses.replace(self, columns=columns)


@dataclass(frozen=True, eq=False, kw_only=True)
class TextSource(Source):
    """Texts.

    Attributes
    ----------
    texts : ndarray of object (str), shape (rows,)
    """

    form: ClassVar[Form] = "text"
    texts: np.ndarray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.texts)

    def raw(self) -> dict[str, np.ndarray]:
        """Return the texts as ``text``."""
        return {"text": self.texts}

    def select(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Return the rows at these places, in this order."""
        places = np.asarray(indices)
        return self._selected(places, texts=self.texts[places])


@dataclass(frozen=True, eq=False, kw_only=True)
class ImageSource(Source):
    """PNG and JPEG files.

    Attributes
    ----------
    files : ndarray of object, shape (rows,)
        Their ``bytes``, or their ``Path``: read when they are needed.
    """

    form: ClassVar[Form] = "images"
    files: np.ndarray

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.files)

    def raw(self) -> dict[str, np.ndarray]:
        """Return the files' bytes as ``image``."""
        return {"image": read_images(self.files)}

    def select(self, indices: Sequence[int] | np.ndarray) -> Source:
        """Return the rows at these places, in this order."""
        places = np.asarray(indices)
        return self._selected(places, files=self.files[places])


def read_images(files: np.ndarray) -> np.ndarray:
    """Return files, given as ``bytes`` or ``Path``, as ``bytes``.

    Raises
    ------
    InvalidInput
        If one cannot be read.
    """
    read = np.empty(len(files), dtype=object)
    for row, file in enumerate(files):
        try:
            read[row] = file.read_bytes() if isinstance(file, Path) else file
        except OSError as error:
            raise InvalidInput(
                f"The image {file} cannot be read: {error.strerror or error}", hint="Check the path."
            ) from error
    return read
