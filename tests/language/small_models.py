"""A small causal language model and its tokenizer, made from a config and from Python's own manual."""

from __future__ import annotations

import random
import re
from functools import cache
from pydoc_data.topics import topics
from typing import Any

import torch

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@cache
def prose() -> str:
    return re.sub(r"\s+", " ", " ".join(topics[name] for name in sorted(topics)[:20]))


@cache
def tokenizer(vocabulary: int = 800) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.train_from_iterator(
        [prose()],
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<|end|>", "<|pad|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|end|>", pad_token="<|pad|>", chat_template=CHATML
    )


def language_model(seed: int = 0) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer()),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            pad_token_id=tokenizer().pad_token_id,
            eos_token_id=tokenizer().eos_token_id,
        )
    )


def encoder(outputs: int, seed: int = 0) -> Any:
    """A fresh BERT with a head, for the tokenizer of words that `sentiments` come in."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(seed)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=32,
            pad_token_id=0,
            num_labels=outputs,
        )
    )


def sentiments(rows: int = 160) -> tuple[list[str], list[str]]:
    """Sentences that differ in one word, and which kind they are of."""
    draw = random.Random(0)
    plain, kinds = ["the", "film", "was", "a", "plot", "with", "some"], {"good": "great lovely", "bad": "awful dull"}
    texts, labels = [], []
    for row in range(rows):
        label = ("good", "bad")[row % 2]
        chosen = [*draw.choices(plain, k=draw.randint(3, 7)), draw.choice(kinds[label].split())]
        draw.shuffle(chosen)
        texts.append(" ".join(chosen))
        labels.append(label)
    return texts, labels


@cache
def word_tokenizer() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        sentiments()[0], trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]"], show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=made, unk_token="[UNK]", pad_token="[PAD]")
