"""A digest of training rows, to tell one data set from another."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from maas_jupyter.data import Data, TensorData

#: Of larger tensors rows are taken at even distances: a gigabyte would take seconds.
_MOST_BYTES = 32_000_000


def fingerprint(data: Data) -> str:
    """Return the digest of the rows, or what is known of a loader: its length.

    Parameters
    ----------
    data : Data
        Tensors in memory are read; of more than 32 MB a sample of the rows at even distances.
    """
    if not isinstance(data, TensorData):
        return f"loader of {data.rows or 'unknown many'} rows"
    whole = data.all()
    digest = hashlib.sha256()
    for tensor in (*whole.inputs, *(() if whole.targets is None else (whole.targets,))):
        digest.update(f"{list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(_bytes(_sampled(tensor)))
    return digest.hexdigest()[:16]


def _sampled(tensor: Tensor) -> Tensor:
    size = tensor.numel() * tensor.element_size()
    return tensor if size <= _MOST_BYTES else tensor[:: -(-size // _MOST_BYTES)]


def _bytes(tensor: Tensor) -> Any:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy() if plain.numel() else b""
