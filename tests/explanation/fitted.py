"""Models that are trained in a moment, without the verbs."""

from __future__ import annotations

import torch
from torch import nn


def fitted(model: nn.Module, *inputs, targets, steps: int = 150, lr: float = 0.02) -> nn.Module:
    """Train on all rows at once, the same at every call."""
    tensors = [torch.as_tensor(array) for array in inputs]
    goals = torch.as_tensor(targets)
    loss = nn.MSELoss() if goals.is_floating_point() else nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(*tensors), goals).backward()
        optimizer.step()
    return model.eval()
