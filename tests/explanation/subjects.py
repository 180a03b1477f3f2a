"""Subjects and their explanations, without a registry."""

from __future__ import annotations

import json

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from maas_jupyter.explanation import (
    BundleSubject,
    ModuleSubject,
    explain_rows,
    intake_of,
    intake_of_bundle,
    read_rows,
    split_rows,
    tensors_of,
)


def explain_module(module, rows, *, preprocessing=None, labels=None, baseline=None, **options):
    """Explain a module that was trained with some preprocessing."""
    intake = intake_of(preprocessing)
    raw, columns = read_rows(rows, intake, module)
    subject = ModuleSubject(
        module, "module", tensors_of(preprocessing), raw, preprocessing=preprocessing, labels=labels
    )
    return explain_rows(subject, split_rows(raw, columns, intake, baseline), **options)


def explain_bundle(bundle, rows, *, baseline=None, **options):
    """Explain a bundle as it is served."""
    intake = intake_of_bundle(bundle)
    raw, columns = read_rows(rows, intake)
    with BundleSubject(bundle, "bundle") as subject:
        return explain_rows(subject, split_rows(raw, columns, intake, baseline), **options)


def word_tokenizer(texts) -> Tokenizer:
    """A tokenizer of whole words with [PAD], [UNK], [CLS] and [MASK]."""
    words = sorted({word for text in texts for word in text.split()})
    special = ["[PAD]", "[UNK]", "[CLS]", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    assert json.loads(tokenizer.to_str())["added_tokens"]
    return tokenizer


def shapley(value, features) -> np.ndarray:
    """Shapley values by their definition, for a function of a tuple of bools."""
    from itertools import permutations

    found = np.zeros(features)
    orders = list(permutations(range(features)))
    for order in orders:
        there = [False] * features
        before = value(tuple(there))
        for feature in order:
            there[feature] = True
            after = value(tuple(there))
            found[feature] += after - before
            before = after
    return found / len(orders)
