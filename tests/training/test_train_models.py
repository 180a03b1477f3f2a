"""Modules of every kind learn real data; functions that make them; the same seed, and going on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from models import digits, mlp, wine
from sklearn.datasets import load_breast_cancer, load_digits
from torch import nn

import maas_jupyter
from maas_jupyter.errors import InvalidInput, UsageError


def perceptron(features, classes, hidden=32, dropout=0.0):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes))


def pictures():
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype("float32").reshape(-1, 1, 8, 8), y


class Recurrent(nn.Module):
    """Reads a digit line by line."""

    def __init__(self, kind, classes=10):
        super().__init__()
        self.layer = kind(8, 48, batch_first=True)
        self.head = nn.Linear(48, classes)

    def forward(self, x):
        output, _ = self.layer(x)
        return self.head(output[:, -1])


def convolution():
    return nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 10))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: mlp(64, 10), (64,)),
        (convolution, (1, 8, 8)),
        (lambda: Recurrent(nn.LSTM), (8, 8)),
        (lambda: Recurrent(nn.GRU), (8, 8)),
    ],
    ids=["mlp", "cnn", "lstm", "gru"],
)
def test_networks_of_every_kind_learn_digits(home, make, shape):
    X, y = pictures()
    torch.manual_seed(0)
    net = make()
    X = X.reshape(len(X), *shape)
    run = maas_jupyter.train(net, data=(X[:1400], y[:1400]), val=(X[1400:], y[1400:]), epochs=12, lr=5e-3)
    assert maas_jupyter.evaluate(run, data=(X[1400:], y[1400:])).metrics["accuracy"] > 0.88
    assert run.model is net


def test_a_recurrent_network_is_registered_and_answers_like_its_module(home):
    X, y = pictures()
    X = X.reshape(-1, 8, 8)
    run = maas_jupyter.train(
        lambda classes: Recurrent(nn.GRU, classes), data=(X[:600], y[:600]), val=0.2, epochs=6, lr=1e-2, name="lines"
    )
    evaluation = maas_jupyter.evaluate(run, data=(X[1200:], y[1200:]))
    assert evaluation.metrics["accuracy"] > 0.6
    assert evaluation.module_difference.max_difference < 1e-5


# -- functions that make modules --------------------------------------------------------------------------------------


def test_the_data_answers_a_builder_and_hyper_parameters_are_passed(home):
    run = maas_jupyter.train(perceptron, data=wine(), epochs=20, lr=1e-2, params="hidden=24 dropout=0.1")
    assert [tuple(weight.shape) for name, weight in run.model.named_parameters() if "weight" in name] == [
        (24, 13),
        (3, 24),
    ]
    assert run.model[2].p == 0.1
    assert run.metrics["accuracy"] > 0.9
    assert run.name == "perceptron"
    record = maas_jupyter.runs(limit=1)[0]
    assert (record.params["hidden"], record.params["dropout"]) == ("24", "0.1")
    same = maas_jupyter.train(perceptron, data=wine(), epochs=1, params={"hidden": 24})
    assert same.model[0].out_features == 24


def test_a_class_makes_modules(home):
    class Net(nn.Module):
        def __init__(self, in_features, num_classes, *, width=8):
            super().__init__()
            self.net = mlp(in_features, num_classes, width)

        def forward(self, x):
            return self.net(x)

    run = maas_jupyter.train(Net, data=wine(), epochs=1, params="width=12")
    assert isinstance(run.model, Net)
    assert run.model.net[0].out_features == 12


class Embedded(nn.Module):
    """Takes numbers and indices of categories."""

    def __init__(self, classes=2):
        super().__init__()
        self.embedding = nn.Embedding(4, 3)
        self.head = nn.Linear(30 + 3, classes)

    def forward(self, numbers, indices):
        return self.head(torch.cat([numbers, self.embedding(indices[:, 0])], dim=1))


def cancer():
    frame = load_breast_cancer(as_frame=True).frame
    return frame.assign(size=np.where(frame["mean radius"] > 15, "large", "small"))


@pytest.mark.parametrize("made", [True, False])
def test_a_module_of_two_arguments_gets_numbers_and_indices(home, made):
    model = Embedded if made else Embedded()
    run = maas_jupyter.train(model, data=cancer(), target="target", val=0.2, epochs=10, lr=1e-2)
    assert run.prepared.preprocessing.encoding == "indices"
    assert run.metrics["val_accuracy"] > 0.93


def failing(features, hidden=8):
    raise KeyError("hidden")


def needy(features, classes, hidden):
    return nn.Linear(features, classes)


@pytest.mark.parametrize(
    ("model", "given", "kind", "said", "hint"),
    [
        (failing, {}, InvalidInput, r"failing\(features=13\) failed: 'hidden'", "Call it in a cell"),
        (lambda features: "a module", {}, InvalidInput, "made a str", "torch.nn.Module"),
        (needy, {}, UsageError, "needs a value for 'hidden'", "--params hidden="),
        (perceptron, {"params": "hiden=3"}, UsageError, "takes no 'hiden'", "'hidden'"),
        (perceptron, {"params": "hidden=3,4"}, UsageError, "more than one value", "%maas tune"),
        (perceptron, {"params": "hidden"}, UsageError, "hyper-parameters do not parse at character 7", "hidden=64"),
        (mlp(13, 3), {"params": "hidden=3"}, UsageError, "a module already; it takes no 'hidden'", "function"),
        (3, {}, UsageError, "A int is neither a torch module nor makes one", "variable"),
        (lambda: mlp(13, 4), {"labels": ["a", "b", "c"]}, InvalidInput, "3 labels|4 outputs", ""),
    ],
)
def test_functions_that_make_no_module_are_refused_in_words(home, model, given, kind, said, hint):
    with pytest.raises(kind, match=said) as caught:
        maas_jupyter.train(model, data=wine(), epochs=1, name="not-made", **given)
    assert hint in caught.value.hint


# -- the same seed, and going on --------------------------------------------------------------------------------------


def weights(run):
    return [parameter.detach().clone() for parameter in run.model.parameters()]


def same(one, other):
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_the_same_seed_makes_and_trains_the_same_module_whatever_was_drawn_before(home):
    def trained(seed):
        torch.rand(seed + 3)
        before = torch.random.get_rng_state()
        run = maas_jupyter.train(perceptron, data=wine(), val=0.2, epochs=2, params="dropout=0.3", seed=seed)
        assert torch.equal(before, torch.random.get_rng_state())
        return weights(run)

    assert same(trained(1), trained(1))
    assert not same(trained(1), trained(2))


@pytest.mark.parametrize("form", ["arrays", "table", "regression"])
def test_a_made_module_goes_on_to_the_result_of_a_run_without_a_break(home, form):
    given = {"data": digits(), "val": 0.2}
    if form != "arrays":
        given = {"data": cancer(), "target": "target", "val": 0.2}
    if form == "regression":
        given["data"] = cancer().assign(target=lambda frame: frame["mean area"] * 10).drop(columns="mean area")
    options = {"params": "hidden=16 dropout=0.2", "batch_size": 32, **given}
    whole = maas_jupyter.train(perceptron, epochs=4, **options)
    half = maas_jupyter.train(perceptron, epochs=2, **options)
    on = maas_jupyter.train(perceptron, epochs=4, resume=half, **options)
    assert on.run_id == half.run_id
    assert len(on.history) == 4
    assert same(weights(whole), weights(on))
    assert not any("not the result" in note for note in on.state.notes)


def test_a_checkpoint_of_other_hyper_parameters_is_refused(home):
    half = maas_jupyter.train(perceptron, data=wine(), epochs=1, params="hidden=16")
    with pytest.raises(InvalidInput, match=r"another architecture: '0.weight' has the shape \[16, 13\]") as caught:
        maas_jupyter.train(perceptron, data=wine(), epochs=2, resume=half)
    assert half.run_id[:8] in caught.value.hint


def test_a_run_can_be_trained_on(home):
    first = maas_jupyter.train(perceptron, data=cancer(), target="target", epochs=2)
    again = maas_jupyter.train(first, data=cancer(), target="target", epochs=2)
    assert again.model is first.model
    assert again.history[0]["loss"] < first.history[0]["loss"]
    assert again.run_id != first.run_id
