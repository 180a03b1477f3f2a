"""Sentences of two kinds, a tokenizer of their words, and models that read them."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import nn


def sentences(rows: int = 160) -> tuple[list[str], list[str]]:
    draw = random.Random(0)
    kinds = {"good": ["great", "lovely"], "bad": ["awful", "dull"]}
    labels = [("good", "bad")[row % 2] for row in range(rows)]
    return [f"the film was {draw.choice(['very', 'so'])} {draw.choice(kinds[label])}" for label in labels], labels


def word_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]"]
    made.train_from_iterator(sentences()[0], trainers.WordLevelTrainer(special_tokens=special, show_progress=False))
    return made


class BagOfWords(nn.Module):
    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(32, width, padding_idx=0)
        self.head = nn.Linear(width, classes)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(input_ids).mean(1))


def encoder(layers: int = 1) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": layers, "num_attention_heads": 2}
    return BertForSequenceClassification(
        BertConfig(vocab_size=32, max_position_embeddings=16, pad_token_id=0, num_labels=2, **sizes)
    )
