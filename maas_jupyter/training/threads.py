"""How many threads of the CPU a training takes: one where its steps are so small that sharing them costs more."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

#: Floating point operations of a batch's forward pass; one thread does them in two or three milliseconds, and waking
#: the others for each layer takes as long, on a machine with other work many times as long.
_SMALL_FLOPS = 10_000_000


@contextmanager
def counted_work() -> Iterator[FlopCounterMode]:
    """Count the floating point operations of what is run: matrix products and convolutions."""
    with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
        # Of a compiled module, for the hooks of the counter.
        warnings.filterwarnings("ignore", "Using `torch.compile", UserWarning)
        yield counter


def is_small(module: nn.Module, counter: FlopCounterMode, rows: int, batch_size: int) -> bool:
    """Say whether a batch is too little work to be shared; it depends on the model and the batch alone.

    Parameters
    ----------
    counter : FlopCounterMode
        Of a forward pass.
    rows : int
        Of that pass.
    batch_size : int
        Rows of a step.
    """
    if any(isinstance(part, nn.RNNBase) for part in module.modules()):
        # Their steps are not counted.
        return False
    return counter.get_total_flops() * batch_size / rows < _SMALL_FLOPS


@contextmanager
def one_thread(wanted: bool) -> Iterator[bool]:
    """Take one thread meanwhile; not in a background thread, where the number would be that of the user's cells too."""
    before = torch.get_num_threads()
    if not wanted or before == 1 or threading.current_thread() is not threading.main_thread():
        yield False
        return
    torch.set_num_threads(1)
    try:
        yield True
    finally:
        torch.set_num_threads(before)
