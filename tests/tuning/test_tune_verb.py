"""Searches through the verb, on real data."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from models import digits, mlp, wine
from sklearn.datasets import load_breast_cancer
from torch import nn

import maas_jupyter
from maas_jupyter.errors import InvalidInput, NotFound, UsageError

FAST = {"epochs": 4, "batch_size": 16}


def perceptron(features, classes, hidden=32, dropout=0.0):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, classes))


def needy(features, classes, hidden):
    return perceptron(features, classes, hidden)


def cancer():
    frame = load_breast_cancer(as_frame=True).frame
    return frame.assign(size=np.where(frame["mean radius"] > 15, "large", "small"))


def test_options_and_arguments_are_searched_and_the_best_is_registered(home):
    found = maas_jupyter.tune(
        perceptron,
        data=cancer(),
        target="target",
        space=("lr=1e-4..1e-1:log", "hidden=8..64:8 batch=16,32"),
        trials=6,
        epochs=4,
        name="tuned-table",
    )
    assert (found.status, len(found.trials), found.metric) == ("finished", 6, "val_loss")
    assert set(found.params) == {"lr", "hidden", "batch"}
    assert found.version.name == "tuned-table"
    assert found.run.model[0].out_features == found.params["hidden"]
    assert found.version.metrics["accuracy"] > 0.9
    assert found.best.value == pytest.approx(min(entry["val_loss"] for entry in found.run.history))
    evaluation = maas_jupyter.evaluate("tuned-table", data=cancer(), target="target")
    assert evaluation.metrics["accuracy"] > 0.9
    assert all(type(share) is float for share in found.importances.values())


@pytest.mark.parametrize("sampler", ["grid", "random", "tpe"])
def test_every_sampler_searches(home, sampler):
    found = maas_jupyter.tune(
        perceptron, data=wine(), space=("hidden=4,16 lr=1e-3,1e-2",), sampler=sampler, trials=4, **FAST
    )
    assert len(found.trials) == 4
    if sampler == "grid":
        points = {(trial.params["hidden"], trial.params["lr"]) for trial in found.trials}
        assert len(points) == 4


def test_folds_give_a_mean_and_a_spread(home):
    found = maas_jupyter.tune(
        perceptron, data=cancer(), target="target", space=("lr=1e-3,1e-2",), sampler="grid", folds=3, **FAST
    )
    assert found.folds == 3
    assert all(trial.spread is not None and trial.spread > 0 for trial in found.trials)
    assert "±" in repr(found)


def test_bad_trials_are_given_up(home):
    found = maas_jupyter.tune(
        mlp(64, 10),
        data=digits(),
        space=("lr=1e-6,1e-5,1e-4,3e-3,1e-2",),
        sampler="grid",
        trials=5,
        epochs=6,
        seed=3,
    )
    assert found.best.params["lr"] >= 3e-3
    everything = maas_jupyter.tune(
        mlp(64, 10), data=digits(), space=("lr=1e-2,1e-6",), sampler="grid", epochs=2, no_pruning=True
    )
    assert [trial.status for trial in everything.trials] == ["complete", "complete"]


def test_a_time_budget_ends_the_search(home):
    found = maas_jupyter.tune(perceptron, data=wine(), space=("lr=1e-4..1e-1:log",), trials=5000, minutes=0.01, **FAST)
    assert found.status == "finished"
    assert 0 < len(found.trials) < 5000


def test_a_module_starts_every_trial_from_its_weights(home):
    net = mlp(13, 3)
    before = [parameter.clone() for parameter in net.parameters()]
    found = maas_jupyter.tune(net, data=wine(), space=("lr=0.01,0.01000001",), sampler="grid", **FAST)
    assert all(torch.equal(mine, old) for mine, old in zip(net.parameters(), before, strict=True))
    first, second = (trial.value for trial in found.trials)
    assert first == pytest.approx(second, rel=1e-3)


def test_an_argument_without_a_default_is_searched(home):
    found = maas_jupyter.tune(needy, data=wine(), space=("hidden=8..16",), trials=2, **FAST)
    assert {trial.status for trial in found.trials} == {"complete"}


def test_steps_are_searched_where_epochs_are_given(home):
    found = maas_jupyter.tune(
        perceptron, data=wine(), space=("steps=20,40",), sampler="grid", lr=1e-2, name="stepped", **FAST
    )
    assert {trial.status for trial in found.trials} == {"complete"}
    assert found.run.state.total_steps == found.params["steps"]


def test_the_same_seed_finds_the_same(home):
    def values(seed):
        torch.rand(3)
        found = maas_jupyter.tune(
            perceptron, data=wine(), space=("lr=1e-3..1e-1:log dropout=0..0.5",), trials=3, seed=seed, **FAST
        )
        return [(trial.params, trial.value) for trial in found.trials]

    assert values(1) == values(1)
    assert values(1) != values(2)


class Pressed:
    """Presses the stop button in the middle of a trial: once, at a call of its own."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, output, targets):
        self.calls += 1
        if self.calls == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return nn.functional.cross_entropy(output, targets)


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_the_stop_button_keeps_what_is_complete_and_the_search_goes_on(home, sampler):
    given = {
        "data": wine(),
        "space": ("hidden=4,8,12,16",),
        "sampler": sampler,
        "trials": 4,
        "study": f"pressed-{sampler}",
        "no_pruning": True,
        **FAST,
    }
    found = maas_jupyter.tune(perceptron, loss=Pressed(90), name="pressed", **given)
    assert found.status == "interrupted"
    assert found.run is None
    done = [trial.params for trial in found.trials if trial.status == "complete"]
    assert 1 <= len(done) < 4
    on = maas_jupyter.tune(perceptron, loss=Pressed(0), resume=True, **given)
    assert on.status == "finished"
    complete = [trial.params["hidden"] for trial in on.trials if trial.status == "complete"]
    assert len(complete) == 4
    if sampler == "grid":
        assert sorted(complete) == [4, 8, 12, 16]


