from __future__ import annotations

import os
import random
import signal

import numpy as np
import pytest
import torch
from models import mlp, wine
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import maas_jupyter
from maas_jupyter.errors import BundleError, InvalidInput, NotFound, UsageError


class Stopping(nn.Module):
    """A net with dropout that asks its run to stop at a step of its own, as the stop button would."""

    def __init__(self, at=None):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(13, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
        self.at, self.steps = at, 0

    def forward(self, x):
        self.steps += self.training
        if self.training and self.steps == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return self.net(x)


class Noisy(Dataset):
    """Rows with noise from torch, numpy and Python, as augmentations draw it."""

    def __init__(self):
        self.X, self.y = map(torch.tensor, wine())

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        return self.X[row] + torch.randn(13) / 10 + float(np.random.rand()) + random.random(), self.y[row]


def _loader(**options):
    return DataLoader(Noisy(), batch_size=16, shuffle=True, **options)


def _data(form):
    if form == "arrays":
        return wine()
    if form == "dataset":
        return Noisy()
    if form == "generator":
        return _loader(generator=torch.Generator().manual_seed(3))
    return _loader()


OPTIONS = {
    "epochs": 6,
    "batch_size": 16,
    "lr": 0.01,
    "optimizer": "sgd",
    "clip": 1.0,
    "schedule": "cosine",
    "warmup": 5,
    "accumulate": 2,
    "patience": 4,
}


def _optimizer(parameters):
    return torch.optim.SGD(parameters, lr=0.05, momentum=0.9)


def _step_lr(optimizer):
    return torch.optim.lr_scheduler.StepLR(optimizer, 2)


def _sequential(optimizer):
    schedulers = torch.optim.lr_scheduler
    return schedulers.SequentialLR(
        optimizer,
        [schedulers.LinearLR(optimizer, total_iters=2), schedulers.CosineAnnealingLR(optimizer, 4)],
        milestones=[2],
    )


def _onecycle(optimizer):
    return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=36)


def _weights(net):
    return {name: value.clone() for name, value in net.net.state_dict().items()}


def _same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# 12 batches an epoch, two of them a step: the 24th forward pass ends the second epoch, the 27th lies within the third.
@pytest.mark.parametrize("at", [24, 27], ids=["epoch border", "within an epoch"])
@pytest.mark.parametrize("form", ["arrays", "dataset", "loader", "generator"])
def test_a_resumed_run_reaches_the_weights_of_one_without_a_break(home, form, at):
    whole = Stopping()
    uninterrupted = maas_jupyter.train(whole, data=_data(form), val=wine(), **OPTIONS)
    first = Stopping(at)
    stopped = maas_jupyter.train(first, data=_data(form), val=wine(), **OPTIONS)
    assert stopped.status == "interrupted"
    assert stopped.state.epoch == 2
    assert not _same(_weights(whole), _weights(first))
    second = Stopping()
    resumed = maas_jupyter.train(second, data=_data(form), val=wine(), resume=stopped)
    assert (resumed.status, resumed.run_id) == (uninterrupted.status, stopped.run_id)
    assert _same(_weights(whole), _weights(second))
    assert resumed.history == uninterrupted.history
    assert resumed.state.best == uninterrupted.state.best
    assert resumed.state.curves["loss"].count == uninterrupted.state.curves["loss"].count
    assert load_file(resumed.checkpoint).keys() == second.state_dict().keys()
    assert not any("not the result" in note for note in resumed.state.notes)


@pytest.mark.parametrize("schedule", [_step_lr, _sequential, _onecycle, "plateau", "onecycle", "step"])
@pytest.mark.parametrize("optimizer", [_optimizer, "adamw"], ids=["momentum", "adamw"])
def test_optimizers_and_schedules_go_on_where_they_were(home, schedule, optimizer):
    options = {"data": wine(), "batch_size": 32, "epochs": 6, "schedule": schedule, "optimizer": optimizer}
    whole, first, second = Stopping(), Stopping(at=16), Stopping()
    maas_jupyter.train(whole, **options)
    stopped = maas_jupyter.train(first, **options)
    objects = {name: options[name] for name in ("schedule", "optimizer") if callable(options[name])}
    maas_jupyter.train(second, data=wine(), resume=stopped.run_id[:12], **objects)
    assert stopped.status == "interrupted"
    assert _same(_weights(whole), _weights(second))


def test_early_stopping_remembers_how_long_it_waited(home):
    options = {"data": wine(), "val": wine(), "epochs": 40, "lr": 0.3, "optimizer": "sgd", "patience": 3}
    whole = Stopping()
    uninterrupted = maas_jupyter.train(whole, **options)
    assert uninterrupted.status == "stopped_early"
    first, second = Stopping(at=6 * (uninterrupted.state.epoch - 1)), Stopping()
    stopped = maas_jupyter.train(first, **options)
    assert stopped.state.epoch == uninterrupted.state.epoch - 1
    resumed = maas_jupyter.train(second, data=wine(), val=wine(), resume=stopped)
    assert resumed.status == "stopped_early"
    assert resumed.history == uninterrupted.history
    assert _same(_weights(whole), _weights(second))


