from __future__ import annotations

import copy
import signal
from collections import Counter

import numpy as np
import onnx
import pytest
import torch
from models import cnn, diabetes, digits, mlp
from onnx import numpy_helper
from pruning_models import Watcher, original
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maas_jupyter import plugins
from maas_jupyter.bundle import MODEL_FILE, Bundle
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.optimization.prune import MagnitudePruning
from maas_jupyter.optimization.prune.magnitude import held_at_zero, weights_of
from maas_jupyter.serving.servable import Servable


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


def zeros(bundle):
    """Share of zeros by the shape of the graph's weights."""
    graph = onnx.load(str(bundle.folder / MODEL_FILE)).graph
    arrays = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    return {tuple(sorted(array.shape)): float((array == 0).mean()) for array in arrays if array.ndim > 1}


def test_global_and_layer_scopes_reach_the_sparsity_and_keep_it_while_fine_tuning(tmp_path, folder):
    module = mlp()
    with torch.no_grad():
        module[0].weight.mul_(0.5)
    before = copy.deepcopy(module.state_dict())
    start = original(module, digits(200), tmp_path)
    made = MagnitudePruning(sparsity=0.8, scope="layer", norm="l2", epochs=2).run(start, folder)
    assert zeros(made) == pytest.approx({(64, 64): 0.8, (10, 64): 0.8}, abs=0.01)
    assert made.manifest.parent == start.bundle.digest
    assert made.manifest.size == pytest.approx(start.bundle.manifest.size, rel=0.01)
    assert Bundle.open(folder).digest == made.digest
    other = tmp_path / "global"
    other.mkdir()
    found = zeros(MagnitudePruning(sparsity=0.8, epochs=1).run(start, other))
    weights = 64 * 64 * found[64, 64] + 64 * 10 * found[10, 64]
    assert weights / (64 * 74) == pytest.approx(0.8, abs=0.01)
    assert found[64, 64] > found[10, 64] + 0.05  # its weights are the smaller ones
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_steps_prune_more_each_time(tmp_path, folder):
    watch = Watcher()
    start = original(mlp(), digits(100), tmp_path, watch=watch, packaged=False)
    MagnitudePruning(sparsity=0.9, steps=3, epochs=1).run(start, folder)
    assert [title.rpartition(": ")[2] for title in watch.titles] == [
        "step 1 of 3, 63% of the weights are 0",
        "step 2 of 3, 87% of the weights are 0",
        "step 3 of 3, 90% of the weights are 0",
    ]
    assert watch.states == ["finished"] * 3


def test_it_is_fine_tuned_with_the_loss_that_the_model_was_trained_with(tmp_path, folder):
    def only_zeros(output, targets):
        return nn.functional.cross_entropy(output, torch.zeros_like(targets))

    X, y = digits(100)
    start = original(mlp(), (X, y), tmp_path, loss=only_zeros)
    made = MagnitudePruning(sparsity=0.1, epochs=30, lr=1e-2).run(start, folder)
    servable = Servable.load(made)
    answers = servable.run({"input": X})["label"]
    servable.unload()
    assert (answers == 0).all()


@pytest.mark.parametrize("norm", ["l1", "l2"])
def test_very_small_weights_are_told_apart_by_either_norm(tmp_path, folder, norm):
    module = nn.Linear(64, 10)
    with torch.no_grad():
        module.weight.copy_(torch.logspace(-30, -20, 640).flip(0).view(10, 64))
    start = original(module, digits(32), tmp_path, packaged=False)
    made = MagnitudePruning(sparsity=0.5, norm=norm, epochs=1, lr=1e-30).run(start, folder)
    (weights,) = [
        array
        for array in map(numpy_helper.to_array, onnx.load(str(made.folder / MODEL_FILE)).graph.initializer)
        if array.ndim > 1
    ]
    assert (weights != 0)[:5].all() or (weights != 0).T[:5].all()


