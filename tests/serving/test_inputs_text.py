"""Raw text in the server: tokens, padding, truncation, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from maas_jupyter.errors import BundleError, InvalidInput
from maas_jupyter.schema import TextInput
from maas_jupyter.serving.inputs.text import MAX_CHARACTERS_PER_TOKEN, TextPreprocessor

WORDS = "the quick brown fox jumps over a lazy dog"


def objects(*values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def tokenizer(special=True):
    made = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.train_from_iterator(
        [WORDS], trainers.WordLevelTrainer(special_tokens=["[UNK]", "[PAD]", "[CLS]", "[SEP]"], show_progress=False)
    )
    if special:
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    return made


def preprocessor(made=None, max_length=8):
    tensors = {"i": "ids", "m": "mask", "t": "types"}
    return TextPreprocessor("text", TextInput(tensors=tensors, max_length=max_length), (made or tokenizer()).to_str())


def test_padded_to_the_longest_of_the_batch():
    made = preprocessor()(objects("the dog", "the quick brown fox"))
    known = tokenizer()
    assert made["i"].tolist() == [
        [*known.encode("the dog").ids, 1, 1],
        known.encode("the quick brown fox").ids,
    ]
    assert made["m"].tolist() == [[1, 1, 1, 1, 0, 0], [1] * 6]
    assert made["t"].tolist() == [[0] * 6] * 2
    assert {array.dtype.name for array in made.values()} == {"int64"}


def test_truncated_with_its_special_tokens():
    assert preprocessor(max_length=4)(objects(WORDS))["i"].tolist() == [
        [2, *tokenizer(special=False).encode("the quick").ids, 3]
    ]


def test_bytes_are_utf_8():
    made = preprocessor()
    assert made(objects("the größer dog".encode()))["i"].tolist() == made(objects("the größer dog"))["i"].tolist()


@pytest.mark.parametrize("value", [b"\xff\xfe", b"the \xc3", "\ud800"])
def test_what_is_not_utf_8_is_refused_by_its_row(value):
    with pytest.raises(InvalidInput, match="Row 1 of input 'text' is not UTF-8"):
        preprocessor()(objects("the", value))


def test_a_text_without_tokens_is_refused_by_its_row():
    with pytest.raises(InvalidInput, match="Row 1 of input 'text' is a text without any token"):
        preprocessor(tokenizer(special=False))(objects("the", " "))
    assert preprocessor()(objects(""))["i"].tolist() == [[2, 3]]


def test_the_sides_that_the_tokenizer_says():
    made = tokenizer()
    made.enable_padding(direction="left", pad_id=1, pad_token="[PAD]", length=50)
    made.enable_truncation(100, direction="left")
    chosen = preprocessor(made, max_length=4)
    assert chosen(objects("dog", "the"))["i"].shape == (2, 3)
    assert chosen(objects("dog", "a lazy"))["m"].tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    last = tokenizer(special=False).encode("lazy dog").ids
    assert chosen(objects(WORDS))["i"].tolist() == [[2, *last, 3]]
    long = "the " * (4 * MAX_CHARACTERS_PER_TOKEN) + "lazy dog"
    assert chosen(objects(long))["i"].tolist() == [[2, *last, 3]]


def test_a_text_without_end_costs_no_more_than_its_tokens():
    made = preprocessor()
    long = "the quick " * 1_000_000
    assert made(objects(long))["i"].tolist() == made(objects(long[:100]))["i"].tolist()


@pytest.mark.parametrize(("definition", "max_length"), [("{}", 8), ("", 8), (tokenizer().to_str(), 0)])
def test_tokenizers_that_cannot_be_used(definition, max_length):
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        TextPreprocessor("text", TextInput(tensors={"i": "ids"}, max_length=max_length), definition)


MADE = preprocessor()


@given(st.lists(st.one_of(st.text(), st.binary(), st.text(st.sampled_from("the dog\x00 "))), min_size=1))
@example(["\udfff"])
@example(["\x00"])
def test_any_values_give_arrays_or_are_refused(values):
    try:
        made = MADE(objects(*values))
    except InvalidInput as error:
        assert "Row" in error.message
    else:
        assert {array.shape for array in made.values()} == {(len(values), made["i"].shape[1])}
        assert made["i"].shape[1] <= 8


@given(st.lists(st.text(st.sampled_from([*"abcdehtuogz "]), max_size=60), min_size=1, max_size=6))
def test_a_row_is_the_same_in_any_batch(texts):
    whole = MADE(objects(*texts))
    for row, text in enumerate(texts):
        alone = MADE(objects(text))
        size = alone["i"].shape[1]
        for name, array in alone.items():
            assert array[0].tolist() == whole[name][row][:size].tolist()
            assert name == "i" or not whole[name][row][size:].any()
