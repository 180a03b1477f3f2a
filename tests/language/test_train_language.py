"""Causal language models, whole and with adapters, through the verbs."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from small_models import language_model, prose, tokenizer

import maas_jupyter
from maas_jupyter.errors import InvalidInput, UsageError
from maas_jupyter.pretrained import CausalLogits, load_pretrained, load_tokenizer

ANSWERS = {"red": "blood", "blue": "sky", "green": "grass", "white": "snow"}
CHATS = [
    {"messages": [{"role": "user", "content": colour}, {"role": "assistant", "content": thing}]}
    for colour, thing in ANSWERS.items()
] * 8
PAIRS = [{"prompt": colour, "completion": thing} for colour, thing in ANSWERS.items()] * 8


def texts(count=40):
    return [prose()[start : start + 160] for start in range(0, count * 160, 160)]


FORMS = {"texts": texts(), "messages": CHATS, "prompt and completion": PAIRS}


@pytest.fixture(scope="module")
def schooled(shared_home):
    """A language model that has read a little, as those are that adapters are put on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return maas_jupyter.train(
            language_model(), data=texts(), tokenizer=tokenizer(), epochs=4, lr=1e-2, batch_size=8
        ).model.model


@pytest.mark.parametrize("lora", [None, "r=16,alpha=32"], ids=["whole", "lora"])
@pytest.mark.parametrize("form", list(FORMS))
def test_a_language_model_learns_every_form_whole_and_with_adapters(home, schooled, form, lora):
    run = maas_jupyter.train(
        copy.deepcopy(schooled),
        data=FORMS[form] if form != "texts" else [text[::-1][:60] for text in texts(32)],
        tokenizer=tokenizer(),
        epochs=5,
        lr=5e-3,
        batch_size=4,
        lora=lora,
        max_length=96,
    )
    assert run.status == "finished"
    assert run.history[-1]["loss"] < (0.96 if form == "texts" else 0.8) * run.history[0]["loss"]
    assert {"loss", "token_accuracy"} <= set(run.metrics)
    trained = [name for name, parameter in run.model.named_parameters() if parameter.requires_grad]
    assert all("lora_" in name for name in trained) == bool(lora)
    assert any("tokens learned" in note for note in run.state.notes)
    assert any("LoRA" in note for note in run.state.notes) == bool(lora)


def test_the_loss_is_of_the_answers_alone(home):
    data = maas_jupyter.train(language_model(), data=CHATS[:4], tokenizer=tokenizer(), epochs=1, lr=1e-9).language(
        CHATS[:4]
    )
    batch = data.head(4)
    learned = [tokenizer().decode(row[row != -100]) for row in batch.targets]
    assert sorted(text.replace("<|im_end|>", "").strip() for text in learned) == sorted(ANSWERS.values())
    # By hand: the mean negative log probability of those tokens, each row by itself.
    model = language_model().eval()
    by_hand, count = 0.0, 0
    for ids, labels, mask in zip(batch.inputs[0], batch.targets, batch.inputs[1], strict=True):
        ids, labels = ids[mask.bool()], labels[mask.bool()]
        scores = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1)
        places = (labels[1:] != -100).nonzero()[:, 0]
        by_hand -= scores[places, labels[1:][places]].sum().item()
        count += len(places)
    from maas_jupyter.training.losses import next_token_loss

    with torch.no_grad():
        loss = next_token_loss(CausalLogits(model)(*batch.inputs), batch.targets)
    assert loss.item() == pytest.approx(by_hand / count, rel=1e-5)


@pytest.mark.parametrize("lora", [None, "r=4,dropout=0.2"], ids=["whole", "lora"])
def test_the_same_seed_gives_the_same_weights_and_a_run_goes_on_to_them(home, lora):
    given = {"data": texts(12), "tokenizer": tokenizer(), "batch_size": 4, "lora": lora, "val": 0.25}

    def weights(run):
        return {name: value.detach() for name, value in run.model.state_dict().items()}

    def same(one, other):
        return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)

    whole = weights(maas_jupyter.train(language_model(), epochs=2, **given))
    torch.rand(5)
    assert same(whole, weights(maas_jupyter.train(language_model(), epochs=2, **given)))
    assert not same(whole, weights(maas_jupyter.train(language_model(), epochs=2, seed=1, **given)))
    half = maas_jupyter.train(language_model(), epochs=1, **given)
    assert same(whole, weights(maas_jupyter.train(language_model(), epochs=2, resume=half, **given)))


@pytest.mark.parametrize("lora", [None, "r=4"], ids=["whole", "lora"])
def test_what_is_saved_gives_the_same_logits(home, tmp_path, lora, capfd):
    run = maas_jupyter.train(language_model(), data=texts(12), tokenizer=tokenizer(), epochs=2, lr=1e-2, lora=lora)
    saved = run.save(tmp_path / "saved")
    again, words = load_pretrained(saved), load_tokenizer(saved)
    ids = words("The statement is", return_tensors="pt")["input_ids"]
    mask = torch.ones_like(ids)
    with torch.no_grad():
        assert torch.allclose(CausalLogits(again.eval())(ids, mask), run.model.eval()(ids, mask), atol=1e-5)
    assert not any("lora" in name for name, _ in again.named_parameters())
    assert words.apply_chat_template(CHATS[0]["messages"], tokenize=False)
    # The run keeps its adapters, and can be saved again.
    assert any("lora" in name for name, _ in run.model.named_parameters()) == bool(lora)
    shown = capfd.readouterr()
    for bar in ("Writing model shards", "Loading weights"):
        assert bar not in shown.err + shown.out


