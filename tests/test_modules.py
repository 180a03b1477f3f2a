from __future__ import annotations

import pytest
import torch
from torch import nn

from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput
from maas_jupyter.modules import evaluating, run_module


def frozen() -> nn.Sequential:
    """A module that trains, but for a part that its owner keeps in evaluation mode."""
    net = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    net.train()
    net[0].eval()
    return net


def test_each_part_is_put_back_in_its_own_mode():
    net = frozen()
    rows = Batch((torch.rand(3, 4),), None)
    first = run_module(net, rows)
    assert torch.equal(first, run_module(net, rows))
    assert [part.training for part in net.modules()] == [True, False, True, True]
    with pytest.raises(InvalidInput):
        run_module(net, Batch((torch.rand(3, 5),), None))
    assert [part.training for part in net.modules()] == [True, False, True, True]
    with evaluating(net):
        assert not any(part.training for part in net.modules())
