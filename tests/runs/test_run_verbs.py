from __future__ import annotations

import os
import socket
import threading
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from run_states import run_state

import maas_jupyter
from maas_jupyter import verbs
from maas_jupyter.api.runs import find_run
from maas_jupyter.config import MaasConfig
from maas_jupyter.errors import Conflict, NotFound, UsageError
from maas_jupyter.registry import Registry, RunList, RunRecord, Tracker
from maas_jupyter.runs import RunFolder, RunState

HERE = {"pid": os.getpid(), "host": socket.gethostname()}


@pytest.fixture
def folders(own_home):
    """Two runs of this machine: one that ended and a newer one that is under way."""
    for run_id, started, status in (("aa11" + "0" * 28, 1.0, "finished"), ("aa22" + "0" * 28, 2.0, "training")):
        done = 5 if status == "finished" else 2
        RunFolder(own_home, run_id).write(run_state(run_id, done=done, status=status, started=started, **HERE))
    return own_home


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Ids of two runs in the registry that have no folder in this home: they ran on another machine."""
    home = tmp_path_factory.mktemp("registry-only")
    registry = Registry(MaasConfig(home=str(home)))
    ids = []
    for epochs in (2, 3):
        tracker = Tracker(registry, f"wine{epochs}", {"epochs": epochs, "lr": 0.1, "device": "cpu"}, {})
        for epoch in range(1, epochs + 1):
            tracker.log({"loss": 1 / epoch, "val_accuracy": 1 - 1 / (epoch + 1)}, epoch)
            tracker.log({"step_loss": 1 / epoch}, epoch * 30)
        tracker.log({"eval_accuracy": 0.9}, 0)
        tracker.end("FINISHED")
        ids.append(tracker.run_id)
    return home, ids


@pytest.fixture
def trained(tracked, monkeypatch):
    """The ids, with their home in force."""
    monkeypatch.setenv("MAAS_HOME", str(tracked[0]))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return tracked[1]


# -- which run ---------------------------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_beginning_by_last_and_by_itself(folders):
    assert find_run("aa1") == "aa11" + "0" * 28
    assert find_run("AA22") == "aa22" + "0" * 28
    assert find_run("last") == "aa22" + "0" * 28
    assert find_run(RunRecord("x", "", "finished", 0.0, None)) == "x"


def test_a_beginning_of_several_runs_is_not_guessed(folders):
    with pytest.raises(UsageError, match="2 runs begin with 'aa'") as caught:
        find_run("aa")
    assert "aa1100000000" in caught.value.hint


def test_an_unknown_run_offers_the_nearest(folders):
    with pytest.raises(NotFound, match="There is no run 'aa33'") as caught:
        find_run("aa33")
    assert "aa110000" in caught.value.hint
    with pytest.raises(UsageError, match="A int is not a run"):
        find_run(3)


def test_where_nothing_ran_yet_the_hint_is_how_to_start(own_home):
    with pytest.raises(NotFound) as caught:
        find_run("last")
    assert "%maas train" in caught.value.hint


def test_a_run_of_another_machine_is_found_in_the_registry(trained):
    assert find_run(trained[0][:10]) == trained[0]
    assert find_run("last") == trained[1]


# -- attach ------------------------------------------------------------------------------------------------------------


def test_a_run_that_has_ended_is_drawn_at_once(folders, capsys):
    maas_jupyter.attach("aa11")
    assert "digits finished · epoch 5 of 5" in capsys.readouterr().err


def test_it_follows_a_run_of_this_machine_until_it_ends(folders, monkeypatch):
    run_id = "aa22" + "0" * 28
    seen = []

    class View:
        def __init__(self, title):
            assert title == "digits"

        def update(self, state, *, final=False):
            seen.append((state.epoch, final))
            if state.status == "training":
                status = "training" if state.epoch < 4 else "interrupted"
                RunFolder(folders, run_id).write(run_state(run_id, done=state.epoch + 1, status=status, **HERE))

    monkeypatch.setattr("maas_jupyter.plugins.load", lambda kind, name: View)
    maas_jupyter.attach()
    assert seen == [(2, False), (3, False), (4, False), (5, True)]


def test_interrupting_it_leaves_the_run_alone(folders, monkeypatch, capsys):
    def interrupted(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("maas_jupyter.api.runs"), "time", SimpleNamespace(sleep=interrupted))
    maas_jupyter.attach("aa22")
    assert "digits training · epoch 3 of 5" in capsys.readouterr().err
    assert not RunFolder(folders, "aa22" + "0" * 28).stop_requested()


def test_a_run_of_another_machine_is_drawn_from_the_registry(trained, capsys):
    maas_jupyter.attach(trained[0])
    line = capsys.readouterr().err
    assert "wine2 finished · epoch 2 of 2" in line
    assert "val_accuracy 0.6667" in line
    assert "step_loss" not in line
    assert "eval_accuracy" not in line


def test_the_loss_by_step_is_recalled_in_epochs(trained, monkeypatch):
    states = []
    view = SimpleNamespace(update=lambda state, final: states.append(state))
    monkeypatch.setattr("maas_jupyter.plugins.load", lambda kind, name: lambda title: view)
    maas_jupyter.attach(trained[1])
    assert states[0].curves["loss"].x == [1, 2, 3]
    assert [entry["epoch"] for entry in states[0].history] == [1, 2, 3]
    assert "eval_accuracy" not in states[0].curves


# -- interrupt ---------------------------------------------------------------------------------------------------------


def test_a_run_is_asked_to_stop_and_says_what_it_kept(folders):
    run_id = "aa22" + "0" * 28
    folder, stopped = RunFolder(folders, run_id), threading.Event()

    def train():
        while not folder.stop_requested():
            stopped.wait(0.01)
        folder.write(run_state(run_id, done=2, status="interrupted", checkpoint="/kept/here.safetensors", **HERE))

    thread = threading.Thread(target=train)
    thread.start()
    said = repr(maas_jupyter.interrupt("last"))
    thread.join()
    assert "stopped in epoch 3 of 5" in said
    assert "/kept/here.safetensors" in said
    assert "--resume aa220000" in said


def test_a_run_that_takes_its_time_is_not_said_to_have_stopped(folders):
    said = repr(maas_jupyter.interrupt("aa22", wait=0))
    assert "has not yet" in said
    assert RunFolder(folders, "aa22" + "0" * 28).stop_requested()


def test_a_run_that_has_ended_or_is_elsewhere_cannot_be_interrupted(folders):
    with pytest.raises(Conflict, match="has ended already: finished"):
        maas_jupyter.interrupt("aa11")
    assert not RunFolder(folders, "aa11" + "0" * 28).stop_requested()


def test_a_run_of_another_machine_cannot_be_interrupted(trained):
    with pytest.raises(NotFound, match="not on this machine"):
        maas_jupyter.interrupt(trained[0])


# -- runs --------------------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_and_filtered(trained):
    assert [run.name for run in maas_jupyter.runs()] == ["wine3", "wine2"]
    assert [run.run_id for run in maas_jupyter.runs(model="wine2")] == [trained[0]]
    assert maas_jupyter.runs(model="wine") == []
    assert len(maas_jupyter.runs(status="finished")) == 2
    assert maas_jupyter.runs(status="stopped-early") == []
    assert len(maas_jupyter.runs(limit=1)) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [({"status": "finishd"}, "No run is 'finishd'"), ({"limit": 0}, "--limit is at least 1")],
)
def test_a_filter_that_is_none_is_refused(own_home, given, said):
    with pytest.raises(UsageError, match=said):
        maas_jupyter.runs(**given)


def test_one_that_is_under_way_shows_its_progress(trained):
    folder = RunFolder(Path(os.environ["MAAS_HOME"]), trained[1])
    folder.write(run_state(trained[1], done=2, status="training", remaining=30.0, **HERE))
    (run,) = maas_jupyter.runs(status="training")
    assert repr(run).startswith(f"{trained[1][:8]} wine3: training, epoch 3 of 5")
    shown = RunList([run])._repr_mimebundle_()["text/html"]
    assert "epoch 3 of 5, 30.0 s left" in shown
    (folder.path / "state.json").write_text("damaged")
    assert [run.status for run in maas_jupyter.runs()] == ["finished", "finished"]
    (folder.path / "state.json").unlink()


def test_runs_that_are_named_are_compared(trained):
    comparison = maas_jupyter.runs(*[run_id[:12] for run_id in trained])
    assert comparison.differing == ["epochs"]
    assert comparison.best("loss") == [trained[1]]
    assert set(comparison.metrics) == {"loss", "val_accuracy", "eval_accuracy"}
    assert [len(run.curves["loss"].x) for run in comparison.runs] == [2, 3]
    assert "<img" in comparison._repr_mimebundle_()["text/html"]
    assert isinstance(maas_jupyter.runs(trained[0]), RunList)
    with pytest.raises(UsageError, match="not filtered"):
        maas_jupyter.runs(trained[0], status="finished")


def test_a_run_that_only_its_folder_knows_is_compared_too(folders):
    comparison = maas_jupyter.runs("aa11", "aa22")
    assert [run.status for run in comparison.runs] == ["finished", "training"]


def test_the_magic_takes_runs_of_the_notebook_and_ids(trained):
    shell = InteractiveShell()
    shell.user_ns["mine"] = maas_jupyter.runs()[0]
    for line, count in ((f"runs mine {trained[0][:9]}", 2), ("runs", 2), ("runs mine", 1)):
        result = verbs.run(line.split(), verbs.Session("%maas", shell.user_ns))
        assert len(getattr(result, "runs", result)) == count


def test_a_state_without_an_epoch_can_be_shown(own_home, capsys):
    RunFolder(own_home, "fresh").write(RunState(run_id="fresh", name="new", status="failed", error="No rows."))
    maas_jupyter.attach("fresh")
    assert "No rows." in capsys.readouterr().err


def test_the_text_of_a_run_shows_what_tells_most_first():
    from maas_jupyter.registry import RunRecord

    names = ["eval_f1", "accuracy", "loss", "precision", "recall", "step_loss", "val_accuracy", "val_loss", "zeta"]
    text = repr(RunRecord("0123456789", "kinds", "finished", 0.0, 1.0, dict.fromkeys(names, 0.5)))
    shown = [word.split()[0] for word in text.split(", ")[1:]]
    assert shown == ["val_loss", "val_accuracy", "loss", "accuracy", "eval_f1", "precision", "recall", "zeta"]
