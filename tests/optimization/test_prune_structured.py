from __future__ import annotations

import copy
import sys

import numpy as np
import pytest
import torch
from models import cnn, diabetes, digits, mlp
from pruning_models import Counted, Residual, Watcher, bert, original, texts, word_tokenizer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from maas_jupyter.bundle import MODEL_FILE
from maas_jupyter.data import Batch
from maas_jupyter.errors import InvalidInput, MissingDependency, UsageError
from maas_jupyter.optimization.prune import StructuredPruning
from maas_jupyter.optimization.prune.channels import Channels
from maas_jupyter.serving.servable import Servable


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "made").mkdir()
    return tmp_path / "made"


def images(rows=64):
    X, y = digits(rows)
    return X.reshape(-1, 1, 8, 8), y


def shapes(module):
    return {name: tuple(value.shape) for name, value in module.named_parameters() if value.ndim > 1}


def test_half_of_the_channels_makes_a_smaller_bundle_that_answers(tmp_path, folder):
    module, (X, y) = cnn(), images(200)
    before = copy.deepcopy(module.state_dict())
    start = original(module, (X, y), tmp_path)
    made = StructuredPruning(amount=0.5, epochs=2).run(start, folder)
    assert made.manifest.size < 0.4 * start.bundle.manifest.size
    assert made.manifest.parent == start.bundle.digest and made.manifest.signature == start.bundle.manifest.signature
    servable = Servable.load(made)
    assert servable.run({"input": X[:3]})["scores"].shape == (3, 10)
    servable.unload()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("importance", ["l1", "l2"])
def test_shortcuts_norms_and_depthwise_layers_lose_the_same_channels(importance):
    module = Residual()
    Channels(module, Batch((torch.randn(2, 1, 8, 8),), None)).remove(0.5, importance, "layer")
    assert shapes(module) == {
        "stem.weight": (8, 1, 3, 3),
        "a.weight": (12, 8, 3, 3),
        "b.weight": (8, 12, 3, 3),
        "depthwise.weight": (8, 1, 3, 3),
        "head.weight": (10, 128),
    }
    assert module.norm.num_features == 8


def test_channels_that_do_nothing_go_first_and_the_answers_stay():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 10)).eval()
    with torch.no_grad():
        for layer, idle in ((0, [1, 4, 7, 8, 10, 11]), (2, [0, 3, 5, 6])):
            module[layer].weight[idle] = 0
            module[layer].bias[idle] = 0
            module[layer + 2].weight[:, idle] = 0
    rows = torch.randn(5, 64)
    answers = module(rows)
    Channels(module, Batch((rows,), None)).remove(0.5, "l2", "layer")
    assert shapes(module) == {"0.weight": (6, 64), "2.weight": (4, 6), "4.weight": (10, 4)}
    assert torch.allclose(module(rows), answers, atol=1e-6)


def test_whole_heads_and_neurons_of_an_encoder_go():
    module = bert(layers=2).eval()
    with torch.no_grad():
        for block in module.model.bert.encoder.layer:
            block.attention.output.dense.weight[:, 4:12] = 0  # the second and third of four heads
            for projection in (block.attention.self.query, block.attention.self.key, block.attention.self.value):
                projection.weight[4:12] = 0
            block.intermediate.dense.weight[::2] = 0
            block.output.dense.weight[:, ::2] = 0
        module.model.bert.pooler.dense.weight[:8] = 0
        module.model.classifier.weight[:, :8] = 0
    inputs = (torch.randint(1, 12, (3, 6)), torch.ones(3, 6, dtype=torch.int64))
    answers = module(*inputs)
    channels = Channels(module, Batch(inputs, None))
    assert channels.count == 2 * (4 + 32) + 16
    channels.remove(0.5, "l2", "layer")
    block = module.model.bert.encoder.layer[0]
    assert block.attention.self.query.weight.shape == (8, 16) and block.attention.self.num_attention_heads == 2
    assert block.attention.output.dense.weight.shape == (16, 8)
    assert block.intermediate.dense.weight.shape == (16, 16)
    assert module.model.bert.embeddings.word_embeddings.weight.shape == (16, 16)
    # What is left of the neurons that went is their bias, which nothing reads.
    assert torch.allclose(module(*inputs), answers, atol=1e-6)
    channels.remove(0.75, "l2", "layer")
    assert block.attention.self.query.weight.shape == (4, 16) and block.attention.self.num_attention_heads == 1


