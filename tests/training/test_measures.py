from __future__ import annotations

import pytest
import torch
from loops import trained
from models import mlp, wine
from torch.utils.data import DataLoader, IterableDataset

from maas_jupyter.errors import TrainingError
from maas_jupyter.training import loop, scoring
from maas_jupyter.training.losses import learned_tokens, next_token_loss
from maas_jupyter.training.measures import METRICS, Totals


class Late(Totals):
    """Sums whose numbers stay where they are until they are asked for, as on a GPU."""

    def __init__(self, metric, device, weigh=None):
        super().__init__(metric, torch.device("cuda"), weigh)


def test_numbers_that_stay_on_the_device_come_to_the_same(monkeypatch):
    at_once, _, _ = trained(mlp(13, 3), wine(), val=wine(), epochs=4, accumulate=2)
    for user in (loop, scoring):
        monkeypatch.setattr(user, "Totals", Late)
    later, _, _ = trained(mlp(13, 3), wine(), val=wine(), epochs=4, accumulate=2)
    for one, other in zip(later.history, at_once.history, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
    assert later.curves["loss"].count == at_once.curves["loss"].count == 24
    assert later.curves["loss"].x == at_once.curves["loss"].x


@pytest.mark.parametrize(("accumulate", "step"), [(1, 15), (2, 8)])
def test_a_loss_that_is_noticed_late_is_the_loss_of_its_own_step(monkeypatch, accumulate, step):
    for user in (loop, scoring):
        monkeypatch.setattr(user, "Totals", Late)
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


def test_the_loss_of_a_weighted_training_does_not_depend_on_the_batches():
    X, y = wine()
    weights = [1.0, 10.0, 0.1]
    losses = []
    for batch_size in (7, 178):
        net = mlp(13, 3)
        state, _, _ = trained(net, (X, y), val=(X, y), epochs=1, lr=1e-12, batch_size=batch_size, class_weights=weights)
        losses.append(state.history[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_tokens_count_and_not_rows_or_padding():
    metric = METRICS["text-generation"]
    totals = Totals(metric, torch.device("cpu"), learned_tokens)
    certain = torch.zeros(1, 4, 5)
    certain[..., 2] = 9.0
    # Three right tokens in one batch; one wrong token of three places in the other.
    batches = [(certain, torch.tensor([[2, 2, 2, 2]])), (certain, torch.tensor([[-100, -100, -100, 1]]))]
    for output, targets in batches:
        totals.add(next_token_loss(output, targets), output, targets)
    whole = next_token_loss(torch.cat([certain, certain]), torch.cat([targets for _, targets in batches]))
    assert totals.means() == pytest.approx({"loss": float(whole), "token_accuracy": 0.75})


def test_a_batch_in_which_nothing_is_learned_has_no_loss():
    assert float(next_token_loss(torch.zeros(1, 4, 5), torch.full((1, 4), -100))) == 0


@pytest.mark.parametrize("form", ["arrays", "longer than it says", "without a length"])
@pytest.mark.parametrize("class_weights", [None, [1.0, 5.0, 0.2]])
def test_accumulated_batches_make_the_step_of_one_large_batch(form, class_weights):
    X, y = (torch.tensor(part) for part in wine())
    # Batches of 40, 40, 40, 40 and 18 rows: groups of three and of two.
    rows = [(X[start : start + 40], y[start : start + 40]) for start in range(0, 178, 40)]
    data = DataLoader(Given(rows, {"longer than it says": 4, "without a length": None}.get(form, 5)), batch_size=None)
    options = {"optimizer": "sgd", "lr": 0.1, "epochs": 1, "class_weights": class_weights}
    accumulated = mlp(13, 3)
    state, _, _ = trained(accumulated, data, accumulate=3, batch_size=40, **options)
    whole = mlp(13, 3)
    large = [(X[:120], y[:120]), (X[120:], y[120:])]
    if form == "longer than it says":
        # Its word for the end of an epoch is taken: a step is made there.
        large = [(X[:120], y[:120]), (X[120:160], y[120:160]), (X[160:], y[160:])]
    trained(whole, DataLoader(Given(large, len(large)), batch_size=None), batch_size=120, **options)
    for mine, other in zip(accumulated.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(mine, other, atol=1e-6)
    assert state.total_steps == len(large)


class Given(IterableDataset):
    """Batches as they are, of which it says how many there are."""

    def __init__(self, batches, length):
        self._batches = batches
        if length is not None:
            self.__class__ = type("GivenMany", (Given,), {"__len__": lambda _: length})

    def __iter__(self):
        return iter(self._batches)
