"""Texts as tokens: the same as the server's, and padded batch by batch."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from torch import nn

from maas_jupyter.data import as_source, decode_preprocessing, encode_preprocessing, prepare
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import TextInput
from maas_jupyter.serving.inputs.text import TextPreprocessor

WORDS = ["the", "cat", "sat", "dogs", "bark", "at", "moon", "every", "night", "rain", "falls", "on", "plain"]


def tokenizer(*, special=True, left=False):
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        [" ".join(WORDS)],
        trainers.WordLevelTrainer(special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False),
    )
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]:1",
            special_tokens=[(token, made.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
        )
    if left:
        made.enable_padding(direction="left", pad_id=made.token_to_id("[PAD]"), pad_type_id=3)
    return made


class Takes(nn.Module):
    def __init__(self, tokenizer=None):
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, attention_mask, input_ids, token_type_ids, labels=None):
        return input_ids


def texts(count, seed=0):
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, 14))) for _ in range(count)]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_are_what_the_server_makes_of_their_texts(left, shuffled):
    rows = texts(50)
    y = [str(row) for row in range(50)]
    prepared = prepare(as_source((rows, y)), Takes(tokenizer(left=left)), max_length=9)
    declared = TextInput(
        tensors={"attention_mask": "mask", "input_ids": "ids", "token_type_ids": "types"}, max_length=9
    )
    server = TextPreprocessor("text", declared, tokenizer(left=left).to_str())
    seen = []
    for batch in prepared.data.batches(8, generator=torch.Generator().manual_seed(1) if shuffled else None):
        chosen = [int(prepared.labels[index]) for index in batch.targets]
        expected = server(np.array([rows[row] for row in chosen], dtype=object))
        for tensor, array in zip(batch.inputs, expected.values(), strict=True):
            np.testing.assert_array_equal(tensor.numpy(), array)
        seen += chosen
    assert sorted(seen) == list(range(50))
    assert (seen == sorted(seen)) is not shuffled


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(min_size=0, max_size=60), min_size=1, max_size=9))
def test_any_texts_are_tokenized_as_the_server_does(rows):
    prepared = prepare(as_source(rows), Takes(tokenizer()), max_length=7)
    declared = TextInput(
        tensors={"attention_mask": "mask", "input_ids": "ids", "token_type_ids": "types"}, max_length=7
    )
    expected = TextPreprocessor("text", declared, tokenizer().to_str())(np.array(rows, dtype=object))
    for tensor, array in zip(prepared.preprocessing.tensors(prepared.source), expected.values(), strict=True):
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_texts_of_like_length_come_together_and_the_seed_decides():
    prepared = prepare(as_source(texts(400)), tokenizer=tokenizer())

    def walk(seed):
        return [batch.inputs[1] for batch in prepared.data.batches(16, generator=torch.Generator().manual_seed(seed))]

    first = walk(0)
    assert [mask.tolist() for mask in walk(0)] == [mask.tolist() for mask in first]
    assert [mask.tolist() for mask in walk(1)] != [mask.tolist() for mask in first]
    padding = sum(int((mask == 0).sum()) for mask in first) / sum(mask.numel() for mask in first)
    in_order = [batch.inputs[1] for batch in prepared.data.batches(16)]
    assert padding < 0.05 < sum(int((mask == 0).sum()) for mask in in_order) / sum(mask.numel() for mask in in_order)
    widths = [mask.shape[1] for mask in first]
    assert widths != sorted(widths)  # the order of the batches is random too


def test_other_rows_are_tokenized_alike_and_encoded_alike():
    frame = pd.DataFrame({"review": texts(20), "stars": ["good", "bad"] * 10})
    prepared = prepare(as_source(frame, target="stars"), tokenizer=tokenizer())
    like = prepared.like(as_source((["the cat"], ["good"])))
    assert like.data.targets.tolist() == [1]
    assert like.data.head(1).inputs[0].shape == (1, 4)
    assert decode_preprocessing(encode_preprocessing(prepared.preprocessing)) == prepared.preprocessing
    with pytest.raises(InvalidInput, match="not texts"):
        prepared.like(as_source(np.zeros((3, 2))))


def test_the_length_is_the_tokenizers_the_models_or_512(tmp_path):
    source = as_source(texts(4))

    class Configured(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(1, 1)
            self.inner.config = type("Config", (), {"max_position_embeddings": 64})()

        def forward(self, input_ids):
            return input_ids

    short = tokenizer()
    short.enable_truncation(32)
    path = tmp_path / "tokenizer.json"
    short.save(str(path))
    assert prepare(source, tokenizer=tokenizer()).preprocessing.max_length == 512
    assert prepare(source, Configured(), tokenizer=tokenizer()).preprocessing.max_length == 64
    for one in (path, str(path), tmp_path):
        assert prepare(source, Configured(), tokenizer=one).preprocessing.max_length == 32
    assert prepare(source, tokenizer=path, max_length=5).preprocessing.max_length == 5


def test_a_tokenizer_of_transformers():
    transformers = pytest.importorskip("transformers")
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer(), pad_token="[PAD]", unk_token="[UNK]", model_max_length=20
    )
    preprocessing = prepare(as_source(texts(4)), tokenizer=fast).preprocessing
    assert preprocessing.max_length == 20
    assert preprocessing.arguments == {"input_ids": "ids", "attention_mask": "mask"}


def test_what_is_no_tokenizer_is_refused(tmp_path):
    source = as_source(texts(4), name="reviews")
    with pytest.raises(InvalidInput, match="'reviews' holds texts, and there is no tokenizer") as caught:
        prepare(source, nn.Embedding(3, 2))
    assert "--tokenizer" in caught.value.hint
    with pytest.raises(InvalidInput, match="not a tokenizer that the server can run"):
        prepare(source, tokenizer=str.split)
    with pytest.raises(InvalidInput, match="no file"):
        prepare(source, tokenizer=tmp_path / "none.json")


def test_a_text_without_tokens_names_its_row():
    rows = [*texts(1030), " "]
    with pytest.raises(InvalidInput, match="row 1030 of 'data' cannot be tokenized: ' '"):
        prepare(as_source(rows), tokenizer=tokenizer(special=False))
