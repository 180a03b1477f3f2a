from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from loops import trained
from models import diabetes, mlp, wine
from sklearn.utils.class_weight import compute_class_weight
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import maas_jupyter
from maas_jupyter.data import LoaderData, as_data
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.runs import RunState
from maas_jupyter.training import TrainingOptions, TrainingPlan, fit


def test_the_same_seed_gives_the_same_bits(home):
    def weights(seed):
        net = nn.Sequential(mlp(13, 16), nn.Dropout(0.5), nn.Linear(16, 3))
        torch.manual_seed(7)
        nn.init.normal_(net[2].weight)
        trained(net, wine(), epochs=3, seed=seed, batch_size=16)
        return net[2].weight

    assert torch.equal(weights(4), weights(4))
    assert not torch.equal(weights(4), weights(5))


def test_steps_end_a_run_within_an_epoch():
    state, _, rates = trained(mlp(13, 3), wine(), val=wine(), steps=20, batch_size=16)
    assert len(rates) == state.total_steps == state.goal == 20
    assert (state.status, state.epochs, state.epoch, state.fraction) == ("finished", 2, 2, 1.0)
    assert [entry["epoch"] for entry in state.history] == [1, 2]
    assert "val_loss" in state.metrics


def test_steps_go_round_a_stream_of_unknown_length():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            yield from zip(*wine(), strict=True)

    state, _, rates = trained(mlp(13, 3), DataLoader(Stream(), batch_size=50), steps=10)
    assert len(rates) == 10
    assert state.epoch == 3
    assert state.fraction == 1.0
    xs = state.curves["loss"].x
    assert xs == sorted(xs)


def test_accumulated_batches_step_as_one_large_batch():
    X, y = wine()
    data = (X[:160], y[:160])
    small, large = mlp(13, 3), mlp(13, 3)
    state, _, rates = trained(small, data, batch_size=8, accumulate=4, epochs=3, optimizer="sgd", lr=0.1)
    trained(large, data, batch_size=32, epochs=3, optimizer="sgd", lr=0.1)
    assert state.steps == 5
    assert len(rates) == 15
    assert state.rows == 480
    assert torch.allclose(small[0].weight, large[0].weight, atol=1e-6)