def test_a_folder_says_that_it_is_a_language_model(home, tmp_path):
    language_model().save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts(8)))
    run = maas_jupyter.train(tmp_path, data=str(tmp_path / "rows.jsonl"), val=texts(2), epochs=1, lora="on")
    assert run.name == tmp_path.name
    assert "val_loss" in run.metrics
    evaluation = maas_jupyter.evaluate(run, data=texts(4))
    assert evaluation.metrics["perplexity"] == pytest.approx(
        np.exp(evaluation.metrics.get("log_loss", np.log(evaluation.metrics["perplexity"])))
    )
    assert 1 < evaluation.metrics["perplexity"] < 2000


def test_a_cell_that_is_run_again_puts_new_adapters_on(home):
    model = language_model()
    given = {"data": texts(8), "tokenizer": tokenizer(), "epochs": 1, "lora": "r=4"}
    first = maas_jupyter.train(model, **given)
    again = maas_jupyter.train(model, **given)
    assert [name for name, _ in again.model.named_parameters()] == [name for name, _ in first.model.named_parameters()]
    for (name, mine), theirs in zip(again.model.named_parameters(), first.model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name


def test_a_model_with_adapters_of_another_run_is_not_taken_for_a_plain_one(home):
    model = language_model()
    run = maas_jupyter.train(model, data=texts(4), tokenizer=tokenizer(), epochs=1, lora="r=2")
    with pytest.raises(UsageError, match="adapters of another training") as caught:
        maas_jupyter.train(model, data=texts(4), tokenizer=tokenizer(), epochs=1)
    assert "--lora" in caught.value.hint
    assert maas_jupyter.train(run, data=texts(4), epochs=1).status == "finished"


def test_a_loss_is_refused(home):
    with pytest.raises(UsageError, match="next tokens"):
        maas_jupyter.train(language_model(), data=texts(4), tokenizer=tokenizer(), loss="mse")


def test_a_run_with_adapters_is_trained_on_and_goes_on(home):
    first = maas_jupyter.train(language_model(), data=texts(8), tokenizer=tokenizer(), epochs=1, lora="r=4", lr=1e-2)
    again = maas_jupyter.train(first, data=texts(8), epochs=2, lr=1e-2)
    assert again.history[-1]["loss"] < first.history[0]["loss"]
    on = maas_jupyter.train(again, data=texts(8), epochs=3, resume=again)
    assert len(on.history) == 3


def test_a_language_model_is_not_registered_and_not_touched(home):
    model = language_model()
    with pytest.raises(UsageError, match="cannot be registered") as caught:
        maas_jupyter.train(model, data=texts(4), tokenizer=tokenizer(), lora="r=4", name="words")
    assert "run.save" in caught.value.hint
    assert not any("lora" in name for name, _ in model.named_parameters())
    run = maas_jupyter.train(model, data=texts(4), tokenizer=tokenizer(), epochs=1)
    with pytest.raises(UsageError, match="cannot be registered"):
        maas_jupyter.register(run, name="words", data=texts(4))


@pytest.mark.parametrize(
    ("given", "kind", "said", "hint"),
    [
        ({"tokenizer": None}, InvalidInput, "not known which tokenizer", "--tokenizer"),
        ({"tokenizer": tokenizer(900)}, InvalidInput, "has 900 tokens, the model 800", "resize_token_embeddings"),
        ({"max_length": 300}, UsageError, "takes 256 tokens", "At most 256"),
        ({"lora": "rank=4"}, UsageError, "'rank=4' is no option of LoRA", "r=8"),
        ({"val": 1.5}, UsageError, "--val is 1.5", "0.2"),
        ({"target": "text"}, UsageError, "--target is not for a language model", "out"),
        ({"labels": ["a"]}, UsageError, "--labels is not for a language model", "out"),
        ({"params": "hidden=3"}, UsageError, "already", "function"),
        ({"data": []}, InvalidInput, "no rows", "split"),
        ({"data": [{"question": "x"}]}, InvalidInput, "has the columns question", "completion"),
        ({"data": (np.zeros((3, 4), "float32"), np.zeros(3))}, InvalidInput, "is a", "messages"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(home, given, kind, said, hint):
    model = language_model()
    with pytest.raises(kind, match=said) as caught:
        maas_jupyter.train(model, **{"data": texts(4), "tokenizer": tokenizer(), "epochs": 1, "lora": "r=2", **given})
    assert hint in caught.value.hint
    assert not any("lora" in name for name, _ in model.named_parameters())


def test_what_is_not_done_with_a_language_model_is_refused(home):
    run = maas_jupyter.train(
        language_model(), data=[prose()[:400]], tokenizer=tokenizer(), max_length=32, steps=1, batch_size=4
    )
    held = [prose()[400:700]]
    for given in ({"no_worse_than": "digits"}, {"slice": ("length",)}, {"target": "y"}):
        with pytest.raises(UsageError, match="is not for a language model"):
            maas_jupyter.evaluate(run, data=held, **given)
    with pytest.raises(UsageError, match="is a language model, and those are not compared"):
        maas_jupyter.compare(run, run, data=held)
    named = maas_jupyter.evaluate(run, data=[{"body": held[0]}], text="body")
    assert named.metrics == maas_jupyter.evaluate(run, data=held).metrics


def test_verbs_that_a_language_model_is_not_for_say_so(home):
    run = maas_jupyter.train(
        language_model(), data=[prose()[:400]], tokenizer=tokenizer(), max_length=32, steps=1, batch_size=4
    )
    with pytest.raises(UsageError, match="is a language model, and those are not explained") as explained:
        maas_jupyter.explain(run, ["a text"])
    assert "evaluate" in explained.value.hint
    with pytest.raises(UsageError, match="is a language model, and those cannot be registered") as refused:
        maas_jupyter.quantize(run, data=["a text"])
    assert "run.save(FOLDER)" in refused.value.hint
