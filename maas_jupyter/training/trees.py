"""State dicts as JSON beside a file of tensors, and back: nothing in a checkpoint is a pickle."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maas_jupyter.errors import TrainingError

_TENSOR, _TUPLE, _ITEMS, _ARRAY, _FLOAT = "$tensor", "$tuple", "$items", "$array", "$float"


def to_tree(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """Return a value as JSON has it; its tensors are put into ``tensors`` under names that begin with ``name``.

    Raises
    ------
    TrainingError
        If something in it is neither a number, a text, a tensor, nor a container of them.
    """
    if isinstance(value, float) and not isfinite(value):
        # JSON has no word for it.
        return {_FLOAT: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        tensors[name] = value.detach().cpu().contiguous()
        return {_TENSOR: name}
    if isinstance(value, np.ndarray):
        # Kept as bytes: torch has no unsigned integers of 32 bits everywhere.
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value).view(np.uint8).reshape(-1).copy())
        return {_ARRAY: [name, str(value.dtype), list(value.shape)]}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        # As pairs: the keys of an optimizer's state are numbers.
        return {_ITEMS: [[key, to_tree(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple | set):
        items = [to_tree(item, f"{name}.{index}", tensors) for index, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    raise TrainingError(
        f"A checkpoint cannot hold {name}, a {type(value).__qualname__}.",
        hint="Use an optimizer and a schedule by name, whose states are numbers and tensors.",
    )


def from_tree(tree: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the value that `to_tree` was given."""
    if isinstance(tree, list):
        return [from_tree(item, tensors) for item in tree]
    if not isinstance(tree, dict):
        return tree
    ((kind, held),) = tree.items()
    if kind == _TENSOR:
        return tensors[held]
    if kind == _FLOAT:
        return float(held)
    if kind == _ARRAY:
        name, dtype, shape = held
        return tensors[name].numpy().view(np.dtype(dtype)).reshape(shape)
    if kind == _TUPLE:
        return tuple(from_tree(item, tensors) for item in held)
    return {key: from_tree(item, tensors) for key, item in held}
