"""What surrounds the loop: a run that is cut off at any stage, told where nobody looks, and never two at one module."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from loops import trained
from models import mlp, wine
from torch import nn

import maas_jupyter
from maas_jupyter.errors import Conflict, ExportError, UsageError
from maas_jupyter.runs import RunFolder
from maas_jupyter.training import TrainingOptions, job


class Blocked(nn.Module):
    """Trains on when it is told."""

    def __init__(self):
        super().__init__()
        self.net, self.go, self.began = nn.Linear(13, 3), threading.Event(), threading.Event()

    def forward(self, x):
        if self.training:
            self.began.set()
            self.go.wait(20)
        return self.net(x)


def test_a_module_is_not_trained_twice_at_once(home):
    net = Blocked()
    run = maas_jupyter.train(net, data=wine(), epochs=1, background=True)
    assert net.began.wait(20)
    try:
        with pytest.raises(Conflict, match=run.run_id[:8]):
            maas_jupyter.train(net, data=wine(), epochs=1)
        with pytest.raises(Conflict, match=run.run_id[:8]):
            maas_jupyter.train(net.net, data=wine(), epochs=1)
    finally:
        net.go.set()
    run.wait()
    assert maas_jupyter.train(net, data=wine(), epochs=1).status == "finished"


def test_a_stop_that_is_asked_for_before_the_first_step_is_heard(home):
    net = Blocked()
    started = threading.Thread.start

    def late(thread):
        if thread.name.startswith("maas-train-"):
            (short,) = [thread.name.rpartition("-")[2]]
            (folder,) = [each for each in (home / "runs").iterdir() if each.name.startswith(short)]
            RunFolder(home, folder.name).request_stop()
        started(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", late)
        net.go.set()
        run = maas_jupyter.train(net, data=wine(), epochs=100_000, background=True)
    assert run.wait(60).status == "interrupted"


@pytest.mark.parametrize(
    ("error", "status"), [(MemoryError("no room"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
def test_a_run_that_is_cut_off_before_its_first_step_has_ended(home, monkeypatch, error, status):
    def cut_off(*_, **__):
        raise error

    monkeypatch.setattr(job, "fit", cut_off)
    with pytest.raises(type(error)):
        maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    (newest,) = maas_jupyter.runs("last")
    assert newest.status == status


def test_a_registration_that_fails_in_the_background_is_told_by_the_view_and_the_run(home, monkeypatch, capsys):
    from maas_jupyter.api import training

    def refuse(*_):
        raise ExportError("The module cannot be exported.", hint="Write it otherwise.")

    monkeypatch.setattr(training, "register_prepared", refuse)
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1, name="refused", background=True)
    with pytest.raises(ExportError):
        run.wait()
    assert "warning: not registered as refused: The module cannot be exported." in repr(run)
    assert RunFolder(home, run.run_id).read().warnings == run.warnings


def test_a_killed_process_leaves_a_run_that_has_ended(home, child_environment):
    code = """
        import os, signal, sys
        sys.path.insert(0, "tests")
        from models import mlp, wine
        import maas_jupyter
        net = mlp(13, 3)
        passes = []
        def kill(module, *_):
            passes.append(1)
            if len(passes) == 60:
                os.kill(os.getpid(), signal.SIGKILL)
        net.register_forward_hook(kill)
        maas_jupyter.train(net, data=wine(), epochs=1000)
    """
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(command, env=child_environment, cwd=root, capture_output=True).returncode == -9
    (newest,) = maas_jupyter.runs("last")
    assert newest.status == "failed"
    assert "ended without a word" in newest.state.error


def test_the_epoch_whose_weights_are_kept_is_said(home):
    X, y = wine()
    run = maas_jupyter.train(mlp(13, 3), data=(X[::2], y[::2]), val=(X[1::2], y[1::2]), epochs=6, lr=1.0)
    assert run.state.kept == run.state.best.epoch
    told = f"weights of the best epoch, {run.state.best.epoch} of 6: val_loss {run.state.best.value:.4f}"
    assert f"the module has the {told}" in repr(run)
    plain = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=2)
    assert "the module has the weights of the last epoch, 2 of 2" in repr(plain)


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"epochs": 0}, "--epochs 20"),
        ({"steps": -3}, "--steps 1000"),
        ({"batch_size": 0}, "it is 32"),
        ({"epochs": 1.5}, "whole number"),
        ({"patience": 0}, "--patience 3"),
        ({"clip": 0.0}, "--clip 1.0"),
        ({"lr": float("nan")}, "--lr 1e-3"),
        ({"warmup": -1.0}, "a tenth of the training"),
    ],
)
def test_an_option_out_of_range_says_what_is_allowed(given, hint):
    with pytest.raises(UsageError) as caught:
        TrainingOptions(**given)
    assert hint in caught.value.hint


def test_epochs_of_unknown_length_are_counted_without_an_end():
    from torch.utils.data import DataLoader, IterableDataset, TensorDataset

    class Endless(IterableDataset):
        def __iter__(self):
            return iter(DataLoader(TensorDataset(*map(__import__("torch").tensor, wine())), batch_size=None))

    state, _, _ = trained(mlp(13, 3), DataLoader(Endless(), batch_size=16), steps=20)
    assert state.epochs == 0
    assert state.place == f"epoch {state.epoch}"
    assert time.time() > state.updated


def test_all_places_show_the_numbers_of_the_epoch_that_is_kept(home):
    from maas_jupyter.monitoring import RecentRuns

    X, y = wine()
    run = maas_jupyter.train(
        mlp(13, 3), data=(X[::2], y[::2]), val=(X[1::2], y[1::2]), lr=0.3, epochs=12, name="kept-epoch"
    )
    best = run.state.best
    assert best.epoch < run.state.epoch, "the last epoch must not be the best for this test"
    assert run.metrics["val_loss"] == best.value
    assert f"best epoch {best.epoch} of 12: loss" in repr(run)
    record = next(row for row in maas_jupyter.runs() if row.run_id == run.run_id)
    assert record.metrics["val_loss"] == best.value
    row = next(row for row in RecentRuns(home)() if row.run_id == run.run_id)
    assert (row.metric_name, row.metric) == ("val_loss", best.value)
    assert abs(run.version.metrics["accuracy"] - run.metrics["val_accuracy"]) < 1e-6