def test_texts_are_searched_with_a_tokenizer(home):
    from small_words import BagOfWords, sentences, word_tokenizer

    found = maas_jupyter.tune(
        BagOfWords,
        data=sentences(),
        tokenizer=word_tokenizer(),
        space=("width=8,16 lr=0.01..0.1:log",),
        trials=3,
        epochs=4,
        watch="val_accuracy",
    )
    assert (found.metric, found.maximize) == ("val_accuracy", True)
    assert found.best.value > 0.9


def test_a_model_of_transformers_is_searched(home, tmp_path):
    from small_words import encoder, sentences, word_tokenizer

    given = {"data": sentences(), "space": ("lr=3e-3,1e-5",), "sampler": "grid", "watch": "val_accuracy", **FAST}
    found = maas_jupyter.tune(encoder(), tokenizer=word_tokenizer(), **given)
    assert found.best.params == {"lr": 3e-3}
    from transformers import PreTrainedTokenizerFast

    encoder().save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=word_tokenizer(), pad_token="[PAD]").save_pretrained(tmp_path)
    found = maas_jupyter.tune(str(tmp_path), **given)
    assert {trial.status for trial in found.trials} == {"complete"}


def test_a_regression_is_searched_in_the_units_of_its_targets(home):
    frame = cancer().drop(columns="target")
    found = maas_jupyter.tune(
        perceptron, data=frame, target="mean area", space=("hidden=8,16",), sampler="grid", watch="val_mae", **FAST
    )
    assert found.metric == "val_mae" and not found.maximize
    assert found.best.value < 0.5 * frame["mean area"].std()


def test_rows_in_both_parts_are_warned_about(home):
    X, y = wine()
    found = maas_jupyter.tune(mlp(13, 3), data=(X, y), val=(X[:20], y[:20]), space=("lr=1e-3,1e-2",), trials=1, **FAST)
    assert "training rows too" in repr(found)


# -- how it looks -----------------------------------------------------------------------------------------------------


