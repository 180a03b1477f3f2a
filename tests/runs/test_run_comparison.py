from __future__ import annotations

from math import nan

import pytest

from maas_jupyter.runs import ComparedRun, Curve, RunComparison, less_is_better


def compared(run_id, metrics, **params):
    curves = {name: Curve(x=[1.0, 2.0], y=[value, value]) for name, value in metrics.items()}
    return ComparedRun(run_id, "digits", "finished", params, metrics, curves)


@pytest.mark.parametrize("metric", ["loss", "val_loss", "eval_log_loss", "rmse", "val_mae", "perplexity"])
def test_of_losses_and_errors_less_is_better(metric):
    assert less_is_better(metric)


@pytest.mark.parametrize("metric", ["accuracy", "val_f1", "r2", "roc_auc"])
def test_of_scores_more_is_better(metric):
    assert not less_is_better(metric)


def test_only_parameters_that_differ_are_named():
    one, other = compared("a", {}, lr="0.1", epochs="3"), compared("b", {}, lr="0.2", epochs="3", seed="1")
    assert RunComparison([one, other]).differing == ["lr", "seed"]


def test_the_best_is_known_where_there_is_something_to_compare():
    comparison = RunComparison(
        [
            compared("a", {"loss": 0.3, "accuracy": 0.9, "alone": 1.0, "r2": 0.5, "same": 1.0}),
            compared("b", {"loss": 0.2, "accuracy": 0.9, "r2": nan, "same": 1.0}),
            compared("c", {"loss": nan, "accuracy": 0.8, "same": 1.0}),
        ]
    )
    assert comparison.best("loss") == ["b"]
    assert comparison.best("accuracy") == ["a", "b"]
    assert comparison.best("alone") == []
    assert comparison.best("r2") == []
    assert comparison.best("same") == []


def test_it_is_a_table_with_the_best_marked_and_one_picture():
    runs = [compared("aaaaaaaa11", {"loss": 0.3}, lr="0.1"), compared("bbbbbbbb22", {"loss": 0.2}, lr="<b>")]
    shown = RunComparison(runs)._repr_mimebundle_()
    assert "aaaaaaaa digits: finished; lr=0.1; loss 0.3000" in shown["text/plain"]
    assert "loss 0.2000 (best)" in shown["text/plain"]
    assert shown["text/html"].count("<img") == 1
    assert "<b>0.2000</b>" in shown["text/html"]
    assert "<b>&lt;" not in shown["text/html"]
    assert "&lt;b&gt;" in shown["text/html"]


def test_many_runs_with_many_metrics_stay_small():
    long = Curve(x=[float(x) for x in range(399)], y=[0.1] * 399)
    runs = []
    for run in range(12):
        metrics = {f"metric_{number}": run / 10 for number in range(100)}
        params = {f"param_{number}": f"{run} and so on" for number in range(100)}
        runs.append(ComparedRun(f"run-{run}", "digits", "finished", params, metrics, dict.fromkeys(metrics, long)))
    assert len(RunComparison(runs)._repr_mimebundle_()["text/html"]) < 200_000
