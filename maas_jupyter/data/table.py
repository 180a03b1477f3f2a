"""Columns of a table as the tensors of a module: numbers standardised, categories encoded, missing values filled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from msgspec import Struct, field
from torch import Tensor

from maas_jupyter.categories import unknown_words
from maas_jupyter.data.batches import Data, TensorData
from maas_jupyter.data.distinct import distinct
from maas_jupyter.data.source import Kind, Source, TableSource
from maas_jupyter.errors import InvalidInput

Encoding = Literal["one-hot", "indices"]

#: Columns of these names would clash with the outputs of the bundle.
RESERVED = ("label", "output", "prediction", "scores")
RESERVED_START = "maas."


class NumberColumn(Struct, frozen=True):
    """A column of numbers: ``(value - mean) / std``, with ``median`` for a missing value."""

    name: str
    median: float = 0.0
    mean: float = 0.0
    std: float = 1.0


class CategoryColumn(Struct, frozen=True):
    """A column of texts: the index of each known value, and of every other one. What is missing is ``""``.

    ``common`` is the most frequent value of the training rows, where it is known.
    """

    name: str
    indices: dict[str, int]
    unknown: int
    common: str | None = None

    @property
    def cardinality(self) -> int:
        """How many indices there are: the rows that an embedding needs."""
        return max([*self.indices.values(), self.unknown]) + 1

    def one_hot(self) -> np.ndarray:
        """Return FP32 ``(cardinality, known values)``: row i is what index i becomes, zeros for what is unknown."""
        places = list(self.indices.values())
        rows = np.zeros((self.cardinality, len(places)), dtype=np.float32)
        rows[places, np.arange(len(places))] = 1
        return rows


class TablePreprocessing(Struct, frozen=True, kw_only=True, tag="table"):
    """What is made of a table's columns; fitted on the training rows by `fit_table`.

    With the encoding ``one-hot`` the module gets one FP32 ``(rows, features)``, the numbers first; with ``indices`` it
    gets FP32 ``(rows, number columns)`` and INT64 ``(rows, category columns)``, one of them where the table has no
    columns of the other kind.
    """

    numbers: list[NumberColumn] = field(default_factory=list)
    categories: list[CategoryColumn] = field(default_factory=list)
    encoding: Encoding = "one-hot"

    @property
    def kinds(self) -> dict[str, Kind]:
        """The columns in their order."""
        numbers: dict[str, Kind] = {column.name: "number" for column in self.numbers}
        return {**numbers, **{column.name: "text" for column in self.categories}}

    @property
    def features(self) -> int:
        """Numbers in a row of the first tensor."""
        if self.encoding == "indices":
            return len(self.numbers) or len(self.categories)
        return len(self.numbers) + sum(len(column.indices) for column in self.categories)

    @property
    def cardinalities(self) -> list[int]:
        """For each category column the rows that an embedding of its indices needs."""
        return [column.cardinality for column in self.categories]

    def source(self, source: Source) -> TableSource:
        """Return a table's columns in the order and of the kinds that this takes.

        Raises
        ------
        InvalidInput
            If a column is missing or of another kind.
        """
        if not isinstance(source, TableSource):
            raise InvalidInput(f"'{source.name}' holds {source.form}, not a table.", hint="Pass the same columns.")
        return source.like(self.kinds)

    def tensors(self, source: Source) -> tuple[Tensor, ...]:
        """Return the module's arguments.

        Raises
        ------
        InvalidInput
            If a column is missing or of another kind.
        """
        columns = self.source(source).columns
        rows = len(next(iter(columns.values())))
        if self.encoding == "indices":
            indices = [_indices(column, columns[column.name]) for column in self.categories]
            numbers = np.empty((rows, len(self.numbers)), dtype=np.float32)
            self._standardise(columns, numbers)
            parts = [numbers] if self.numbers else []
            return tuple(map(torch.from_numpy, [*parts, np.stack(indices, axis=1)] if indices else parts))
        # Filled in place: of many rows there is not room for every part a second time.
        values = np.empty((rows, self.features), dtype=np.float32)
        self._standardise(columns, values)
        start = len(self.numbers)
        for column in self.categories:
            known = column.one_hot()
            values[:, start : start + known.shape[1]] = known[_indices(column, columns[column.name])]
            start += known.shape[1]
        return (torch.from_numpy(values),)

    def unknown_values(self, source: Source) -> list[str]:
        """Say which categories the training rows did not have: the module sees none of its categories there.

        Raises
        ------
        InvalidInput
            If a column is missing or of another kind.
        """
        columns = self.source(source).columns
        said = []
        for column in self.categories:
            places, found = distinct(columns[column.name])
            counts = dict(zip(found, np.bincount(places[places >= 0], minlength=len(found)).tolist(), strict=True))
            said.append(unknown_words(column.name, counts, column.indices))
        return list(filter(None, said))

    def data(self, source: Source, targets: Tensor | None) -> Data:
        """Return the rows with their encoded targets."""
        return TensorData(self.tensors(source), targets)

    def _standardise(self, columns: Mapping[str, np.ndarray], values: np.ndarray) -> None:
        """Write the columns of numbers into the first columns of ``values``."""
        for place, column in enumerate(self.numbers):
            # The graph computes the same in 32 bits, in this order, so its numbers are the same to the last bit.
            given = columns[column.name]
            filled = np.where(np.isnan(given), np.float32(column.median), given)
            values[:, place] = (filled - np.float32(column.mean)) / np.float32(column.std)


def fit_table(source: TableSource, encoding: Encoding) -> tuple[TablePreprocessing, list[str]]:
    """Decide from the training rows what is made of each column.

    Parameters
    ----------
    source : TableSource
        Numbers get their mean, standard deviation (1 for a column of one value) and median; texts their sorted values,
        among them ``""`` where some are missing.
    encoding : {'one-hot', 'indices'}

    Returns
    -------
    preprocessing : TablePreprocessing
    notes : list of str
        What was decided.

    Raises
    ------
    InvalidInput
        If a column holds no value at all, or has a name that a bundle cannot have.
    """
    check_names(source.columns)
    numbers, categories, filled = [], [], []
    for name, values in source.columns.items():
        if values.dtype == object:
            counts = Counter(values.tolist())
            known = sorted(counts)
            indices = {value: index for index, value in enumerate(known)}
            categories.append(CategoryColumn(name, indices, len(known), max(known, key=counts.__getitem__)))
            if known == [""]:
                raise _empty(name, source.name)
            continue
        given = values[~np.isnan(values)].astype(np.float64)
        if not len(given):
            raise _empty(name, source.name)
        median = float(np.float32(np.median(given)))
        missing = len(values) - len(given)
        if missing:
            filled.append(f"{name} ({missing}, by {median:g})")
            given = np.append(given, np.full(missing, median))
        mean, std = (float(np.float32(number)) for number in (given.mean(), given.std()))
        constant = given.min() == given.max()
        numbers.append(NumberColumn(name, median, mean, 1.0 if constant or not std else std))
    preprocessing = TablePreprocessing(numbers=numbers, categories=categories, encoding=encoding)
    return preprocessing, _notes(preprocessing, filled)


def _notes(preprocessing: TablePreprocessing, filled: Sequence[str]) -> list[str]:
    numbers, categories = len(preprocessing.numbers), len(preprocessing.categories)
    parts = [f"{numbers} standardised number{'s' * (numbers != 1)}"] if numbers else []
    called = "1 category" if categories == 1 else f"{categories} categories"
    if categories and preprocessing.encoding == "one-hot":
        parts.append(f"{called} one-hot in {preprocessing.features - numbers}")
        parts.append(f"together {preprocessing.features} features")
    elif categories:
        sizes = ", ".join(f"{column.name} {column.cardinality}" for column in preprocessing.categories)
        parts.append(f"{called} as indices (embeddings of {sizes} rows)")
    notes = [f"table: {', '.join(parts)}"]
    return [*notes, f"missing numbers filled with the median: {', '.join(filled)}"] if filled else notes


def check_names(names: Mapping[str, object]) -> None:
    """Check that a bundle can have inputs of these names.

    Raises
    ------
    InvalidInput
        If one is empty, no text, or a name of the answer.
    """
    for name in names:
        if not isinstance(name, str) or not name or name in RESERVED or name.startswith(RESERVED_START):
            raise InvalidInput(
                f"A column cannot be called {name!r}.",
                hint=f"Rename it; {', '.join(RESERVED)} are names of the answer, {RESERVED_START}... of the bundle's "
                "own. Is it the target?",
            )


def _empty(name: str, where: str) -> InvalidInput:
    return InvalidInput(f"Column '{name}' of '{where}' holds no value at all.", hint=f"frame.drop(columns='{name}')")


def _indices(column: CategoryColumn, values: np.ndarray) -> np.ndarray:
    places, found = distinct(values)
    return np.array([column.indices.get(value, column.unknown) for value in found], dtype=np.int64)[places]