def test_a_complete_run_is_given_more_epochs(home):
    whole, first = Stopping(), Stopping()
    maas_jupyter.train(whole, data=wine(), epochs=5)
    run = maas_jupyter.train(first, data=wine(), epochs=3, name="prolonged")
    with pytest.raises(UsageError, match="is complete: it has done 3 epochs") as caught:
        maas_jupyter.train(first, data=wine(), resume=run)
    assert "--epochs" in caught.value.hint
    longer = maas_jupyter.train(Stopping(), data=wine(), resume="last", epochs=5)
    assert longer.run_id == run.run_id
    assert longer.name == "prolonged"
    assert _same(_weights(whole), _weights(longer.model))
    from mlflow import MlflowClient

    from maas_jupyter import config

    client = MlflowClient(config.current().resolved_registry_uri)
    assert [point.step for point in client.get_metric_history(run.run_id, "loss")] == [1, 2, 3, 4, 5]
    kept = client.get_run(run.run_id)
    assert kept.info.status == "FINISHED"
    assert kept.data.tags["maas.resumed"] == "unchanged"


def test_the_best_weights_of_before_the_break_are_restored(home):
    options = {"data": wine(), "val": wine(), "lr": 0.05}
    first = Stopping()
    run = maas_jupyter.train(first, epochs=4, **options)
    best = _weights(first)
    # From here on it gets worse: the best epoch stays one of the first four.
    second = Stopping()
    resumed = maas_jupyter.train(second, resume=run, epochs=6, **{**options, "lr": 5.0})
    assert resumed.state.best.epoch <= 4
    assert _same(best, _weights(second))
    assert resumed.checkpoint.name == "best.safetensors"
    assert any("lr 5.0 instead of 0.05" in note for note in resumed.state.notes)


def test_other_batches_begin_the_broken_epoch_anew_and_say_so(home):
    stopped = maas_jupyter.train(Stopping(at=27), data=wine(), batch_size=16, epochs=4)
    X, y = wine()
    resumed = maas_jupyter.train(Stopping(), data=(X[:100], y[:100]), batch_size=8, resume=stopped)
    assert resumed.status == "finished"
    (note,) = [note for note in resumed.state.notes if "not the result" in note]
    assert "batch_size 8 instead of 16" in note
    assert "other rows" in note
    assert "epoch 3 begins anew" in note


def test_a_checkpoint_of_another_architecture_is_refused(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    with pytest.raises(InvalidInput, match=r"'0.weight' has the shape \[64, 13\] in it and \[32, 13\] in the model"):
        maas_jupyter.train(mlp(13, 3, hidden=32), data=wine(), resume=run, epochs=2)
    deeper = nn.Sequential(*mlp(13, 3), nn.ReLU(), nn.Linear(3, 3))
    with pytest.raises(InvalidInput, match=r"the model has '4.weight' of shape \[3, 3\], which is not in it"):
        maas_jupyter.train(deeper, data=wine(), resume=run, epochs=2)
    shallower = nn.Sequential(nn.Linear(13, 64), nn.Linear(64, 64), nn.Identity())
    with pytest.raises(InvalidInput, match=r"the model has '1\.weight'"):
        maas_jupyter.train(nn.Sequential(*shallower, nn.Linear(64, 3)), data=wine(), resume=run, epochs=2)
    assert next(row for row in maas_jupyter.runs() if row.run_id == run.run_id).status == "finished"


def test_another_optimizer_cannot_take_the_state(home):
    net = nn.Sequential(nn.Linear(13, 3))
    run = maas_jupyter.train(net, data=wine(), epochs=1)
    two_groups = torch.optim.SGD([{"params": [net[0].weight]}, {"params": [net[0].bias]}], lr=0.1)
    with pytest.raises(maas_jupyter.MaasError, match="optimizer is not this SGD"):
        maas_jupyter.train(net, data=wine(), resume=run, epochs=2, optimizer=two_groups)


def test_what_is_no_run_is_said(own_home):
    with pytest.raises(NotFound, match="No model was trained on this machine"):
        maas_jupyter.train(mlp(13, 3), data=wine(), resume="last")
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    with pytest.raises(NotFound, match="no run 'abc'"):
        maas_jupyter.train(mlp(13, 3), data=wine(), resume="abc")
    (run.checkpoint.parent / "optimizer.safetensors").write_bytes(b"cut")
    with pytest.raises(BundleError, match=r"optimizer\.safetensors cannot be read"):
        maas_jupyter.train(mlp(13, 3), data=wine(), resume=run, epochs=2)


def test_an_object_that_a_checkpoint_cannot_hold_has_to_be_given_again(home):
    def weighted(output, targets):
        return nn.functional.cross_entropy(output, targets) * 2

    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1, loss=weighted)
    with pytest.raises(UsageError, match=r"trained with the loss .*weighted, which a checkpoint cannot hold") as caught:
        maas_jupyter.train(mlp(13, 3), data=wine(), resume=run, epochs=2)
    assert "--loss" in caught.value.hint
    assert maas_jupyter.train(mlp(13, 3), data=wine(), resume=run, epochs=2, loss=weighted).status == "finished"


