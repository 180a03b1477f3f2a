"""The verb `explain`: its subjects, what it states, and what it refuses."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from fitted import fitted
from IPython.core.interactiveshell import InteractiveShell
from models import diabetes, mlp, wine
from torch import nn

import maas_jupyter
from maas_jupyter.errors import InvalidInput, MissingDependency, NotFound, UsageError


@pytest.fixture(scope="module")
def cellar(shared_home):
    """A module, and the version that it was registered as."""
    X, y = wine()
    net = fitted(mlp(13, 3), X, targets=y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        version = maas_jupyter.register(net, name="winehouse", data=(X, y), labels=["red", "white", "rose"])
    return net, version


@pytest.fixture
def shell(home, cellar):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    shell.run_line_magic("load_ext", "maas_jupyter")
    shell.user_ns.update(net=cellar[0], X=wine()[0])
    yield shell
    InteractiveShell.clear_instance()


def test_a_module_has_gradients_and_a_version_has_none(home, cellar):
    net, version = cellar
    X, _ = wine()
    own, served, named = (maas_jupyter.explain(model, X[:2]) for model in (net, version, "winehouse@champion"))
    assert own.method == "integrated_gradients"
    assert own.subject == "Sequential"
    assert served.method == named.method == "kernel_shap"
    assert served.subject == named.subject == "winehouse/1"
    for mine, theirs, again in zip(own.rows, served.rows, named.rows, strict=True):
        assert theirs.prediction == theirs.target in ("red", "white", "rose")
        assert theirs.probability == pytest.approx(mine.probability, abs=1e-5)
        assert theirs.baseline_output == pytest.approx(mine.baseline_output, abs=1e-5)
        np.testing.assert_array_equal(theirs.attributions, again.attributions)


def test_a_module_and_its_version_have_the_same_shapley_values(home, cellar):
    X, _ = wine()
    own, served = (maas_jupyter.explain(model, X[:2], method="kernel_shap") for model in cellar)
    for mine, theirs in zip(own.rows, served.rows, strict=True):
        np.testing.assert_allclose(mine.attributions, theirs.attributions, atol=1e-4)


def test_what_an_explanation_rests_on_is_stated(home, cellar):
    X, _ = wine()
    explanation = maas_jupyter.explain("winehouse", X[:2], target="white", method="lime", seed=7, samples=300)
    said = repr(explanation)
    method = ("lime", "300 samples", "seed 7", "baseline: zeros", "R2 of the local fit")
    for words in ("winehouse/1", "for white", *method):
        assert words in said
    assert len(explanation) == 2
    assert explanation[1].target == "white"
    assert "completeness error" in repr(maas_jupyter.explain(cellar[0], X[:1]))
    assert "sampling error" in repr(maas_jupyter.explain("winehouse", X[:1]))


def test_a_run_is_explained_in_the_columns_that_it_was_trained_on(home):
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"size": random.normal(50, 9, 80), "kind": random.choice(["flat", "house"], 80)})
    prices = np.where(frame["kind"] == "flat", "cheap", "dear")
    run = maas_jupyter.train(mlp(3, 2), data=(frame, prices), epochs=20, batch_size=16, lr=1e-2)
    explanation = maas_jupyter.explain(run, frame[:3])
    assert (explanation.subject, explanation.method) == ("Sequential", "integrated_gradients")
    for row, kind in zip(explanation.rows, frame["kind"], strict=False):
        assert row.prediction == ("cheap" if kind == "flat" else "dear")
        assert row.names == ["size", "kind"]
    bare = maas_jupyter.explain(run, pd.DataFrame({"size": [np.nan], "kind": [None]}, dtype=object))[0]
    assert [value for _, value, _ in bare.ranked()] == ["missing", "missing"]
    assert maas_jupyter.explain(run, frame[:3], target="dear", method="lime")[0].target == "dear"


def test_a_regression_needs_no_target(home):
    X, y = diabetes()
    net = fitted(nn.Linear(10, 1), X, targets=y)
    (row,) = maas_jupyter.explain(net, X[:1]).rows
    assert row.probability is None
    assert row.prediction == pytest.approx(row.output)
    assert row.error < 1e-4


@pytest.mark.parametrize(
    ("given", "kind", "said", "hint"),
    [
        ({"target": "whit"}, UsageError, "no class 'whit'", "'white'"),
        ({"method": "kernel_shop"}, NotFound, "no explainer called 'kernel_shop'", "'kernel_shap'"),
        ({"method": "integrated_gradients"}, UsageError, "needs gradients", "kernel_shap"),
        ({"samples": 0}, UsageError, "at least 1", "Leave it out"),
        ({"samples": 10}, UsageError, "too few for 13 features", "--samples 30"),
        ({"samples": 10, "method": "lime"}, UsageError, "too few for 13 features", "--samples 15"),
        ({"baseline": np.zeros((2, 3, 4))}, InvalidInput, "baseline has the shape", "mean"),
        ({"rows": ["red wine"]}, InvalidInput, "are texts, but the model takes arrays of numbers", "run"),
        ({"rows": np.zeros((2, 12), "float32")}, InvalidInput, r"\(rows, 13\), given is \(2, 12\)", "trained on"),
        ({"rows": np.zeros((21, 13), "float32")}, InvalidInput, "At most 20 rows", "X[:20]"),
        ({"rows": np.zeros((0, 13), "float32")}, InvalidInput, "no rows", ""),
        ({"rows": 3}, InvalidInput, "'rows'", ""),
    ],
)
def test_what_does_not_fit_is_refused_with_the_next_step(home, cellar, given, kind, said, hint):
    rows = given.pop("rows", wine()[0][:1])
    with pytest.raises(kind, match=said) as caught:
        maas_jupyter.explain("winehouse", rows, **given)
    assert hint in caught.value.hint


def test_an_unknown_model_is_not_found(home, cellar):
    with pytest.raises(NotFound, match="no model called 'winehose'") as caught:
        maas_jupyter.explain("winehose", wine()[0][:1])
    assert "winehouse" in caught.value.hint


def test_without_captum_the_hint_installs_it(home, cellar, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "captum"]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("methods", "gradients", "perturbation"):
        monkeypatch.delitem(sys.modules, f"maas_jupyter.explanation.{name}", raising=False)
        monkeypatch.delattr(f"maas_jupyter.explanation.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingDependency, match="needs the package 'captum") as caught:
        maas_jupyter.explain(cellar[0], wine()[0][:1])
    assert caught.value.hint == "pip install 'maas-jupyter[explain]'"


class Impatient(nn.Module):
    """Interrupts itself when it was asked often enough, as a stop button would."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def forward(self, x):
        self.calls -= 1
        if self.calls < 0:
            raise KeyboardInterrupt
        return x.sum(1)