def test_same_seed_same_weights(tmp_path):
    start = original(mlp(), digits(100), tmp_path, packaged=False)
    digests = []
    for seed in (1, 1, 2):
        place = tmp_path / f"{len(digests)}"
        place.mkdir()
        made = MagnitudePruning(epochs=1, seed=seed).run(start, place)
        digests.append(made.manifest.files[MODEL_FILE].sha256)
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_weights_of_0_stay_0_with_momentum_and_decay(optimizer):
    layer = nn.Linear(8, 8)
    weights = [layer.weight]
    masks = [torch.rand(8, 8) > 0.5]
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    with held_at_zero(weights, masks):
        training = optimizer(layer.parameters(), lr=0.1, weight_decay=0.1, **options)
        for _ in range(3):
            training.zero_grad()
            layer(torch.randn(4, 8)).square().sum().backward()
            training.step()
    assert not layer.weight[~masks[0]].any() and layer.weight[masks[0]].all()


def test_what_has_weights_to_prune():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, 4)
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.out = nn.Linear(4, 8)
            self.out.weight = self.embedding.weight
            self.norm = nn.BatchNorm1d(4)

    tied = Tied()
    assert [id(weight) for weight in weights_of(tied)] == [id(tied.first.weight)]
    shapes = Counter(tuple(weight.shape) for weight in weights_of(nn.GRU(3, 5)))
    assert shapes == {(15, 3): 1, (15, 5): 1}


def test_a_loader_batch_norm_and_frozen_weights(tmp_path, folder):
    X, y = digits(96)
    module = nn.Sequential(nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)).train()
    module[0].weight.requires_grad_(False)
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=32)
    start = original(module, loader, tmp_path, packaged=False)
    made = MagnitudePruning(sparsity=0.5, scope="layer", epochs=1).run(start, folder)
    assert made.manifest.task == "classification" and module.training
    assert module[0].weight.count_nonzero() == 64 * 16


def test_a_regression_and_a_cnn(tmp_path, folder):
    start = original(mlp(10, 1, 16), diabetes(), tmp_path, packaged=False)
    assert MagnitudePruning(epochs=1).run(start, folder).manifest.task == "regression"
    X, y = digits(64)
    other = tmp_path / "cnn"
    other.mkdir()
    start = original(cnn(), (X.reshape(-1, 1, 8, 8), y), tmp_path, packaged=False)
    made = MagnitudePruning(sparsity=0.5, scope="layer", epochs=1).run(start, other)
    assert np.mean(list(zeros(made).values())) == pytest.approx(0.5, abs=0.02)


def test_an_interrupt_ends_it_and_leaves_nothing_behind(tmp_path, folder):
    watch = Watcher(on_epoch=lambda: signal.raise_signal(signal.SIGINT))
    start = original(mlp(), digits(100), tmp_path, watch=watch, packaged=False)
    with pytest.raises(KeyboardInterrupt):
        MagnitudePruning(epochs=5).run(start, folder)
    assert watch.states == ["interrupted"] and not list(folder.iterdir())


def test_the_training_view_draws_it(tmp_path, folder, capsys):
    start = original(mlp(), digits(64), tmp_path, packaged=False, watch=plugins.load("view", "training"))
    MagnitudePruning(epochs=1).run(start, folder)
    assert "50% of the weights are 0 finished" in capsys.readouterr().err


def test_where_it_does_not_apply(tmp_path, folder):
    nothing = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64))
    start = original(nothing, digits(64), tmp_path, packaged=False)
    assert not MagnitudePruning().applies_to(start)
    with pytest.raises(InvalidInput, match="no linear, convolutional or recurrent layer"):
        MagnitudePruning().run(start, folder)
    known = original(mlp(), digits(64), tmp_path, packaged=False)
    bundle_alone = known.followed_by(known.bundle)
    assert MagnitudePruning().applies_to(known) and not MagnitudePruning().applies_to(bundle_alone)
    with pytest.raises(InvalidInput, match="only there as a bundle") as raised:
        MagnitudePruning().run(bundle_alone, folder)
    assert "Pass the run" in raised.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 0.0}, "--sparsity is 0.0"),
        ({"sparsity": 1.0}, "--sparsity is 1.0"),
        ({"sparsity": float("nan")}, "--sparsity is nan"),
        ({"norm": "l3"}, "no norm called 'l3'"),
        ({"scope": "layers"}, "no scope called 'layers'"),
        ({"steps": 0}, "--steps is 0"),
        ({"epochs": 0}, "--epochs is 0"),
        ({"lr": -1.0}, "--lr is -1.0"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(UsageError, match=message) as raised:
        MagnitudePruning(**options)
    assert raised.value.hint