def test_tied_weights_are_kept_and_resumed(home):
    def tied():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(13, 13), nn.ReLU(), nn.Linear(13, 13), nn.Linear(13, 3))
        net[2].weight = net[0].weight
        return net

    whole, first = tied(), tied()
    maas_jupyter.train(whole, data=wine(), epochs=4)
    run = maas_jupyter.train(first, data=wine(), epochs=2)
    again = tied()
    maas_jupyter.train(again, data=TensorDataset(*map(torch.tensor, wine())), resume=run, epochs=4)
    assert again[2].weight is again[0].weight
    assert torch.equal(whole[0].weight, again[0].weight)


def test_another_metric_that_is_watched_is_not_compared_with_the_one_before(home):
    # Losses far above 1, which no accuracy reaches.
    X, y = wine()
    net = mlp(13, 3)
    first = maas_jupyter.train(net, data=(X, y), val=(X, y), epochs=1, lr=1e-9, class_weights=None)
    first_best = first.state.best
    assert first_best.metric == "val_loss"
    assert first_best.value > 1
    again = maas_jupyter.train(net, data=(X, y), val=(X, y), epochs=3, lr=0.01, resume=first, watch="val_accuracy")
    assert again.state.best.metric == "val_accuracy"
    assert again.state.best.epoch in (2, 3)
    assert again.state.kept == again.state.best.epoch


def test_steps_that_end_within_an_epoch_are_told_where_the_run_goes_on(home):
    net = mlp(13, 3)
    first = maas_jupyter.train(net, data=wine(), steps=5, batch_size=16, schedule="cosine")
    again = maas_jupyter.train(net, data=wine(), resume=first, steps=30)
    told = " ".join(again.state.notes)
    assert "steps 30 instead of 5, which the schedule follows" in told
    assert "epoch 1 ended early, with step 5" in told


def test_last_is_the_training_that_ended_last(home):
    net = mlp(13, 3)
    older = maas_jupyter.train(net, data=wine(), epochs=1)
    maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    maas_jupyter.train(net, data=wine(), resume=older, epochs=2)
    assert maas_jupyter.train(net, data=wine(), resume="last", epochs=3).run_id == older.run_id


def test_fewer_epochs_than_were_done_are_refused_in_words(home):
    stopped = maas_jupyter.train(Stopping(at=30), data=wine(), batch_size=16, epochs=9)
    assert (stopped.status, stopped.state.epoch) == ("interrupted", 2)
    with pytest.raises(UsageError, match="has done 2 epochs already, so that --epochs 1 leaves nothing") as caught:
        maas_jupyter.train(Stopping(), data=wine(), resume=stopped, epochs=1)
    assert caught.value.hint == "Leave --epochs out to go on to 9, or give more than 2."


class Watched(torch.utils.data.Dataset):
    """Looks at the run from outside when its rows are asked for the first time: before the first step."""

    def __init__(self, look):
        self.X, self.y = map(torch.tensor, wine())
        self.look = look

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        if self.look is not None:
            look, self.look = self.look, None
            look()
        return self.X[row], self.y[row]


def test_a_run_that_is_being_resumed_can_be_interrupted_before_its_first_step(home):
    stopped = maas_jupyter.train(Stopping(at=30), data=Watched(None), batch_size=16, epochs=9)
    told = []
    data = Watched(lambda: told.append(maas_jupyter.interrupt(stopped.run_id, wait=0)))
    again = maas_jupyter.train(Stopping(), data=data, resume=stopped)
    assert "is asked to stop" in repr(told[0])
    assert again.status == "interrupted"
    assert again.state.total_steps <= 31


def test_a_resumption_that_does_not_begin_leaves_the_run_as_it_was(home):
    stopped = maas_jupyter.train(Stopping(at=30), data=wine(), batch_size=16, epochs=9)
    with pytest.raises(InvalidInput):
        maas_jupyter.train(nn.Linear(4, 3), data=wine(), resume=stopped)
    (record,) = maas_jupyter.runs(stopped.run_id)
    assert record.status == "interrupted"


def test_other_validation_rows_are_told(home):
    X, y = wine()
    first = maas_jupyter.train(mlp(13, 3), data=(X[:100], y[:100]), val=(X[100:140], y[100:140]), epochs=1)
    assert not any("not the result" in note for note in first.state.notes)
    on = maas_jupyter.train(first.model, data=(X[:100], y[:100]), val=(X[100:140], y[100:140]), epochs=2, resume=first)
    assert not any("not the result" in note for note in on.state.notes)
    other = maas_jupyter.train(first.model, data=(X[:100], y[:100]), val=(X[140:], y[140:]), epochs=3, resume=first)
    assert any("other validation rows" in note for note in other.state.notes)
