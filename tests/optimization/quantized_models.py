"""What the tests of quantization work on: a trained CNN of digits and a small encoder of texts, as bundles."""

from __future__ import annotations

import re
from pydoc_data.topics import topics

import numpy as np
import torch
from models import cnn, digits
from torch import nn

from maas_jupyter.data import as_source
from maas_jupyter.optimization import Original
from maas_jupyter.packaging import Logits, package, package_text

CLASSES = ["red", "green", "blue"]


def images(rows=600):
    X, y = digits(rows)
    return X.reshape(-1, 1, 8, 8), y


def texts(rows=64):
    words = re.findall(r"[a-z]+", " ".join(topics[name] for name in sorted(topics)[:20]).lower())
    return [" ".join(words[row * 7 : row * 7 + 5 + row % 9]) for row in range(rows)], np.arange(rows) % 3


def original(bundle, rows, calibration=None):
    source = as_source(rows)
    used = source if calibration is None else as_source(calibration)
    return Original("model/1", bundle, source, used, None, 1, lambda step: None)


def image_bundle(folder, labels=None):
    """Trained for some steps: enough for answers that are sure of themselves."""
    X, y = images()
    module, inputs, targets = cnn(), torch.from_numpy(X), torch.from_numpy(y)
    optimizer = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(inputs), targets).backward()
        optimizer.step()
    return package(module.eval(), (inputs[:16],), folder, task="classification", labels=labels).bundle


def text_bundle(folder):
    """A BERT of two layers with a large vocabulary, and answers that differ."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    rows = texts()[0]
    tokenizer.train_from_iterator(
        rows, trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=4000,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=32,
        num_labels=3,
        initializer_range=0.2,
    )
    model = Logits(BertForSequenceClassification(config)).eval()
    made = package_text(model, rows[:8], tokenizer, folder, max_length=32, task="classification", labels=CLASSES)
    return made.bundle


def wide_bundle(folder):
    """A perceptron with more than a million numbers in its linear layers."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(64, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    return package(module, (torch.from_numpy(digits(16)[0]),), folder, task="classification").bundle
