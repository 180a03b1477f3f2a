from __future__ import annotations

import numpy as np
import pytest
import torch
from models import diabetes, mlp, wine
from safetensors.torch import load_file
from sklearn.datasets import load_wine
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import maas_jupyter
from maas_jupyter.errors import ExportError, InvalidInput, NotFound, TrainingError, Unavailable, UsageError
from maas_jupyter.registry import Registry


class Rows(Dataset):
    """A map-style dataset of wine."""

    def __init__(self):
        self.X, self.y = wine()

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        return self.X[row], self.y[row]


class Stream(IterableDataset):
    """Wine as a stream of unknown length."""

    def __iter__(self):
        X, y = wine()
        yield from zip(X, y, strict=True)


def _forms():
    X, y = wine()
    pair = (torch.tensor(X), torch.tensor(y))
    return {
        "arrays": (X, y),
        "float64 arrays": (X.astype("float64"), y.astype("int32")),
        "lists": (X.tolist(), y.tolist()),
        "tensors": pair,
        "tensor dataset": TensorDataset(*pair),
        "dataset": Rows(),
        "loader": DataLoader(Rows(), batch_size=16, shuffle=True),
        "stream": DataLoader(Stream(), batch_size=16),
    }


@pytest.mark.parametrize("form", list(_forms()))
def test_a_model_learns_from_every_form_of_data(home, form):
    run = maas_jupyter.train(mlp(13, 3), data=_forms()[form], val=wine(), epochs=15, batch_size=16, lr=3e-3)
    assert run.status == "finished"
    assert len(run.history) == 15
    assert run.metrics["val_accuracy"] > 0.95
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_a_regression_learns(home):
    X, y = diabetes()
    run = maas_jupyter.train(mlp(10, 1), data=(X, y), val=(X, y), epochs=40, lr=1e-2, name="progression")
    assert run.metrics["val_loss"] < 0.6
    assert set(run.metrics) == {"loss", "mae", "val_loss", "val_mae"}
    assert run.version.task == "regression"
    assert run.version.metrics["r2"] > 0.4


def test_the_same_seed_gives_the_same_weights_and_leaves_the_random_state_alone(home):
    def trained(seed):
        net = nn.Sequential(mlp(13, 16), nn.Dropout(0.5), nn.Linear(16, 3))
        torch.manual_seed(7)
        nn.init.normal_(net[2].weight)
        before = torch.random.get_rng_state()
        maas_jupyter.train(net, data=wine(), epochs=2, seed=seed)
        assert torch.equal(before, torch.random.get_rng_state())
        return net[2].weight.detach()

    assert torch.equal(trained(1), trained(1))
    assert not torch.equal(trained(1), trained(2))


@pytest.mark.parametrize("form", ["dataset", "tensor dataset", "arrays"])
def test_the_random_state_is_left_alone_with_every_form(home, form):
    before = torch.random.get_rng_state()
    net = mlp(13, 3)
    torch.random.set_rng_state(before)
    maas_jupyter.train(net, data=_forms()[form], val=_forms()[form], epochs=1)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("form", ["arrays", "dataset"])
