"""Random states: kept for the caller, seeded for a training, captured for a checkpoint."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from maas_jupyter.data import Data

State = dict[str, Any]


def capture(device: torch.device, generators: list[torch.Generator]) -> State:
    """Return the states of torch (on the CPU and the device), numpy, Python, and the generators of a loader."""
    state: State = {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
        "generators": [generator.get_state() for generator in generators],
    }
    if device.type == "cuda":
        state["device"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["device"] = torch.mps.get_rng_state()
    return state


def restore(state: State, device: torch.device, generators: list[torch.Generator]) -> None:
    """Put captured states back; a state of another kind of device is left out."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
    for generator, kept in zip(generators, state["generators"], strict=False):
        generator.set_state(kept)
    if "device" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["device"], device)
    elif "device" in state and device.type == "mps":
        torch.mps.set_rng_state(state["device"])


@contextmanager
def kept(device: torch.device) -> Iterator[None]:
    """Leave the caller's random states as they were, whatever is drawn inside."""
    before = capture(device, [])
    try:
        yield
    finally:
        restore(before, device, [])


def seed_all(seed: int) -> None:
    """Seed torch on every device, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def order_generator(seed: int, epoch: int) -> torch.Generator:
    """Return the generator that orders the rows of an epoch: the same for the same seed and epoch."""
    return torch.Generator().manual_seed((seed * 1_000_003 + epoch) % 2**63)


def generators_of(data: Data) -> list[torch.Generator]:
    """Return the generators of its own that a user's ``DataLoader`` draws from."""
    loader = getattr(data, "loader", None)
    sampler = getattr(loader, "sampler", None)
    found = [getattr(loader, "generator", None), getattr(sampler, "generator", None)]
    return [generator for generator in dict.fromkeys(found) if isinstance(generator, torch.Generator)]