def test_an_interruption_keeps_the_rows_that_are_done(home):
    X = np.random.default_rng(0).normal(size=(5, 30)).astype("float32")
    calls = 30  # a row takes more than thirty batches
    with pytest.raises(KeyboardInterrupt):
        maas_jupyter.explain(Impatient(calls), X, method="kernel_shap", samples=2000)
    explanation = maas_jupyter.explain(Impatient(80), X, method="kernel_shap", samples=2000)
    assert 1 <= len(explanation) < 5
    assert explanation.notes == [f"interrupted after {len(explanation)} of 5 rows"]
    assert explanation.notes[0] in repr(explanation)


def test_the_magic_takes_words_numbers_and_rows_for_the_baseline(shell):
    for option, described in (
        ("", "zeros"),
        ("--baseline zeros", "zeros"),
        ("--baseline 0.5", "0.5 everywhere"),
        ("--baseline X", "the mean of 178 given rows"),
        ("--baseline X.min(0)", "the given values"),
    ):
        assert shell.run_cell(f"why = %maas explain net X[:2] {option}").success
        assert shell.user_ns["why"].baseline == described
    assert shell.run_cell(
        "why = %maas explain winehouse X[[3]] --method lime --target white --samples 100 --seed 2"
    ).success
    assert shell.user_ns["why"][0].target == "white"
    assert shell.user_ns["why"].seed == 2


def test_the_magic_refuses_a_word_that_is_no_baseline(shell, capsys):
    result = shell.run_cell("%maas explain net X[:2] --baseline zeroes")
    assert isinstance(result.error_in_exec, UsageError)
    assert "'zeros'" in result.error_in_exec.hint


def test_methods_are_completed(shell):
    line = "%maas explain net X --method "
    _, offered = shell.complete(None, line, len(line))
    assert {"integrated_gradients", "kernel_shap", "lime"} <= set(offered)