def test_a_last_batch_of_one_row_does_not_stop_batch_normalisation(home, form):
    net = nn.Sequential(nn.Linear(13, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    assert len(_forms()["dataset"]) % 59 == 1
    assert maas_jupyter.train(net, data=_forms()[form], epochs=1, batch_size=59).status == "finished"


def test_frames_and_series_are_data(home):
    X, y = load_wine(return_X_y=True, as_frame=True)
    run = maas_jupyter.train(mlp(13, 3), data=((X - X.mean()) / X.std(), y), epochs=5)
    assert run.metrics["accuracy"] > 0.5


def test_a_stream_that_gives_its_rows_once_is_reported(home):
    class Once(IterableDataset):
        rows = iter(list(zip(*wine(), strict=True)))

        def __iter__(self):
            return self.rows

    with pytest.raises(InvalidInput, match="gave no row in this epoch"):
        maas_jupyter.train(mlp(13, 3), data=DataLoader(Once(), batch_size=16), epochs=3)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_training_that_diverges_says_so_and_registers_nothing(home, task):
    net, data = (mlp(13, 3), wine()) if task == "classification" else (nn.Linear(10, 1), diabetes())
    name = f"diverged-{task}"
    with pytest.raises(TrainingError, match=r"The loss became (nan|inf) at step \d+ \(epoch \d+\)") as caught:
        maas_jupyter.train(net, data=data, epochs=20, optimizer="sgd", lr=1e25, name=name)
    assert "--lr" in caught.value.hint
    assert maas_jupyter.runs(limit=1)[0].status == "failed"
    with pytest.raises(NotFound):
        maas_jupyter.models(name)
    maas_jupyter.models()


def test_a_registry_that_goes_away_before_the_end_does_not_lose_the_run(home, monkeypatch):
    def gone(*_):
        raise Unavailable("The registry is gone.")

    monkeypatch.setattr(Registry, "log_file", gone)
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    assert run.status == "finished"
    assert run.checkpoint.exists()
    assert "The registry is gone." in repr(run)


def test_metrics_and_parameters_are_tracked_in_mlflow(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), val=wine(), epochs=3, lr=0.01, name="tracked")
    record = next(record for record in maas_jupyter.runs() if record.run_id == run.run_id)
    assert record.status == "finished"
    assert record.name == "tracked"
    assert record.params["epochs"] == "3"
    assert record.params["lr"] == "0.01"
    assert record.metrics["val_accuracy"] == pytest.approx(run.metrics["val_accuracy"])
    from mlflow import MlflowClient

    from maas_jupyter import config

    history = MlflowClient(config.current().resolved_registry_uri).get_metric_history(run.run_id, "loss")
    assert [point.step for point in history] == [1, 2, 3]


def test_the_checkpoint_holds_the_weights(home):
    net = mlp(13, 3)
    run = maas_jupyter.train(net, data=wine(), epochs=1)
    saved = load_file(run.checkpoint)
    assert saved.keys() == net.state_dict().keys()
    assert all(torch.equal(saved[name], value) for name, value in net.state_dict().items())


class Interrupting(nn.Module):
    """Presses the stop button at a step of its own."""

    def __init__(self, at):
        super().__init__()
        self.net, self.at, self.steps = mlp(13, 3), at, 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == self.at:
            self.steps += 1
            raise KeyboardInterrupt
        return self.net(x)


def test_an_interrupt_keeps_a_checkpoint_and_returns_the_run(home):
    net = Interrupting(at=20)
    run = maas_jupyter.train(net, data=wine(), epochs=50, batch_size=16, name="stopped")
    assert run.status == "interrupted"
    assert len(run.history) == 1
    assert run.version is None
    saved = load_file(run.checkpoint)
    assert torch.equal(saved["net.0.weight"], net.net[0].weight)
    assert next(record for record in maas_jupyter.runs() if record.run_id == run.run_id).status == "interrupted"
    assert "interrupted" in repr(run)
    assert str(run.checkpoint) in repr(run)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((np.zeros((8, 12), "float32"), np.arange(8) % 3), "does not fit the model; rows of shape"),
        ((np.zeros((8, 13), "float32"), np.arange(8) % 4), "label 3 at row 3, but the model has 3 classes, 0 to 2"),
        ((np.zeros((8, 13), "float32"), np.full(8, 2)), "are of one class, 2"),
        ((np.zeros((8, 13), "float32"), np.array([0, 1, 2, -1] * 2)), "label -1 at row 3"),
        ((np.zeros((8, 13), "float32"), np.zeros(7, int)), "8 rows of inputs and 7 targets"),
        ((np.zeros((0, 13), "float32"), np.zeros(0, int)), "has no rows"),
        ((np.array([["a"] * 13]), np.zeros(1, int)), "hold text where numbers are expected"),
        (np.zeros((8, 13), "float32"), "has no targets"),
        ((np.zeros((8, 13), "float32"), np.arange(8).reshape(8, 1) % 3), r"labels in 'data' have the shape \[8, 1\]"),
        ((np.zeros((8, 13), "float32"), np.eye(8, 3, dtype=int)), "a class for each row"),
        ((np.zeros((8, 13), int), np.arange(8) % 3), "does not fit the model; rows of shape"),
        (([[1.0] * 13, [1.0]], [0, 1]), "are not an array"),
        ({"X": 1}, "is a dict, which is not a form of data"),
        (
            (np.zeros((8, 13), "float32"), np.zeros(8, "float32")),
            r"A row of the model's output has the shape \[3\], one of the targets in 'data' \[\]",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused_before_training(home, data, said):
    net = mlp(13, 3)
    before = net[0].weight.clone()
    with pytest.raises(InvalidInput, match=said) as caught:
        maas_jupyter.train(net, data=data)
    assert caught.value.hint
    assert torch.equal(before, net[0].weight)


def test_a_bad_label_late_in_a_stream_fails_the_run_in_words(home):
    class Late(Rows):
        def __getitem__(self, row):
            return self.X[row], 3 if row == 100 else self.y[row]

    with pytest.raises(InvalidInput, match="label 3"):
        maas_jupyter.train(mlp(13, 3), data=DataLoader(Late(), batch_size=16), name="late")
    assert maas_jupyter.runs(limit=1)[0].status == "failed"


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        ({"optimizer": "adm"}, "no optimizer called 'adm'", "'adam'"),
        ({"loss": "mes"}, "no loss called 'mes'", "'mse'"),
        ({"device": "gpu"}, "device 'gpu' cannot be used", "cpu"),
        ({"epochs": 0}, "--epochs is 0", "1"),
        ({"epochs": 1, "steps": 1}, "exclude each other", "one"),
        ({"lr": -1.0}, "--lr is -1.0", "1e-3"),
        ({"warmup": -1.0}, "--warmup is -1.0", "out"),
        ({"schedule": "cosinus"}, "no schedule called 'cosinus'", "'cosine'"),
        ({"schedule": 3}, "is a int, not a learning rate scheduler", "cosine"),
        ({"precision": "fp8"}, "no precision called 'fp8'", "bf16"),
        ({"precision": "fp16", "device": "cpu"}, "a CPU computes fp16 slower", "fp32"),
        ({"watch": "acuracy"}, "no metric called 'acuracy'", "'accuracy'"),
        ({"watch": "val_loss"}, "no metric called 'val_loss'", "--val"),
        ({"optimizer": 3}, "is a int", "function"),
        ({"optimizer": lambda parameters: 3}, "returned a int", "torch.optim"),
        ({"class_weights": "balance"}, "'balance' are no class weights", "balanced"),
        ({"class_weights": [1.0, 2.0]}, "2 class weights for 3 classes", "each output"),
        ({"class_weights": [1.0, 2.0, -1.0]}, "negative", "each output"),
        ({"class_weights": "balanced", "loss": nn.CrossEntropyLoss()}, "a loss by name", "weight="),
        ({"loss": 3}, "is a int, not a function", "name"),
    ],
)
def test_unknown_choices_offer_the_nearest(home, arguments, said, hint):
    with pytest.raises(UsageError, match=said) as caught:
        maas_jupyter.train(mlp(13, 3), data=wine(), **arguments)
    assert hint in caught.value.hint


