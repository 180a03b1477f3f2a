"""A module's loss and metric on rows for validation."""

from __future__ import annotations

import torch
from torch import nn

from maas_jupyter.data import Data, TensorData
from maas_jupyter.training.batches import placed
from maas_jupyter.training.measures import Totals
from maas_jupyter.training.plan import TrainingPlan

#: Without gradients a batch takes less memory.
_BATCHES = 4


@torch.no_grad()
def score(module: nn.Module, val: Data, plan: TrainingPlan, batch_size: int) -> dict[str, float]:
    """Return the mean loss and the mean metric; the module is in evaluation mode afterwards."""
    totals = Totals(plan.metric, plan.device, plan.weigh)
    module.eval()
    # The labels of rows in memory were checked before the first step.
    classes = None if isinstance(val, TensorData) else plan.classes
    for batch in val.batches(batch_size * _BATCHES):
        inputs, targets = placed(batch, plan.device, classes, name="val")
        with plan.precision.autocast():
            output = module(*inputs)
            loss = plan.loss(output, targets)
        totals.add(loss, output, targets)
    return totals.means()