def test_it_is_shown_as_a_table_with_pictures_and_no_script(home):
    from maas_jupyter.widgets.tuning import render

    found = maas_jupyter.tune(
        perceptron, data=wine(), space=("lr=1e-4..1e-1:log hidden=4..32",), trials=8, no_pruning=True, **FAST
    )
    assert sum(found.importances.values()) == pytest.approx(1)
    assert all(type(share) is float for share in found.importances.values())
    shown = render(found)
    page = shown["text/html"]
    assert "<script" not in page and "javascript:" not in page
    assert page.count("<tr") >= 8
    assert "What mattered" in page and "data:image/svg+xml" in page
    assert "background:#fff" not in page.replace(" ", "")
    assert shown["text/plain"] == repr(found)
    for trial in found.trials:
        assert type(trial.value) is float
        assert all(type(value) in (int, float) for value in trial.params.values())


def test_names_are_escaped(home):
    from maas_jupyter.tuning import TrialRow, Tuning, parse_space
    from maas_jupyter.widgets.tuning import parallel_coordinates, render

    rows = [TrialRow(number, {"act": "<b>"}, "failed", error="<script>alert(1)</script>") for number in range(3)]
    page = render(Tuning("it", "val_loss", False, parse_space("act=<b>,x"), rows))["text/html"]
    assert "<script" not in page and "<b>" not in re.sub(r"<b>[^<]*</b>", "", page).replace("<b></b>", "")
    assert parallel_coordinates(Tuning("it", "val_loss", False, parse_space("a=1,2"), [])) == ""