def test_losses_and_optimizers_can_be_objects(home):
    net = mlp(13, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    run = maas_jupyter.train(
        net, data=wine(), val=wine(), epochs=10, optimizer=optimizer, loss=nn.CrossEntropyLoss(label_smoothing=0.1)
    )
    assert run.metrics["val_accuracy"] > 0.95


class Unexportable(nn.Module):
    """Decides by the values of a tensor, which no exporter can write down."""

    def __init__(self):
        super().__init__()
        self.net = mlp(13, 3)

    def forward(self, x):
        return self.net(x) if x.sum() > 0 else self.net(x * 2)


def test_a_model_that_cannot_be_exported_keeps_its_trained_run(home):
    net = Unexportable()
    with pytest.raises(ExportError, match="cannot be exported to ONNX") as caught:
        maas_jupyter.train(net, data=wine(), epochs=1, name="unexportable")
    run = maas_jupyter.runs(limit=1)[0]
    assert run.status == "finished"
    assert run.run_id[:8] in caught.value.hint
    assert "torch.where" in caught.value.hint
    checkpoint = home / "runs" / run.run_id / "checkpoint" / "model.safetensors"
    assert torch.equal(load_file(checkpoint)["net.0.weight"], net.net[0].weight)
    assert str(checkpoint) in caught.value.hint


def test_an_interrupt_while_it_is_registered_returns_the_run(home):
    class Impatient(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp(13, 3)

        def forward(self, x):
            if torch.compiler.is_exporting():
                raise KeyboardInterrupt
            return self.net(x)

    run = maas_jupyter.train(Impatient(), data=wine(), epochs=1, name="impatient")
    assert (run.status, run.version) == ("finished", None)
    assert f"%maas register {run.run_id[:8]} --name impatient" in repr(run)


def test_labels_are_named(home):
    X, y = wine()
    run = maas_jupyter.train(mlp(13, 3), data=(X, y), epochs=1, name="named", labels=["red", "white", "rose"])
    evaluation = maas_jupyter.evaluate("named", data=(X, y))
    assert [report.label for report in evaluation.classes] == ["red", "white", "rose"]
    assert run.version is not None
    with pytest.raises(InvalidInput, match="2 labels"):
        maas_jupyter.train(mlp(13, 3), data=(X, y), epochs=1, name="named", labels=["red", "white"])


def test_the_rate_is_that_of_the_training_while_rows_are_validated(monkeypatch):
    from types import SimpleNamespace

    from maas_jupyter.runs import RunState
    from maas_jupyter.training import meter

    now = SimpleNamespace(seconds=0.0, time=lambda: 0.0, perf_counter=lambda: now.seconds)
    monkeypatch.setattr(meter, "time", now)
    state = RunState(run_id="0123456789", name="n", epochs=1)
    measured = meter.Meter(state, torch.device("cpu"))
    for seconds, rows in ((0.0, 0), (4.0, 40), (8.0, 80), (12.0, 80), (16.0, 80), (20.0, 80)):
        now.seconds, state.rows = seconds, rows
        measured.measure()
    assert state.rows_per_second == pytest.approx(10)


def test_a_run_that_begins_in_the_background_says_so_and_no_time_is_left_before_its_pace_is_known(home):
    from maas_jupyter.runs import RunState
    from maas_jupyter.training.meter import Meter
    from maas_jupyter.training.run import Run

    state = RunState(run_id="0123456789", name="n", epochs=20, goal=1000)
    assert "epoch 1 of 20 begins" in repr(Run(state, mlp(13, 3)))
    meter = Meter(state, torch.device("cpu"))
    state.total_steps = 1
    meter.measure()
    assert state.remaining is None
    state.total_steps = 2
    meter.measure()
    assert state.remaining is not None