def test_an_encoder_of_texts_is_pruned_in_steps_and_keeps_its_tokenizer(tmp_path, folder):
    watch = Watcher()
    start = original(bert(layers=1), texts(), tmp_path, watch=watch, tokenizer=word_tokenizer(), max_length=8)
    made = StructuredPruning(amount=0.5, steps=2, epochs=1, scope="global").run(start, folder)
    assert made.manifest.files.keys() == start.bundle.manifest.files.keys()
    assert made.manifest.size < start.bundle.manifest.size
    assert [title.rpartition(": ")[2] for title in watch.titles] == [
        "step 1 of 2, 44% of the channels removed",
        "step 2 of 2, 50% of the channels removed",
    ]


def test_torch_transformers_lose_neurons_only():
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.layers = nn.Linear(8, 16), nn.TransformerEncoder(layer, 2)
            self.last = nn.Linear(16, 3)

        def forward(self, x):
            return self.last(self.layers(self.first(x)).mean(1))

    module = Encoder()
    Channels(module, Batch((torch.randn(2, 4, 8),), None)).remove(0.5, "l2", "layer")
    assert module.layers.layers[1].linear1.weight.shape == (16, 16)
    assert module.first.weight.shape == (16, 8)


def test_what_is_tied_to_the_input_or_shares_weights_stays():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.d = nn.Linear(8, 6), nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.d.weight = self.c.weight
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            return self.out(self.d(self.c(x + self.b(self.a(x).relu())).relu()))

    module = Tied()
    Channels(module, Batch((torch.randn(2, 8),), None)).remove(0.5, "l1", "global")
    assert shapes(module) == {"a.weight": (3, 8), "b.weight": (8, 3), "c.weight": (8, 8), "out.weight": (3, 8)}


def test_groups_lose_as_many_channels_each():
    module = nn.Sequential(
        nn.Conv2d(1, 16, 3), nn.GroupNorm(4, 16), nn.Conv2d(16, 32, 3, groups=4), nn.Flatten(), nn.Linear(32 * 16, 10)
    )
    channels = Channels(module, Batch((torch.randn(2, 1, 8, 8),), None))
    for share in (0.5, 0.9):
        channels.remove(share, "l2", "layer")
        assert module[0].out_channels % 4 == 0 and module[2].weight.shape[1] == module[0].out_channels // 4
    assert module[0].out_channels == 8


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_some_of_each_layer_is_left_whatever_is_asked(scope):
    module = nn.Sequential(nn.Linear(64, 3), nn.ReLU(), nn.Linear(3, 20), nn.ReLU(), nn.Linear(20, 10))
    Channels(module, Batch((torch.randn(2, 64),), None)).remove(0.99, "l2", scope)
    assert module[0].out_features == 1 and 1 <= module[2].out_features <= 2


