"""``%maas prune`` and ``distil`` on a run: what the run brings along, and how they are stopped."""

from __future__ import annotations

import signal

import pytest
import torch
from models import digits, mlp

import maas_jupyter
from maas_jupyter.errors import InvalidInput
from maas_jupyter.widgets.training import TrainingView


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(tmp_path_factory.mktemp("home")))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        weights = [2.0] + [1.0] * 9
        yield maas_jupyter.train(mlp(), data=digits(200), class_weights=weights, epochs=2, name="runs-pruned")


def test_a_run_keeps_its_loss_and_methods_learn_by_it(run, monkeypatch):
    assert run.loss.weight.tolist() == [2.0] + [1.0] * 9
    asked = []

    def counted(output, targets):
        asked.append(len(targets))
        return torch.nn.functional.cross_entropy(output, targets)

    monkeypatch.setattr(run, "loss", counted)
    maas_jupyter.prune(run, data=digits(200), method="magnitude", amount=0.2, epochs=1)
    assert sum(asked) >= 200


def test_an_interrupt_ends_the_training_of_a_method_and_keeps_the_rows_before(run, monkeypatch):
    trained = []

    def interrupt(view, metrics):
        trained.append(view.title)
        if "40%" in view.title:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingView, "epoch", interrupt)
    made = maas_jupyter.prune(run, data=digits(200), method="magnitude", amount=(0.2, 0.4), epochs=2, max_drop=1.0)
    assert made.interrupted and made.version is None
    assert [each.method for each in made.candidates][:2] == ["original", "magnitude-pruning 20%"]
    assert made.candidates[1].measured is not None
    assert len(trained) == 3  # two epochs of the first, one of the second


def test_a_student_that_cannot_be_made_is_refused_before_anything_is_measured(run, capsys):
    with pytest.raises(InvalidInput, match="A Sequential has no config") as refused:
        maas_jupyter.distil(run, data=digits(200))
    assert "--student MODULE" in refused.value.hint
    assert "distil" not in capsys.readouterr().err
