"""BERT-shaped models on texts, through the verbs."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from small_models import encoder, language_model, sentiments, tokenizer, word_tokenizer

import maas_jupyter
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.pretrained import Logits, load_pretrained, load_tokenizer

FAST = {"epochs": 6, "lr": 3e-3, "batch_size": 16}


@pytest.fixture
def folder(tmp_path):
    """An encoder with its tokenizer, as from_pretrained reads it."""
    encoder(2).save_pretrained(tmp_path / "encoder")
    word_tokenizer().save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def test_a_model_object_classifies_texts_and_is_served_as_it_was_trained(home, tmp_path):
    model = encoder(2)
    run = maas_jupyter.train(model, data=sentiments(), val=0.2, tokenizer=word_tokenizer(), **FAST, name="sentiments")
    assert run.model.model is model
    assert run.metrics["val_accuracy"] > 0.9
    assert run.version.metrics["accuracy"] > 0.9
    evaluation = maas_jupyter.evaluate(run, data=sentiments())
    assert [report.label for report in evaluation.classes] == ["bad", "good"]
    assert evaluation.module_difference.max_difference < 1e-5


def test_a_folder_is_loaded_with_its_tokenizer_and_as_many_classes_as_there_are(home, folder, capfd):
    texts, kinds = sentiments()
    frame = pd.DataFrame(
        {"review": texts, "kind": [f"{kind}{len(text) % 2}" for text, kind in zip(texts, kinds, strict=True)]}
    )
    run = maas_jupyter.train(str(folder), data=frame, target="kind", val=0.2, **FAST)
    assert run.name == "encoder"
    assert run.model.model.config.num_labels == 4
    assert run.prepared.labels == ["bad0", "bad1", "good0", "good1"]
    shown = capfd.readouterr()
    assert "Loading weights" not in shown.err + shown.out
    assert "newly initialized" not in shown.err + shown.out


def test_the_same_seed_gives_the_same_head_and_weights(home, folder):
    def trained(seed):
        torch.rand(seed + 2)
        run = maas_jupyter.train(str(folder), data=sentiments(32), epochs=1, seed=seed)
        return [parameter.detach() for parameter in run.model.parameters()]

    one, same, other = trained(0), trained(0), trained(1)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, same, strict=True))
    assert not all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("path", [True, False])
def test_numbers_are_predicted_from_texts(home, folder, path):
    texts, kinds = sentiments()
    liking = [1.0 if kind == "good" else -1.0 for kind in kinds]
    if path:
        run = maas_jupyter.train(str(folder), data=(texts, liking), val=0.2, **FAST)
    else:
        # One output means a regression to transformers, of whole numbers too.
        given = (texts, [int(each) for each in liking])
        run = maas_jupyter.train(encoder(1), data=given, val=0.2, tokenizer=word_tokenizer(), **FAST)
    assert run.prepared.task == "regression"
    assert run.metrics["val_mae"] < 0.6


def test_what_is_saved_gives_the_same_logits_and_knows_its_labels(home, folder, tmp_path, capfd):
    run = maas_jupyter.train(str(folder), data=sentiments(), **FAST)
    saved = run.save(tmp_path / "saved")
    again, words = load_pretrained(saved), load_tokenizer(saved)
    assert again.config.id2label == {0: "bad", 1: "good"}
    batch = words(["the film was great", "dull plot"], return_tensors="pt", padding=True)
    inputs = (batch["input_ids"], batch["attention_mask"])
    with torch.no_grad():
        assert torch.allclose(Logits(again.eval())(*inputs), run.model.eval()(*inputs), atol=1e-6)
    shown = capfd.readouterr()
    assert "Writing model shards" not in shown.err + shown.out


def test_a_run_is_trained_on_with_its_tokenizer(home, folder):
    first = maas_jupyter.train(str(folder), data=sentiments(64), epochs=1)
    again = maas_jupyter.train(first, data=sentiments(64), epochs=2, lr=3e-3)
    assert again.history[-1]["loss"] < first.history[0]["loss"]
    assert again.model.model is first.model.model


def test_a_run_of_a_folder_goes_on(home, folder):
    whole = maas_jupyter.train(str(folder), data=sentiments(48), epochs=2)
    half = maas_jupyter.train(str(folder), data=sentiments(48), epochs=1)
    on = maas_jupyter.train(str(folder), data=sentiments(48), epochs=2, resume=half)
    for mine, theirs in zip(whole.model.parameters(), on.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("make", "given", "kind", "said", "hint"),
    [
        (lambda: encoder(2), {}, InvalidInput, "not known which tokenizer", "--tokenizer"),
        (lambda: encoder(2), {"tokenizer": tokenizer()}, InvalidInput, "has 800 tokens, the model 64", "resize"),
        (lambda: encoder(2), {"tokenizer": word_tokenizer(), "max_length": 99}, UsageError, "takes 32 tokens", "32"),
        (lambda: encoder(1), {"tokenizer": word_tokenizer()}, InvalidInput, "are texts such as", ""),
        (lambda: encoder(2), {"tokenizer": "nowhere/at/all"}, InvalidInput, "tokenizer of 'nowhere/at/all'", "--tok"),
        (lambda: encoder(2), {"tokenizer": word_tokenizer(), "lora": "r=4"}, UsageError, "causal language", "out"),
        (lambda: encoder(2), {"tokenizer": word_tokenizer(), "params": "hidden=3"}, UsageError, "already", "function"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(home, make, given, kind, said, hint):
    with pytest.raises(kind, match=said) as caught:
        maas_jupyter.train(make(), data=sentiments(32), epochs=1, **given)
    assert hint in caught.value.hint


def test_the_task_of_a_language_model_is_its_own(home, tmp_path):
    with pytest.raises(UsageError, match="no task called 'text-generation'"):
        encoder(2).save_pretrained(tmp_path)
        maas_jupyter.train(str(tmp_path), data=sentiments(8), task="text-generation")
    assert language_model() is not None


def test_the_progress_bars_of_transformers_are_back_afterwards(home, folder):
    from transformers.utils import logging

    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    load_pretrained(folder)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_positions_up_to_that_of_padding_hold_no_token(home):
    """RoBERTa's 18 positions are for 17 tokens where padding is the token 0."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    def roberta():
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config = RobertaConfig(vocab_size=64, max_position_embeddings=18, pad_token_id=0, num_labels=2, **sizes)
        return RobertaForSequenceClassification(config)

    texts, labels = sentiments(16)
    long = [f"{text} " * 8 for text in texts]
    run = maas_jupyter.train(roberta(), data=(long, labels), tokenizer=word_tokenizer(), epochs=1)
    assert run.prepared.preprocessing.max_length == 17
    with pytest.raises(UsageError, match="--max-length is 18, but the model takes 17 tokens"):
        maas_jupyter.train(roberta(), data=(long, labels), tokenizer=word_tokenizer(), epochs=1, max_length=18)


def test_a_saved_tokenizer_cuts_texts_where_the_model_ends(home, tmp_path):
    from transformers import AutoTokenizer, RobertaConfig, RobertaForSequenceClassification

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = RobertaConfig(vocab_size=64, max_position_embeddings=18, pad_token_id=0, num_labels=2, **sizes)
    model = RobertaForSequenceClassification(config)
    run = maas_jupyter.train(model, data=sentiments(16), tokenizer=word_tokenizer(), epochs=1)
    assert AutoTokenizer.from_pretrained(run.save(tmp_path)).model_max_length == 17