# -- what cannot be searched ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kind", "said", "hint"),
    [
        ({"space": ("lr=1e-4..",)}, UsageError, r"character 10: a number is expected", "lr=1e-4..1e-1:log"),
        ({"space": ("lr=1..2:lag",)}, UsageError, r"(?s)character 9.*\^", ""),
        ({"space": ("hiden=1,2",)}, UsageError, "'hiden' cannot be searched", "'hidden'"),
        ({"folds": 3, "val": 0.2}, UsageError, "exclude each other", "Folds"),
        ({"folds": 1}, InvalidInput, "cannot be cut into 1 folds", "--folds 5"),
        ({"folds": 60}, InvalidInput, "fewer than 60 folds", "--folds 48"),
        ({"trials": 0}, UsageError, "at least 1", "20"),
        ({"resume": True}, UsageError, "which study", "--study"),
        ({"resume": True, "study": "nowhere"}, NotFound, "no study called 'nowhere'", ""),
        ({"sampler": "tpr"}, UsageError, "no sampler called 'tpr'", "'tpe'"),
        ({"watch": "val_acuracy"}, UsageError, "no metric called 'val_acuracy'", "'val_accuracy'"),
        ({"val": 1.5}, UsageError, "--val is 1.5", "0.2"),
        ({"optimizer": torch.optim.SGD(mlp(13, 3).parameters())}, UsageError, "belongs to one module", "name"),
        ({"space": ("loss=mse,l1",)}, InvalidInput, "trials all failed: The loss MSELoss|trials all failed", "fixed"),
        ({"data": (wine()[0], np.zeros(178, int))}, InvalidInput, "of one class", ""),
        ({"study": "a/b"}, InvalidInput, "a/b", ""),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(home, given, kind, said, hint):
    with pytest.raises(kind, match=said) as caught:
        maas_jupyter.tune(perceptron, **{"data": wine(), "space": ("lr=1e-3,1e-2",), "trials": 3, "epochs": 1, **given})
    assert hint in caught.value.hint


def test_a_module_has_no_arguments_to_search(home):
    with pytest.raises(UsageError, match="'hidden' cannot be searched"):
        maas_jupyter.tune(mlp(13, 3), data=wine(), space=("hidden=1,2",))
    with pytest.raises(UsageError, match="neither a torch module nor makes one"):
        maas_jupyter.tune(3, data=wine(), space=("lr=1e-3,1e-2",))


def test_a_module_that_cannot_be_made_is_a_row(home):
    def shy(features, classes, hidden=8):
        if hidden == 13:
            raise KeyError("unlucky")
        return perceptron(features, classes, hidden)

    found = maas_jupyter.tune(shy, data=wine(), space=("hidden=8,13",), sampler="grid", **FAST)
    failed = next(trial for trial in found.trials if trial.status == "failed")
    assert "unlucky" in failed.error
    assert found.params == {"hidden": 8}


def test_a_study_without_a_name_gets_one_that_can_be_resumed(home):
    def make(features, classes, hidden=8):
        return perceptron(features, classes, hidden)

    make.__name__ = "<lambda>"
    given = {"data": wine(), "space": ("lr=1e-3,1e-2",), **FAST}
    names = [maas_jupyter.tune(make, trials=1, **given).name for _ in range(2)]
    assert names[0] != names[1]
    assert len(maas_jupyter.tune(make, trials=2, study=names[0], resume=True, **given).trials) == 2


def test_a_study_is_on_disk(home):
    maas_jupyter.tune(perceptron, data=wine(), space=("lr=1e-3,1e-2",), trials=1, study="kept", **FAST)
    assert Path(home / "studies" / "kept.db").is_file()
    with pytest.raises(UsageError, match="already"):
        maas_jupyter.tune(perceptron, data=wine(), space=("lr=1e-3,1e-2",), trials=1, study="kept", **FAST)


def test_options_that_count_are_whole_numbers_however_they_are_written(home):
    found = maas_jupyter.tune(
        perceptron, data=wine(), space=("batch=1e1..3e1 epochs=1e0,2",), trials=3, sampler="random"
    )
    assert {trial.status for trial in found.trials} <= {"complete", "pruned"}
    assert all(type(value) is int for trial in found.trials for value in trial.params.values())


def test_a_search_that_ends_with_an_error_is_not_shown_as_one_that_goes_on(home, monkeypatch):
    from maas_jupyter.widgets import tuning as widget

    shown = []
    monkeypatch.setattr(widget.TuningView, "update", lambda view, found, final=False: shown.append((found, final)))

    def shy(features, classes, hidden=8):
        raise KeyError("unlucky")

    def rude(features, classes, hidden=8):
        if hidden > 8:
            raise SystemExit("gone")
        return perceptron(features, classes, hidden)

    with pytest.raises(InvalidInput, match="unlucky"):
        maas_jupyter.tune(shy, data=wine(), space=("hidden=8..64",), **FAST)
    with pytest.raises(SystemExit):
        maas_jupyter.tune(rude, data=wine(), space=("hidden=8,16",), sampler="grid", **FAST)
    found, final = shown[-1]
    assert (found.status, final) == ("failed", True)
    assert "failed: 1 complete, 1 failed" in found.summary()


def test_folds_say_for_how_long_the_best_is_trained_on_all_rows(home):
    found = maas_jupyter.tune(
        perceptron, data=wine(), space=("lr=0.3",), sampler="grid", folds=3, trials=1, epochs=12, name="folded"
    )
    assert 1 <= found.best.epochs < 12
    assert found.run.epochs == found.best.epochs
    assert f"for {found.best.epochs} epochs" in found._repr_mimebundle_()["text/html"]
    scheduled = maas_jupyter.tune(
        perceptron,
        data=wine(),
        space=("lr=0.3",),
        sampler="grid",
        folds=3,
        trials=1,
        epochs=12,
        name="folded",
        schedule="cosine",
    )
    assert scheduled.run.epochs == 12


def test_why_a_trial_failed_is_said_in_text_too(home):
    def shy(features, classes, hidden=8):
        if hidden == 13:
            raise KeyError("unlucky")
        return perceptron(features, classes, hidden)

    found = maas_jupyter.tune(shy, data=wine(), space=("hidden=8,13",), sampler="grid", **FAST)
    assert "unlucky" in repr(found)


def test_a_function_may_make_a_model_of_transformers(home):
    from small_words import encoder, sentences, word_tokenizer

    given = {"data": sentences(), "tokenizer": word_tokenizer(), **FAST}
    found = maas_jupyter.tune(encoder, space=("layers=1,2",), sampler="grid", **given)
    assert {trial.status for trial in found.trials} == {"complete"}
    run = maas_jupyter.train(encoder, params="layers=2", **given)
    assert run.model.model.config.num_hidden_layers == 2
