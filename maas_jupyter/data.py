"""Any form of data that a torch user holds, seen as batches of input tensors and targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from maas_jupyter.errors import InvalidInput

_FORMS = "Pass (X, y) arrays or tensors, a Dataset or a DataLoader."


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
    """

    rows: int | None

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
        self.rows = len(self._batch)

    def batches(self, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Walk over slices of the tensors."""
        whole = self._batch
        if generator is not None:
            order = torch.randperm(len(whole), generator=generator)
            for chosen in _without_single_rest(order, batch_size):
                yield Batch(
                    tuple(tensor[chosen] for tensor in whole.inputs),
                    None if whole.targets is None else whole.targets[chosen],
                )
            return
        for start in range(0, len(whole), batch_size):
            rows = slice(start, start + batch_size)
            yield Batch(
                tuple(tensor[rows] for tensor in whole.inputs), None if whole.targets is None else whole.targets[rows]
            )

    def batch_count(self, batch_size: int) -> int:
        """Return the number of slices."""
        return -(-len(self._batch) // batch_size)

    def all(self) -> Batch:
        """Return the tensors themselves."""
        return self._batch


class LoaderData(Data):
    """A ``Dataset`` behind a ``DataLoader`` of ours, or the user's own loader with its batch size and order."""

    def __init__(self, source: DataLoader[Any] | Dataset[Any]) -> None:
        self._source = source
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
        return None if self.rows is None else -(-self.rows // batch_size)


def _without_single_rest(order: Tensor, batch_size: int) -> list[Tensor]:
    """Split an order into batches; a last one of one row, which batch normalisation refuses, joins the one before."""
    sizes = [batch_size] * (len(order) // batch_size)
    rest = len(order) % batch_size
    if rest == 1 and sizes:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return list(order.split(sizes))


def as_data(value: Any, *, name: str = "data") -> Data:
    """Adapt a value to ``Data``.

    Parameters
    ----------
    value : (X, y) of arrays or tensors, X alone, Dataset or DataLoader
        The first axis of each array is the rows. float64 becomes float32, integer targets become int64.
    name : str
        How error messages call it.

    Raises
    ------
    InvalidInput
        If the form is not one of these, is empty, or X and y differ in length.
    """
    if isinstance(value, Data):
        return value
    if isinstance(value, TensorDataset):
        *inputs, targets = value.tensors
        data: Data = _in_memory(tuple(inputs) if inputs else (targets,), targets if inputs else None, name)
    elif isinstance(value, DataLoader | Dataset):
        data = LoaderData(value)
    elif isinstance(value, tuple) and len(value) == 2 and all(map(_is_array, value)):
        data = _in_memory((value[0],), value[1], name)
    elif _is_array(value):
        data = _in_memory((value,), None, name)
    else:
        raise InvalidInput(
            f"'{name}' is a {type(value).__name__}, which is not a form of data that is known.", hint=_FORMS
        )
    if data.rows == 0:
        raise InvalidInput(f"'{name}' has no rows.", hint="Check how it was split or filtered.")
    return data


def _is_array(value: Any) -> bool:
    # A pandas frame or series is an array with names; the names are of no use to a module.
    return (
        isinstance(value, np.ndarray | Tensor)
        or (isinstance(value, list) and bool(value))
        or hasattr(value, "to_numpy")
    )


def _in_memory(inputs: tuple[Any, ...], targets: Any, name: str) -> TensorData:
    tensors = tuple(_tensor(value, f"{name}'s inputs") for value in inputs)
    goals = None if targets is None else _targets(_tensor(targets, f"{name}'s targets"))
    lengths = {len(tensor) for tensor in (*tensors, *(() if goals is None else (goals,)))}
    if len(lengths) > 1:
        raise InvalidInput(
            f"'{name}' has {len(tensors[0])} rows of inputs and {len(goals) if goals is not None else '?'} targets.",
            hint="Inputs and targets need the same number of rows.",
        )
    return TensorData(tensors, goals)


def _tensor(value: Any, name: str) -> Tensor:
    if isinstance(value, Tensor):
        tensor = value.detach()
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise InvalidInput(f"{name} are not an array: {error}", hint="Give every row the same length.") from error
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise InvalidInput(
                f"{name} are of the type '{array.dtype}', not numbers.",
                hint="Turn text into numbers first, for example with numpy.unique(y, return_inverse=True).",
            )
        if array.dtype.byteorder == ">" or not array.flags.writeable:
            array = array.astype(array.dtype.newbyteorder("="))
        tensor = torch.from_numpy(np.ascontiguousarray(array))
    if tensor.ndim == 0:
        raise InvalidInput(f"{name} are a single number, not rows.", hint=_FORMS)
    return tensor.float() if tensor.dtype == torch.float64 else tensor


def _targets(tensor: Tensor) -> Tensor:
    return tensor if tensor.is_floating_point() else tensor.long()


def _from_item(item: Any) -> Batch:
    if isinstance(item, Tensor):
        return Batch((_tensor(item, "inputs"),), None)
    if isinstance(item, tuple | list) and len(item) >= 2 and all(isinstance(part, Tensor) for part in item):
        *inputs, targets = item
        return Batch(tuple(_tensor(part, "inputs") for part in inputs), _targets(_tensor(targets, "targets")))
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