def test_the_last_step_of_an_epoch_takes_what_is_left():
    X, y = wine()
    state, _, rates = trained(mlp(13, 3), (X[:112], y[:112]), batch_size=16, accumulate=3, epochs=2)
    assert state.steps == 3
    assert len(rates) == 6


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, 0.8535534, 0.5, 0.1464466]),
        ("step", [1.0, 1.0, 0.1, 0.01]),
        ("constant", [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_schedules_by_name(schedule, expected):
    X, y = wine()
    _, _, rates = trained(mlp(13, 3), (X[:64], y[:64]), batch_size=32, epochs=2, lr=0.5, schedule=schedule)
    assert np.allclose(np.array(rates) / 0.5, expected)


def test_onecycle_rises_and_falls():
    _, _, rates = trained(mlp(13, 3), wine(), batch_size=16, epochs=10, lr=0.1, schedule="onecycle")
    top = int(np.argmax(rates))
    assert 30 <= top <= 42
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == pytest.approx(0.1, rel=0.01)
    assert rates[-1] < 1e-3


def test_a_warmup_in_steps_or_as_a_share():
    X, y = wine()
    data = (X[:160], y[:160])
    _, _, rates = trained(mlp(13, 3), data, batch_size=16, epochs=2, lr=1.0, optimizer="sgd", warmup=5)
    assert np.allclose(rates[:6], [0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    _, _, rates = trained(
        mlp(13, 3), data, batch_size=16, epochs=2, lr=1.0, optimizer="sgd", warmup=0.5, schedule="linear"
    )
    assert int(np.argmax(rates)) in (9, 10)
    assert rates[-1] == pytest.approx(0.1)


def test_a_plateau_halves_the_rate():
    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = nn.Parameter(torch.zeros(3))

        def forward(self, x):
            return self.scores.detach().expand(len(x), 3) + self.scores.sum() * 0

    _, _, rates = trained(
        Constant(), wine(), val=wine(), batch_size=178, epochs=9, lr=1.0, optimizer="sgd", schedule="plateau"
    )
    assert rates == [1.0] * 4 + [0.5] * 3 + [0.25] * 2


def test_schedulers_of_torch_as_objects_and_factories():
    net = mlp(13, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    data = (wine()[0][:32], wine()[1][:32])
    _, _, rates = trained(net, data, epochs=3, batch_size=16, optimizer=optimizer, schedule=scheduler)
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    _, _, rates = trained(
        mlp(13, 3),
        data,
        epochs=2,
        batch_size=16,
        optimizer=partial(torch.optim.SGD, momentum=0.9),
        lr=1.0,
        schedule=lambda made: torch.optim.lr_scheduler.OneCycleLR(made, 1.0, total_steps=4),
    )
    assert len(set(rates)) == 4
    with pytest.raises(UsageError, match="belongs to another optimizer"):
        trained(mlp(13, 3), data, schedule=scheduler)
    with pytest.raises(UsageError, match="A warm-up goes with a schedule by name"):
        trained(mlp(13, 3), data, warmup=3, schedule=lambda made: torch.optim.lr_scheduler.StepLR(made, 1))


def test_optimizers_that_do_not_fit_are_refused():
    other = mlp(13, 3)
    with pytest.raises(UsageError, match="not the model's"):
        trained(mlp(13, 3), wine(), optimizer=torch.optim.SGD(other.parameters(), lr=0.1))
    net = mlp(13, 3)
    with pytest.raises(UsageError, match="LBFGS"):
        trained(net, wine(), optimizer=torch.optim.LBFGS(net.parameters()))
    with pytest.raises(UsageError, match="a learning rate of its own"):
        trained(net, wine(), optimizer=torch.optim.SGD(net.parameters(), lr=0.1), lr=0.2)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(InvalidInput, match="no parameter that can be trained"):
        trained(net, wine())


def test_early_stopping_restores_the_best_epoch(home):
    net = mlp(13, 3, hidden=128)
    seen = {}

    class Watching:
        def update(self, state, *, final=False):
            pass

        def epoch(self, metrics):
            seen[metrics["epoch"]] = {name: value.clone() for name, value in net.state_dict().items()}

    X, y = wine()
    data, val = as_data((X[::4], y[::4])), as_data((X[1::2], y[1::2]))
    options = TrainingOptions(epochs=200, lr=0.05, patience=4)
    plan = TrainingPlan.make(net, data, options, val=val)
    state = RunState(run_id="r", name="n")
    fit(net, data, plan, val=val, options=options, state=state, observers=[Watching()])
    assert state.status == "stopped_early"
    assert state.epoch == state.best.epoch + 4
    losses = [entry["val_loss"] for entry in state.history]
    assert state.best.value == min(losses) == losses[state.best.epoch - 1]
    assert all(torch.equal(value, seen[state.best.epoch][name]) for name, value in net.state_dict().items())


def test_accuracy_is_watched_upwards():
    state, plan, _ = trained(mlp(13, 3), wine(), val=wine(), epochs=30, lr=0.01, watch="val_accuracy", patience=5)
    assert plan.upwards
    values = [entry["val_accuracy"] for entry in state.history]
    assert state.best.value == max(values)
    assert state.best.epoch == values.index(max(values)) + 1
    assert state.status == "stopped_early"


def test_without_validation_rows_the_training_loss_is_watched_and_the_last_weights_stay():
    state, plan, _ = trained(mlp(13, 3), wine(), epochs=3)
    assert plan.watched == "loss"
    assert state.best.metric == "loss"


def test_clipping_limits_the_gradient():
    net, norms = nn.Linear(10, 1), []
    X, y = diabetes()
    options = TrainingOptions(epochs=1, clip=0.01, optimizer="sgd")
    data = as_data((X, y * 1000))
    plan = TrainingPlan.make(net, data, options)
    plan.optimizer.register_step_pre_hook(
        lambda *_: norms.append(float(torch.cat([p.grad.flatten() for p in net.parameters()]).norm()))
    )
    state = RunState(run_id="r", name="n")
    fit(net, data, plan, val=None, options=options, state=state, observers=[])
    assert all(norm <= 0.01001 for norm in norms)


def test_class_weights_balance_the_loss():
    X, y = wine()
    few = np.concatenate([np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:6], np.flatnonzero(y == 2)[:20]])
    data = (X[few], y[few])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=y[few])
    _, plan, _ = trained(mlp(13, 3), data, epochs=1, class_weights="balanced")
    assert np.allclose(plan.loss.weight.numpy(), expected)
    _, plan, _ = trained(mlp(13, 3), data, epochs=1, class_weights=[1, 2, 3])
    assert plan.loss.weight.tolist() == [1, 2, 3]
    loader = DataLoader(TensorDataset(*map(torch.tensor, data)))
    with pytest.raises(UsageError, match="cannot be counted before") as caught:
        trained(mlp(13, 3), loader, class_weights="balanced")
    assert "list with 3 weights" in caught.value.hint
    with pytest.raises(UsageError, match="go with a classification"):
        trained(mlp(10, 1), diabetes(), class_weights="balanced")


@pytest.mark.parametrize(
    ("loss", "data", "module", "said"),
    [
        ("mse", wine, lambda: mlp(13, 3), "MSELoss compares numbers, but this is a classification"),
        ("nll", diabetes, lambda: mlp(10, 1), "NLLLoss compares classes, but this is a regression"),
        ("cross_entropy", diabetes, lambda: mlp(10, 1), "single output is always 0"),
        (nn.CrossEntropyLoss(reduction="none"), wine, lambda: mlp(13, 3), "not one number"),
        (lambda output, targets: 0.5, wine, lambda: mlp(13, 3), "gives a float for a batch"),
        (lambda output, targets: output @ targets, wine, lambda: mlp(13, 3), "does not take the model's output"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused_before_the_first_step(loss, data, module, said):
    net = module()
    before = net[0].weight.clone()
    with pytest.raises(InvalidInput, match=said) as caught:
        trained(net, data(), loss=loss)
    assert caught.value.hint
    assert torch.equal(before, net[0].weight)


def test_the_width_of_the_output_is_the_number_of_classes():
    data = as_data(wine())
    with pytest.raises(InvalidInput, match="has 5 outputs, but the data has 3 classes") as caught:
        TrainingPlan.make(mlp(13, 5), data, TrainingOptions(), classes=3)
    assert "3 outputs" in caught.value.hint
    plan = TrainingPlan.make(mlp(13, 5), data, TrainingOptions())
    assert "the model has 5 outputs, the labels end at 2" in plan.notes


def test_a_batch_larger_than_the_data_works_and_is_noted(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=2, batch_size=1000)
    assert run.state.steps == 1
    assert any("more than the 178 rows" in note for note in run.state.notes)
    assert any("classification on" in note for note in run.state.notes)


@pytest.mark.skipif(not torch.cpu._is_avx512_bf16_supported(), reason="the CPU has no bf16")
def test_bf16_where_the_device_has_it():
    net, dtypes = mlp(13, 3), set()
    net[0].register_forward_hook(lambda module, args, output: dtypes.add((output.dtype, module.training)))
    state, plan, _ = trained(net, wine(), epochs=20, precision="bf16", lr=0.01)
    assert (torch.bfloat16, True) in dtypes
    assert net[0].weight.dtype == torch.float32
    assert state.metrics["accuracy"] > 0.95
    assert "bf16" in plan.notes[0]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_learns_in_every_precision(precision):
    state, plan, _ = trained(mlp(13, 3), wine(), val=wine(), epochs=20, precision=precision, lr=0.01)
    assert plan.device.type == "cuda"
    assert state.metrics["val_accuracy"] > 0.95
    assert state.memory > 0


def test_an_epoch_whose_metric_is_no_number_is_still_an_epoch_of_the_scheduler():
    net = mlp(13, 3)
    X, y = wine()
    broken = X.copy()
    broken[0, 0] = float("nan")
    _, plan, rates = trained(
        net,
        (X, y),
        val=LoaderData(TensorDataset(torch.tensor(broken), torch.tensor(y))),
        epochs=3,
        batch_size=178,
        optimizer=lambda parameters: torch.optim.SGD(parameters, lr=1.0),
        schedule=lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5),
    )
    assert rates == [1.0, 0.5, 0.25]
    assert plan.watched == "val_loss"
