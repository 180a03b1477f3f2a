import json

import pytest
import torch
from small_models import prose, tokenizer

from maas_jupyter.errors import InvalidInput
from maas_jupyter.language import language_rows
from maas_jupyter.language.chat import IGNORED, chat_tokens

TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "What is a list?"},
    {"role": "assistant", "content": "A sequence."},
    {"role": "user", "content": "And a tuple?"},
    {"role": "assistant", "content": "A sequence that does not change."},
]


def learned(labels):
    return tokenizer().decode([label for label in labels if label != IGNORED])


def test_only_the_answers_of_a_conversation_are_learned():
    ids, labels = chat_tokens(tokenizer(), TALK, where="row 0")
    assert tokenizer().decode(ids) == tokenizer().apply_chat_template(TALK, tokenize=False)
    assert learned(labels) == "A sequence.<|im_end|>\nA sequence that does not change.<|im_end|>\n"
    assert all(label in (IGNORED, token) for token, label in zip(ids, labels, strict=True))


def test_a_prompt_and_its_completion_are_rendered_in_the_template():
    data = language_rows([{"prompt": "2 + 2?", "completion": "4"}], tokenizer(), max_length=64)
    labels = data.head(1).targets[0].tolist()
    assert learned(labels) == "4<|im_end|>\n"


def test_without_a_template_the_completion_follows_the_prompt():
    from copy import deepcopy

    plain = deepcopy(tokenizer())
    plain.chat_template = None
    batch = language_rows([{"prompt": "2 + 2 =", "completion": " 4"}], plain, max_length=64).head(1)
    assert plain.decode(batch.inputs[0][0]) == "2 + 2 = 4<|end|>"
    assert learned(batch.targets[0].tolist()) == " 4<|end|>"
    with pytest.raises(InvalidInput, match="no chat template"):
        language_rows([{"messages": TALK}], plain, max_length=64)


def test_long_texts_become_several_rows_and_lose_nothing():
    data = language_rows([prose()[:2000]], tokenizer(), max_length=50)
    ids = [
        token
        for batch in data.batches(4)
        for row, mask in zip(*batch.inputs, strict=True)
        for token in row[mask.bool()]
    ]
    assert tokenizer().decode(ids) == prose()[:2000] + "<|end|>"


def test_batches_are_padded_by_length_and_hold_every_row_once():
    texts = [prose()[start : start + 20 + start % 200] for start in range(0, 5000, 53)]
    data = language_rows(texts, tokenizer(), max_length=256)
    batches = list(data.batches(8, generator=torch.Generator().manual_seed(1)))
    assert sum(len(batch) for batch in batches) == data.rows == len(texts)
    for batch in batches:
        ids, mask = batch.inputs
        assert ids.shape == mask.shape == batch.targets.shape
        assert (batch.targets[mask == 0] == IGNORED).all()
        assert mask.sum(1).max() == ids.shape[1]
    padding = sum(float((batch.inputs[1] == 0).sum()) for batch in batches) / sum(
        batch.inputs[1].numel() for batch in batches
    )
    assert padding < 0.15
    again = list(data.batches(8, generator=torch.Generator().manual_seed(1)))
    assert all(torch.equal(one.inputs[0], other.inputs[0]) for one, other in zip(batches, again, strict=True))


def test_rows_whose_answer_is_cut_off_are_counted():
    rows = [{"prompt": "2 + 2?", "completion": "4"}, {"prompt": "so " * 80, "completion": "4"}]
    assert language_rows(rows, tokenizer(), max_length=64).unlearned_rows == 1


def test_rows_come_from_frames_and_files(tmp_path):
    import pandas

    rows = [{"prompt": "a?", "completion": "b"}, {"prompt": "c?", "completion": "d"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    frame = pandas.DataFrame({"body": ["one text here", "another text here"]})
    assert language_rows(path, tokenizer(), max_length=64).rows == 2
    assert language_rows(str(path), tokenizer(), max_length=64).rows == 2
    assert language_rows(frame, tokenizer(), max_length=64, text="body").rows == 2


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([], "no rows"),
        ([{"messages": []}], "not a list of messages"),
        ([{"messages": [{"content": "x"}]}], "no role"),
        ([{"messages": [{"role": "user", "content": None}]}], "no text"),
        ([{"messages": [{"role": "user", "content": "x"}]}], "no answer"),
        ([{"question": "x"}], "has the columns question"),
        ([{"text": None}], "is not a text"),
        ([3], "is a int"),
        ("missing.jsonl", "There is no file"),
        (7, "holds no rows of text"),
        ([{"prompt": "long " * 100, "completion": "x"}], "No answer"),
    ],
)
def test_what_is_not_rows_of_text_is_refused_in_words(value, words):
    with pytest.raises(InvalidInput, match=words):
        language_rows(value, tokenizer(), max_length=64)


def test_a_missing_column_is_named_with_the_nearest(tmp_path):
    with pytest.raises(InvalidInput, match="no column 'bodi'") as caught:
        language_rows([{"body": "x"}], tokenizer(), max_length=8, text="bodi")
    assert "body" in caught.value.hint


def test_a_template_that_fails_says_why():
    from copy import deepcopy

    strict = deepcopy(tokenizer())
    strict.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(InvalidInput, match="roles must alternate"):
        language_rows([{"messages": TALK}], strict, max_length=64)


def test_a_text_begins_as_the_tokenizer_begins_it():
    from copy import deepcopy

    from tokenizers import processors

    begun = deepcopy(tokenizer())
    begun.chat_template = None
    begun.bos_token = "<|im_start|>"
    first = begun.bos_token_id
    begun.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", first)]
    )
    batch = language_rows(["a text"], begun, max_length=64).head(1)
    assert begun.decode(batch.inputs[0][0]) == "<|im_start|>a text<|end|>"
    batch = language_rows([{"prompt": "2 + 2 =", "completion": " 4"}], begun, max_length=64).head(1)
    assert begun.decode(batch.inputs[0][0]) == "<|im_start|>2 + 2 = 4<|end|>"
    assert learned(batch.targets[0].tolist()) == " 4<|end|>"


@pytest.mark.parametrize("opens", [True, False])
def test_a_role_in_front_of_an_answer_is_not_learned(opens):
    """Neither of a conversation that the assistant begins, nor of a template that opens no answer."""
    from copy import deepcopy

    plain = deepcopy(tokenizer())
    plain.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}<|end|>{% endfor %}"
    if opens:
        plain.chat_template += "{% if add_generation_prompt %}assistant: {% endif %}"
    talk = [
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes."},
    ]
    _, labels = chat_tokens(plain, talk, where="row 0")
    # What the answer begins with is a token with the space before it where the tokenizer makes one of both.
    assert learned(labels).replace(" ", "") == "Hello.<|end|>Yes.<|end|>"
