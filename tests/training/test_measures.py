from __future__ import annotations

import pytest
import torch
from loops import trained
from models import mlp, wine

from maas_jupyter.errors import TrainingError
from maas_jupyter.training import loop
from maas_jupyter.training.measures import METRICS, Totals


class Late(Totals):
    """Sums whose numbers stay where they are until they are asked for, as on a GPU."""

    def __init__(self, metric, device):
        super().__init__(metric, torch.device("cuda"))


def test_numbers_that_stay_on_the_device_come_to_the_same(monkeypatch):
    at_once, _, _ = trained(mlp(13, 3), wine(), val=wine(), epochs=4, accumulate=2)
    monkeypatch.setattr(loop, "Totals", Late)
    later, _, _ = trained(mlp(13, 3), wine(), val=wine(), epochs=4, accumulate=2)
    for one, other in zip(later.history, at_once.history, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert later.curves["loss"].count == at_once.curves["loss"].count == 24
    assert later.curves["loss"].x == at_once.curves["loss"].x


@pytest.mark.parametrize(("accumulate", "step"), [(1, 15), (2, 8)])
def test_a_loss_that_is_noticed_late_is_the_loss_of_its_own_step(monkeypatch, accumulate, step):
    monkeypatch.setattr(loop, "Totals", Late)
    net, passes = mlp(13, 3), []

    def overflow(module, inputs, output):
        passes.append(module.training)
        return output * float("inf") if sum(passes) == 15 else output

    net.register_forward_hook(overflow)
    # Twelve batches an epoch: the fifteenth lies in the second.
    with pytest.raises(TrainingError, match=rf"at step {step} \(epoch 2\)"):
        trained(net, wine(), epochs=4, batch_size=16, accumulate=accumulate)


def test_means_are_of_rows_and_of_targets():
    totals = Totals(METRICS["regression"], torch.device("cpu"))
    totals.add(torch.tensor(2.0), torch.zeros(3, 2), torch.ones(3, 2))
    totals.add(torch.tensor(4.0), torch.zeros(1, 2), torch.full((1, 2), 3.0))
    assert totals.means() == {"loss": 2.5, "mae": 1.5}
