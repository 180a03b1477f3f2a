"""Trained models and their rows for the tests of methods that train."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from maas_jupyter.data import as_source, prepare
from maas_jupyter.optimization.original import Original, Trained
from maas_jupyter.packaging import package_prepared

WORDS = ["good", "fine", "nice", "bad", "poor", "ugly", "the", "a", "film", "book"]


@dataclass
class Watcher:
    """Remembers what the trainings were called and how they ended."""

    titles: list = field(default_factory=list)
    states: list = field(default_factory=list)
    on_epoch: object = None

    def __call__(self, title):
        self.titles.append(title)
        return self

    def update(self, state, *, final=False):
        if final:
            self.states.append(state.status)

    def epoch(self, metrics):
        if self.on_epoch is not None:
            self.on_epoch()


def original(module, data, folder, *, watch=None, packaged=True, loss=None, **how):
    """The original that a verb would make of a trained module; without a bundle of its own where none is needed."""
    rows = as_source(data)
    prepared = prepare(rows, module, **how)
    trained = Trained(module, prepared, None, watch or Watcher(), loss)
    bundle = package_prepared(module, prepared, folder / "original").bundle if packaged else _NoBundle()
    return Original("model/1", bundle, rows, rows, trained, 1, lambda text: None)


class Counted:
    """A loss of the user's that counts how often it was asked."""

    def __init__(self, weight=None):
        self.calls, self.loss = 0, nn.CrossEntropyLoss(weight=weight)

    def __call__(self, output, targets):
        self.calls += 1
        return self.loss(output, targets)


class _NoBundle:
    digest = "0" * 64


def texts(rows=48):
    generator = torch.Generator().manual_seed(0)
    made, labels = [], []
    for row in range(rows):
        first = 0 if row % 2 else 3
        words = [WORDS[first + int(torch.randint(3, (1,), generator=generator))], *WORDS[6:]]
        made.append(" ".join(words[: 3 + row % 3]))
        labels.append(row % 2)
    return made, labels


def word_tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def bert(layers=4, hidden=16, heads=4, outputs=2):
    from transformers import BertConfig, BertForSequenceClassification

    from maas_jupyter.pretrained import Logits

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=16,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=32,
        max_position_embeddings=32,
        num_labels=outputs,
        pad_token_id=0,
    )
    return Logits(BertForSequenceClassification(config))


class Residual(nn.Module):
    """Convolutions with batch norm, a shortcut, and a depthwise one."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.a, self.b = nn.Conv2d(16, 24, 3, padding=1), nn.Conv2d(24, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.head = nn.Linear(16 * 16, 10)

    def forward(self, images):
        x = self.norm(self.stem(images)).relu()
        x = self.depthwise(x + self.b(self.a(x).relu())).relu()
        return self.head(nn.functional.max_pool2d(x, 2).flatten(1))
