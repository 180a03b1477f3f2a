"""Recurrent layers while they are exported: what they give is told by its shape, not computed step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._decomp import decomposition_table


@contextmanager
def shapes_only() -> Iterator[None]:
    """Let ``torch.export`` learn the shapes of LSTM and GRU layers at once.

    To learn the shape of what such a layer gives, torch runs its decomposition, a dozen operations for each step of the
    sequence, several times: 13 s for a GRU over 100 steps on one core, 1.5 s in here. The exported graph holds the
    layer as one node either way, so nothing else changes; the export is compared with the module's numbers afterwards.
    """
    quick: dict[Any, Callable[..., Any]] = {torch.ops.aten.gru.input: _gru, torch.ops.aten.lstm.input: _lstm}
    tables = [decomposition_table, *(layer.py_kernels for layer in quick)]
    before = [dict(table) for table in tables]
    try:
        for layer, told in quick.items():
            if layer in decomposition_table:
                decomposition_table[layer] = told
            for key in (torch._C.DispatchKey.Autograd, torch._C.DispatchKey.CompositeImplicitAutograd):
                if key in layer.py_kernels:
                    layer.py_kernels[key] = told
            layer._dispatch_cache.clear()
        yield
    finally:
        for table, known in zip(tables, before, strict=True):
            table.update(known)
        for layer in quick:
            layer._dispatch_cache.clear()


def _gru(
    rows: Tensor,
    hidden: Tensor,
    params: list[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    width = hidden.shape[-1] * (2 if bidirectional else 1)
    return rows.new_empty((*rows.shape[:-1], width)), hidden.clone()


def _lstm(rows: Tensor, hidden: list[Tensor], *options: Any) -> tuple[Tensor, Tensor, Tensor]:
    states, cells = hidden
    given, last = _gru(rows, states, *options)
    return given, last, cells.clone()
