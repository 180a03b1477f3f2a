"""Arrays of any kind as the tensors that modules take: float32 instead of float64, classes as int64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from maas_jupyter.errors import InvalidInput

#: What is told where a form is not known.
FORMS = (
    "Pass (X, y) arrays or tensors, a Dataset or a DataLoader, a table with its target, a list of texts or images, "
    "or a path."
)


def is_array(value: Any) -> bool:
    """Say whether a value can be taken for an array; a frame or a series is an array with names."""
    return (
        isinstance(value, np.ndarray | Tensor)
        or (isinstance(value, list) and bool(value))
        or hasattr(value, "to_numpy")
    )


def as_tensor(value: Any, name: str) -> Tensor:
    """Return numbers as a tensor, rows first.

    Raises
    ------
    InvalidInput
        If they are no array of numbers; names the first text where a number is expected.
    """
    if isinstance(value, Tensor):
        tensor = value.detach()
    else:
        try:
            array = np.asarray(value)
        except ValueError as error:
            raise InvalidInput(f"{name} are not an array: {error}", hint="Give every row the same length.") from error
        if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            raise _not_numbers(array, name)
        # One copy at the most: to 32 bits, in rows, of its own where it cannot be written to.
        floats = array.dtype.kind == "f"
        array = np.ascontiguousarray(array, dtype=np.float32 if floats else array.dtype.newbyteorder("="))
        tensor = torch.from_numpy(array if array.flags.writeable else array.copy())
    if tensor.ndim == 0:
        raise InvalidInput(f"{name} are a single number, not rows.", hint=FORMS)
    return tensor.float() if tensor.dtype in (torch.float64, torch.float16) else tensor


def as_targets(tensor: Tensor) -> Tensor:
    """Return classes as int64; numbers to predict stay floats."""
    return tensor if tensor.is_floating_point() else tensor.long()


def _not_numbers(array: np.ndarray, name: str) -> InvalidInput:
    if name.endswith("inputs"):
        try:
            array.astype(np.float32)
            hint = "Turn them into numbers: X.astype('float32')."
        except (ValueError, TypeError):
            hint = "Turn them into numbers first, or leave them out; a pandas DataFrame may hold columns of text."
    else:
        hint = "Turn text into numbers first, for example with numpy.unique(y, return_inverse=True)."
    if array.dtype.kind in "OSUT":
        for place in np.ndindex(array.shape):
            cell = array[place]
            if isinstance(cell, str | bytes):
                where = f"row {place[0]}" + (f", column {place[1]}" if len(place) > 1 else "") if place else "it"
                return InvalidInput(
                    f"{name} hold text where numbers are expected: {str(cell)[:60]!r} at {where}.",
                    hint=hint,
                )
    return InvalidInput(f"{name} are of the type '{array.dtype}', not numbers.", hint=hint)
