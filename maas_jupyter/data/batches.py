"""Rows as batches of tensors: in memory, or through a ``DataLoader``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maas_jupyter.data.tensors import as_targets, as_tensor
from maas_jupyter.errors import InvalidInput

#: Rows that are drawn in one go when the order is random: one copy of many rows is much cheaper than many copies.
_BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Batch:
    """Input tensors (rows first) and their targets, which are absent where only inputs were given."""

    inputs: tuple[Tensor, ...]
    targets: Tensor | None

    def __len__(self) -> int:
        return len(self.inputs[0])

    def required_targets(self) -> Tensor:
        """Return the targets.

        Raises
        ------
        InvalidInput
            If the data holds inputs only.
        """
        if self.targets is None:
            raise InvalidInput("The data has no targets, only inputs.", hint="Pass (X, y) instead of X.")
        return self.targets


class Data:
    """Data that is walked in batches: in memory, or through a ``DataLoader``.

    Attributes
    ----------
    rows : int or None
        Number of rows; None where it is not known before the end.
    targets : Tensor or None
        The targets of all rows, where they are in memory.
    """

    rows: int | None
    targets: Tensor | None = None

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over all rows; in a random order where a generator is given."""
        raise NotImplementedError

    def batch_count(self, batch_size: int) -> int | None:
        """Return the number of batches of one walk, where it is known."""
        raise NotImplementedError

    def head(self, rows: int) -> Batch:
        """Return up to ``rows`` of the first rows."""
        parts: list[Batch] = []
        for batch in self.batches(rows):
            parts.append(batch)
            if sum(map(len, parts)) >= rows:
                break
        return _cut(_joined(parts), rows)


class TensorData(Data):
    """Tensors in memory: batches are slices, without a worker or a collate function in between."""

    def __init__(self, inputs: tuple[Tensor, ...], targets: Tensor | None) -> None:
        self._batch = Batch(inputs, targets)
        self.rows: int = len(self._batch)
        self.targets = targets

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over slices of the tensors."""
        if generator is None:
            yield from _slices(self._batch, [batch_size] * (self.rows // batch_size) + _rest(self.rows, batch_size))
            return
        order = torch.randperm(self.rows, generator=generator)
        sizes = batch_sizes(self.rows, batch_size)
        tensors = (*self._batch.inputs, *(() if self.targets is None else (self.targets,)))
        row_bytes = sum(tensor.element_size() * (tensor.numel() // self.rows) for tensor in tensors)
        batches_at_once = max(1, _BLOCK_BYTES // max(1, row_bytes * batch_size))
        start = 0
        for first in range(0, len(sizes), batches_at_once):
            block = sizes[first : first + batches_at_once]
            rows = order[start : start + sum(block)]
            start += len(rows)
            yield from _slices(_chosen(self._batch, rows), block)

    def batch_count(self, batch_size: int) -> int:
        """Return the number of slices of a walk in random order."""
        return len(batch_sizes(self.rows, batch_size))

    def all(self) -> Batch:
        """Return the tensors themselves."""
        return self._batch


class LoaderData(Data):
    """A ``Dataset`` behind a ``DataLoader`` of ours, or the user's own loader with its batch size and order.

    Attributes
    ----------
    loader : DataLoader or None
        The user's own.
    """

    def __init__(self, source: DataLoader[Any] | Dataset[Any]) -> None:
        self._source = source
        self.loader = source if isinstance(source, DataLoader) else None
        dataset = source.dataset if isinstance(source, DataLoader) else source
        self.rows = len(dataset) if hasattr(dataset, "__len__") else None

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over the loader's batches."""
        loader = self._source
        if not isinstance(loader, DataLoader):
            shuffle = generator is not None and self.rows is not None
            loader = DataLoader(
                loader,
                batch_size=batch_size,
                shuffle=shuffle,
                # Without one of its own, a loader draws from the caller's random state, even in order.
                generator=generator or torch.Generator(),
                # Batch normalisation cannot take a batch of one row; another row is left out in every epoch.
                drop_last=shuffle and self.rows is not None and self.rows > 1 and self.rows % batch_size == 1,
            )
        for item in loader:
            yield _from_item(item)

    def batch_count(self, batch_size: int) -> int | None:
        """Return the loader's own count, or the count that our loader will have."""
        if isinstance(self._source, DataLoader):
            return len(self._source) if self.rows is not None else None
        return None if self.rows is None else len(batch_sizes(self.rows, batch_size))


def batch_sizes(rows: int, batch_size: int) -> list[int]:
    """Split rows into batches; a last one of one row, which batch normalisation refuses, joins the one before."""
    sizes = [batch_size] * (rows // batch_size)
    if sizes and rows % batch_size == 1:
        sizes[-1] += 1
        return sizes
    return sizes + _rest(rows, batch_size)


def _rest(rows: int, batch_size: int) -> list[int]:
    return [rows % batch_size] if rows % batch_size else []


def _slices(batch: Batch, sizes: list[int]) -> Iterator[Batch]:
    parts = zip(*(tensor.split(sizes) for tensor in batch.inputs), strict=True)
    if batch.targets is None:
        return (Batch(inputs, None) for inputs in parts)
    return (Batch(inputs, targets) for inputs, targets in zip(parts, batch.targets.split(sizes), strict=True))


def _chosen(batch: Batch, rows: Tensor) -> Batch:
    def take(tensor: Tensor) -> Tensor:
        return tensor.index_select(0, rows.to(tensor.device))

    return Batch(tuple(map(take, batch.inputs)), None if batch.targets is None else take(batch.targets))


def _from_item(item: Any) -> Batch:
    if isinstance(item, Tensor):
        return Batch((as_tensor(item, "inputs"),), None)
    if isinstance(item, tuple | list) and len(item) >= 2 and all(isinstance(part, Tensor) for part in item):
        *inputs, targets = item
        return Batch(tuple(as_tensor(part, "inputs") for part in inputs), as_targets(as_tensor(targets, "targets")))
    raise InvalidInput(
        f"The loader gives a {type(item).__name__} per batch.", hint="Each item should be a pair (inputs, target)."
    )


def _joined(parts: list[Batch]) -> Batch:
    if not parts:
        raise InvalidInput("The data gave no batch.", hint="Check that it has rows and can be walked more than once.")
    inputs = tuple(torch.cat(tensors) for tensors in zip(*(part.inputs for part in parts), strict=True))
    if parts[0].targets is None:
        return Batch(inputs, None)
    return Batch(inputs, torch.cat([part.required_targets() for part in parts]))


def _cut(batch: Batch, rows: int) -> Batch:
    return Batch(
        tuple(tensor[:rows] for tensor in batch.inputs), None if batch.targets is None else batch.targets[:rows]
    )
