"""A search as others see it: in MLflow with its trials, among the runs, stopped from outside."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient
from models import wine
from torch import nn

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import Conflict, Unavailable
from maas_jupyter.monitoring import RecentRuns
from maas_jupyter.registry import Registry, send_unsent
from maas_jupyter.runs import RunFolder

FAST = {"data": wine(), "epochs": 2, "batch_size": 64}


def perceptron(features, classes, hidden=32):
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def trials_of(run_id):
    registry = Registry(config.current())
    client = MlflowClient(registry.uri)
    experiment = client.get_run(run_id).info.experiment_id
    found = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{run_id}'")
    return sorted(found, key=lambda run: int(run.data.tags["maas.nested"]))


def test_a_search_is_a_run_and_its_trials_are_runs_within_it(home):
    found = maas_jupyter.tune(perceptron, space=("hidden=4,16,99999999999",), sampler="grid", **FAST)
    trials = trials_of(found.run_id)
    assert [run.data.params["hidden"] for run in trials] == [str(trial.params["hidden"]) for trial in found.trials]
    assert [run.data.tags["maas.state"] for run in trials] == [trial.status for trial in found.trials]
    assert {run.info.status for run in trials} == {"FINISHED", "FAILED"}
    assert trials[0].data.metrics["val_loss"] == pytest.approx(found.trials[0].value)
    (record,) = maas_jupyter.runs(found.run_id)
    assert (record.status, record.params["space"]) == ("finished", "hidden=4,16,99999999999")
    assert record.metrics["val_loss"] == pytest.approx(found.best.value)
    listed = {run.run_id for run in maas_jupyter.runs(limit=1000)}
    assert found.run_id in listed
    assert not listed & {run.info.run_id for run in trials}


def test_a_search_that_goes_on_is_seen_and_stopped_from_outside_within_a_trial(home):
    seen = []

    class Watched(nn.Linear):
        def forward(self, x):
            if self.training and not seen:
                (row,) = [row for row in RecentRuns(home)() if row.verb == "tune" and row.status == "training"]
                (record,) = maas_jupyter.runs("last")
                seen.append((row.epochs, record.progress))
                RunFolder(home, row.run_id).request_stop()
            return super().forward(x)

    def watched(features, classes, width=1):
        return Watched(features, classes)

    found = maas_jupyter.tune(watched, data=wine(), space=("width=1..9",), trials=7, epochs=100_000, study="stopped")
    assert (found.status, seen) == ("interrupted", [(7, "trial 1 of 7")])
    assert "go on: the same call of tune with --study stopped --resume" in repr(found)
    state = RunFolder(home, found.run_id).read()
    assert (state.status, state.epoch) == ("interrupted", 0)
    again = maas_jupyter.tune(perceptron, space=("hidden=4..9",), trials=1, study="another", **FAST)
    assert again.run_id != found.run_id


def test_a_search_that_is_gone_on_with_is_the_same_run(home):
    first = maas_jupyter.tune(perceptron, space=("hidden=4..64",), trials=2, study="longer", **FAST)
    second = maas_jupyter.tune(perceptron, space=("hidden=4..64",), trials=3, study="longer", resume=True, **FAST)
    assert second.run_id == first.run_id
    assert len(trials_of(first.run_id)) == 3


def test_a_server_that_goes_away_loses_no_trial(home, monkeypatch):
    def gone(*_):
        raise Unavailable("The registry is gone.")

    with monkeypatch.context() as patch:
        for name in ("log_metrics", "enter_nested", "end_run", "log_file"):
            patch.setattr(Registry, name, gone)
        found = maas_jupyter.tune(perceptron, space=("hidden=4..64",), trials=3, **FAST)
    assert any("not everything was written" in warning for warning in found.warnings)
    assert trials_of(found.run_id) == []
    assert found.run_id in send_unsent(home, Registry(config.current()))
    assert len(trials_of(found.run_id)) == 3
    assert maas_jupyter.runs(found.run_id)[0].status == "finished"


def test_a_study_is_searched_by_one_at_a_time(home):
    caught = []

    def nosy(features, classes, hidden=4):
        if (home / "studies" / "alone.db").exists() and not caught:
            with pytest.raises(Conflict) as error:
                maas_jupyter.tune(perceptron, space=("hidden=4..64",), trials=2, study="alone", resume=True, **FAST)
            caught.append(error.value.message)
        return perceptron(features, classes, hidden)

    found = maas_jupyter.tune(nosy, space=("hidden=4..64",), trials=2, study="alone", **FAST)
    assert [trial.status for trial in found.trials] == ["complete", "complete"]
    assert "searched already" in caught[0]