class Gated(nn.Module):
    """The halves of a layer's answer are multiplied, as in feed-forward layers with gates."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.both, self.out = nn.Linear(64, 64), nn.Linear(32, 10)

    def forward(self, x):
        value, gate = self.both(x).chunk(2, 1)
        return self.out(value * gate.sigmoid())


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_halves_of_a_layer_lose_the_share_that_is_asked_for_in_every_step(scope):
    module = Gated()
    channels = Channels(module, Batch((torch.randn(2, 64),), None))
    for share in (0.25, 0.5):
        channels.remove(share, "l2", scope)
        left = round(32 * (1 - share))
        assert shapes(module) == {"both.weight": (2 * left, 64), "out.weight": (10, left)}


def test_what_is_left_of_halves_computes_what_it_did():
    module, rows = Gated(), torch.randn(5, 64)
    with torch.no_grad():
        module.both.weight.view(2, 32, 64)[:, ::2] *= 1e-6
        module.both.bias.view(2, 32)[:, ::2] = 0
    before = module(rows)
    Channels(module, Batch((rows,), None)).remove(0.5, "l2", "layer")
    assert torch.allclose(module(rows), before, atol=1e-4)


def test_the_gradients_of_taylor_importance_are_of_the_models_own_loss(tmp_path, folder):
    loss = Counted()
    start = original(mlp(), digits(64), tmp_path, packaged=False, loss=loss)
    StructuredPruning(importance="taylor", epochs=1, batch_size=64).run(start, folder)
    assert loss.calls >= 3  # the gradients, the check before the training, its step


def test_a_latency_is_looked_at_again_after_the_steps_in_between(tmp_path, folder, monkeypatch):
    """Fine-tuning makes other channels the least important; the model that comes of it has to reach the target."""
    start = original(mlp(hidden=64), digits(64), tmp_path)
    seen = []

    def slower_at_the_end(servable, row):
        """One millisecond for each kB, and three more for what is pruned in earnest, after five trials."""
        seen.append(servable.manifest.size)
        return seen[-1] / 1000 + (3 if len(seen) > 7 else 0)

    monkeypatch.setattr("maas_jupyter.optimization.prune.target.p50", slower_at_the_end)
    goal = start.bundle.manifest.size / 1000 * 0.6
    made = StructuredPruning(latency=goal, steps=2, epochs=1).run(start, folder)
    assert made.manifest.size / 1000 + 3 <= goal
    assert len(seen) > 8


def test_taylor_importance_and_frozen_layers(tmp_path, folder):
    module = mlp()
    module[0].requires_grad_(False)
    start = original(module, digits(100), tmp_path, packaged=False)
    made = StructuredPruning(amount=0.25, importance="taylor", epochs=1).run(start, folder)
    assert made.manifest.size == pytest.approx(48 * 75 * 4, rel=0.2)
    assert module[0].weight.grad is None and not module[0].weight.requires_grad


def test_same_seed_same_weights_from_a_loader_with_batch_norm(tmp_path):
    X, y = images(64)
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=32)
    start = original(Residual().train(), loader, tmp_path, packaged=False)
    sums = []
    for number in range(2):
        place = tmp_path / str(number)
        place.mkdir()
        made = StructuredPruning(epochs=1, seed=3).run(start, place)
        sums.append(made.manifest.files[MODEL_FILE].sha256)
    assert sums[0] == sums[1]


def test_a_regression(tmp_path, folder):
    start = original(mlp(10, 1, 16), diabetes(), tmp_path, packaged=False)
    assert StructuredPruning(epochs=1).run(start, folder).manifest.task == "regression"


def test_a_size_is_reached(tmp_path, folder):
    start = original(mlp(hidden=256), digits(100), tmp_path)
    goal = start.bundle.manifest.size * 0.4
    made = StructuredPruning(size=goal, epochs=1).run(start, folder)
    assert 0.8 * goal < made.manifest.size <= goal
    assert sorted(path.name for path in folder.iterdir()) == ["maas.json", MODEL_FILE]


def test_a_sparsity_is_reached_in_steps_over_all_layers(tmp_path, folder):
    module = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    start = original(module, digits(100), tmp_path)
    made = StructuredPruning(sparsity=0.7, steps=2, scope="global", epochs=1).run(start, folder)
    overhead = start.bundle.manifest.size - 4 * sum(value.numel() for value in module.parameters())
    left = (made.manifest.size - overhead) / (start.bundle.manifest.size - overhead)
    assert 0.2 < left < 0.34


def test_a_latency_that_anything_reaches_or_nothing(tmp_path, folder):
    start = original(mlp(), digits(64), tmp_path)
    with pytest.raises(UsageError, match=r"has a latency of .* ms already"):
        StructuredPruning(latency=10_000).run(start, folder)
    with pytest.raises(UsageError, match=r"cannot be pruned to a latency of 1e-06 ms") as raised:
        StructuredPruning(latency=1e-6).run(start, folder)
    assert "the nearest is a latency of" in raised.value.message
    assert not list(folder.iterdir())


def test_a_size_that_cannot_be_reached_names_the_nearest(tmp_path, folder):
    start = original(mlp(), digits(64), tmp_path)
    with pytest.raises(UsageError, match="cannot be pruned to a size of 200 bytes") as raised:
        StructuredPruning(size=200).run(start, folder)
    assert "the nearest is a size of" in raised.value.message and "98% of the channels gone" in raised.value.message
    with pytest.raises(UsageError, match="already"):
        StructuredPruning(size=1e9).run(start, folder)


def test_recurrent_layers_are_not_supported_and_it_says_what_is(tmp_path, folder):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.out = nn.GRU(8, 16, batch_first=True), nn.Linear(16, 10)

        def forward(self, x):
            return self.out(self.cells(x)[0][:, -1])

    X, y = digits(64)
    start = original(Recurrent(), (X.reshape(-1, 8, 8), y), tmp_path, packaged=False)
    assert not StructuredPruning().applies_to(start)
    with pytest.raises(InvalidInput, match="channels of a GRU cannot be removed") as raised:
        StructuredPruning().run(start, folder)
    assert "magnitude-pruning" in raised.value.hint


def test_a_module_that_depends_on_its_widths_is_refused():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.out = nn.Linear(8, 12), nn.Linear(4, 3)

        def forward(self, x):
            return self.out(self.a(x).reshape(len(x), 3, 4).mean(1))

    with pytest.raises(InvalidInput, match="cannot be followed") as raised:
        Channels(Fixed(), Batch((torch.randn(2, 8),), None)).remove(0.4, "l2", "layer")
    assert "magnitude-pruning" in raised.value.hint


def test_nothing_to_remove(tmp_path, folder):
    start = original(nn.Linear(64, 10), digits(64), tmp_path, packaged=False)
    assert not StructuredPruning().applies_to(start)
    with pytest.raises(InvalidInput, match="no channels that could be removed"):
        StructuredPruning().run(start, folder)
    known = original(mlp(), digits(64), tmp_path, packaged=False)
    assert StructuredPruning().applies_to(known)
    assert not StructuredPruning().applies_to(known.followed_by(known.bundle))
    with pytest.raises(InvalidInput, match="only there as a bundle"):
        StructuredPruning().run(known.followed_by(known.bundle), folder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"amount": 0.0}, "--amount is 0.0"),
        ({"amount": 1.5}, "--amount is 1.5"),
        ({"sparsity": -0.1}, "--sparsity is -0.1"),
        ({"size": 0.0}, "--size is 0.0"),
        ({"latency": -1.0}, "--latency is -1.0"),
        ({"amount": 0.5, "size": 100.0}, "--amount and --size exclude each other"),
        ({"importance": "l3"}, "no importance called 'l3'"),
        ({"scope": "all"}, "no scope called 'all'"),
        ({"steps": 0}, "--steps is 0"),
        ({"epochs": -1}, "--epochs is -1"),
    ],
)
def test_bad_values(options, message):
    with pytest.raises(UsageError, match=message) as raised:
        StructuredPruning(**options)
    assert raised.value.hint


def test_without_torch_pruning_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="torch_pruning") as raised:
        StructuredPruning()
    assert raised.value.hint == "pip install 'maas-jupyter[prune]'"


def test_answers_are_numbers(tmp_path, folder):
    start = original(mlp(), digits(64), tmp_path, packaged=False)
    servable = Servable.load(StructuredPruning(amount=0.9, epochs=1).run(start, folder))
    assert np.isfinite(servable.run({"input": digits(2)[0]})["scores"]).all()
    servable.unload()
