"""Batches of an epoch, on the device, in an order that the seed and the epoch fix, from any batch on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice

import torch
from torch import Tensor

from maas_jupyter.data import Batch, Data, TensorData
from maas_jupyter.modules import check_labels
from maas_jupyter.training.randomness import order_generator

Pair = tuple[tuple[Tensor, ...], Tensor]

#: Rows in memory stay on a GPU where they take less than this share of its free memory.
_RESIDENT_SHARE = 4
_RESIDENT_BYTES = 1_000_000_000


class Batches:
    """The rows of a training in batches.

    Parameters
    ----------
    data : Data
        Labels of rows in memory have been checked; a loader's are checked as they come.
    batch_size, seed : int
    device : torch.device
        Where the batches are given.
    classes : int or None
        Labels are from 0 to one less.

    Attributes
    ----------
    count : int or None
        Batches of an epoch; None where the length of the data is not known.
    repeatable : bool
        Whether the order depends on the seed and the epoch alone. A loader of the user's draws from random states.
    """

    def __init__(self, data: Data, batch_size: int, seed: int, device: torch.device, classes: int | None) -> None:
        self.repeatable = isinstance(data, TensorData)
        self.count = data.batch_count(batch_size)
        self._data = _resident(data, device)
        self._batch_size, self._seed, self._device = batch_size, seed, device
        self._classes = None if self.repeatable else classes

    def epoch(self, number: int, skip: int = 0, passed: Callable[[], None] | None = None) -> Iterator[Pair]:
        """Walk over the batches of an epoch, without the first ``skip``; ``passed`` is called behind those.

        Skipped batches of a loader are loaded, so that its random states go the same way.
        """
        walk = self._data.batches(self._batch_size, generator=order_generator(self._seed, number))
        deque(islice(walk, skip), maxlen=0)
        if skip and passed is not None:
            passed()
        device, classes = self._device, self._classes
        if self.repeatable and device.type == "cpu":
            for batch in walk:
                yield batch.inputs, batch.required_targets()
            return
        for batch in walk:
            yield placed(batch, device, classes, name="data")


def placed(batch: Batch, device: torch.device, classes: int | None, *, name: str) -> Pair:
    """Check a batch's labels and move it to the device.

    Raises
    ------
    InvalidInput
        If a label lies outside ``0 .. classes - 1``.
    """
    targets = batch.required_targets()
    if classes is not None:
        check_labels(targets, classes, name=name)
    if device.type == "cpu":
        return batch.inputs, targets
    return tuple(tensor.to(device, non_blocking=True) for tensor in batch.inputs), targets.to(device, non_blocking=True)


def _resident(data: Data, device: torch.device) -> Data:
    if not isinstance(data, TensorData) or device.type == "cpu":
        return data
    whole = data.all()
    tensors = (*whole.inputs, whole.required_targets())
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    most = torch.cuda.mem_get_info(device)[0] // _RESIDENT_SHARE if device.type == "cuda" else _RESIDENT_BYTES
    if size >= most:
        return data
    *inputs, targets = (tensor.to(device) for tensor in tensors)
    return TensorData(tuple(inputs), targets)
