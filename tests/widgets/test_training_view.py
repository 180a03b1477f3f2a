from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from IPython import get_ipython
from models import mlp
from run_states import RUN_ID, run_state

from maas_jupyter.errors import UsageError
from maas_jupyter.runs import Best, Curve, RunState
from maas_jupyter.training import Run
from maas_jupyter.widgets import surface
from maas_jupyter.widgets.training import TrainingView


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(surface, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    return now


def pictures(outputs):
    """What the view drew, the Stop button left out."""
    return [
        output["data"] for output in outputs if "Stop</button>" not in output["data"].get("text/html", "Stop</button>")
    ]


def test_what_was_decided_stands_there_before_the_first_step(cell):
    state = RunState(run_id=RUN_ID, name="digits", epochs=5, notes=["classification into 10 classes", "device: cpu"])
    TrainingView("digits").update(state)
    (shown,) = pictures(cell)
    assert "digits training · epoch 1 of 5" in shown["text/plain"]
    assert "classification into 10 classes" in shown["text/html"]
    assert "device: cpu" in shown["text/html"]


def test_progress_throughput_time_left_device_memory_metrics_and_best_are_shown(cell):
    state = run_state(done=3, status="training", step=7, rows_per_second=1234.5, remaining=95.0, memory=512_000_000)
    TrainingView("digits").update(state)
    (shown,) = pictures(cell)
    for text in ("epoch 4 of 5", "step 7 of 20", "1,234 rows/s", "95.0 s left", "cpu, 512.0 MB", "val_accuracy 0.8502"):
        assert text in shown["text/plain"]
    assert "best epoch 2 of 3: val_loss" in shown["text/html"]
    assert "width:67.0%" in shown["text/html"]
    assert "data:image/svg+xml;base64," in shown["text/html"]


def test_at_most_ten_updates_a_second_and_always_the_last(cell, clock):
    view = TrainingView("digits")
    for step in range(1, 1001):
        view.update(run_state(done=1, status="training", step=step % 20))
        clock.seconds += 0.001
    assert 1 < len(pictures(cell)) <= 11
    view.update(run_state(), final=True)
    view.update(run_state(), final=True)
    assert "digits finished · epoch 5 of 5" in pictures(cell)[-1]["text/plain"]
    assert all(output["update"] for output in cell[2:])


def test_what_stays_is_static_and_the_button_is_gone(cell):
    view = TrainingView("digits")
    view.update(run_state(done=2, status="training"))
    view.update(run_state(), final=True)
    button, first, gone, last = cell
    assert f"runs/{RUN_ID}/stop" in button["data"]["text/html"]
    # An output without data is no output of a notebook.
    assert gone["data"]["text/plain"] == f"%maas attach {RUN_ID[:8]}"
    assert "<button" not in gone["data"]["text/html"]
    assert gone["transient"] == button["transient"]
    assert last["transient"] == first["transient"] != button["transient"]
    for forbidden in ("<script", "<button", "onclick", "widget"):
        assert forbidden not in last["data"]["text/html"]


def test_a_run_that_is_over_gets_no_button(cell):
    TrainingView("digits").update(run_state(), final=True)
    assert len(cell) == 1


def test_the_text_of_a_run_cannot_leave_its_place(cell):
    state = run_state(run_id="x'\"><script>", done=1, status="training", notes=["<script>1</script>"])
    state.history[-1]["<script>"] = 1.0
    TrainingView("<script>").update(state)
    for output in cell:
        assert "<script" not in output["data"]["text/html"]
    assert "x'" not in cell[0]["data"]["text/html"]


def test_a_failure_its_warnings_and_an_early_stop_are_told(cell):
    state = run_state(done=2, status="failed", error="The loss became nan in step 31.", warnings=["The disk is full."])
    TrainingView("digits").update(state, final=True)
    TrainingView("digits").update(run_state(done=4, status="stopped_early"), final=True)
    failed, early = pictures(cell)
    assert "The loss became nan" in failed["text/plain"]
    assert "The loss became nan" in failed["text/html"]
    assert "The disk is full." in failed["text/html"]
    assert "digits stopped early · epoch 4 of 5" in early["text/plain"]


def test_what_is_left_of_a_run_that_goes_on_says_how_to_see_it(cell):
    TrainingView("digits").update(run_state(done=2, status="training"), final=True)
    assert f"%maas attach {RUN_ID[:8]}" in cell[-1]["data"]["text/plain"]


def test_a_result_does_not_draw_what_its_cell_holds_already(cell):
    state = run_state(run_id="run-of-this-cell", warnings=["not registered in time"])
    run = Run(state, mlp(), Path("/kept/here.safetensors"))
    TrainingView("digits").update(state, final=True)
    here = run._repr_mimebundle_()["text/html"]
    get_ipython().execution_count += 1
    later = run._repr_mimebundle_()["text/html"]
    for shown in (here, later):
        for text in ("finished", "run run-of-t", "/kept/here.safetensors", "not registered in time"):
            assert text in shown
    assert "<img" not in here
    assert "<img" in later
    assert "best epoch 4" in later


@pytest.mark.parametrize("metrics", [1, 200])
def test_a_run_of_a_million_points_stays_below_200_kb(cell, metrics):
    state = RunState(
        run_id=RUN_ID, name="long", status="finished", epochs=1000, epoch=1000, best=Best(9, "metric_0", 0.1)
    )
    loss = state.curves["loss"] = Curve()
    for step in range(1_000_000):
        loss.add((step + 1) / 1000, 1 / (step + 1))
    for epoch in range(1, 1001):
        values = {f"metric_{number}": number / epoch for number in range(metrics)}
        values |= {f"val_{name}": value for name, value in values.items()}
        state.history.append({"epoch": float(epoch), "loss": 1 / epoch, **values})
        for name, value in values.items():
            state.curves.setdefault(name, Curve()).add(float(epoch), value)
    state.notes = ["n" * 5000] * 50
    state.warnings = ["w" * 5000] * 500
    state.error = "e" * 100_000
    TrainingView("long").update(state, final=True)
    assert loss.count == 1_000_000
    assert sum(len(text) for text in cell[-1]["data"].values()) < 100_000


def test_a_terminal_gets_a_line(capsys):
    view = TrainingView("digits")
    view.update(run_state(done=2, status="training"))
    view.update(run_state(), final=True)
    assert capsys.readouterr().err.splitlines() == [
        "digits finished · epoch 5 of 5 · 12.5 s · cpu · loss 0.0135 · accuracy 0.9933 · val_loss 0.5135 · "
        "val_accuracy 0.8933 · best epoch 4 of 5: val_loss 0.1366"
    ]


def test_a_new_kernel_is_told_that_it_prepares(cell, monkeypatch):
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    view = TrainingView("digits")
    with view.preparing():
        assert "digits: preparing" in cell[-1]["data"]["text/plain"]
    view.update(run_state(), final=True)
    assert "digits finished" in cell[-1]["data"]["text/plain"]
    assert cell[-1]["transient"] == cell[0]["transient"]
    with pytest.raises(UsageError), TrainingView("wrong").preparing():
        raise UsageError("No.")
    assert "wrong: not started" in cell[-1]["data"]["text/plain"]


def test_a_search_counts_trials(cell):
    state = run_state(done=3, epochs=20, status="training", verb="tune", seconds=5.0)
    TrainingView("lr").update(state)
    (shown,) = pictures(cell)
    assert "lr searching · trial 4 of 20" in shown["text/plain"]
    assert "best trial 2: val_loss" in shown["text/html"]


def test_a_page_that_was_loaded_anew_tells_how_to_see_the_run(cell):
    """The pictures of a cell do not move on there."""
    TrainingView("digits").update(run_state(done=2, status="training"))
    button = cell[0]["data"]["text/html"]
    assert f"<code>%maas attach {RUN_ID[:8]}</code>" in button
    assert f"How it ended: %maas attach {RUN_ID[:8]}" in button


def test_a_run_that_was_stopped_says_how_to_go_on_where_it_is_assigned(cell):
    state = run_state(done=2, status="interrupted", line="%maas train net --data rows", checkpoint="model.safetensors")
    TrainingView("digits").update(state, final=True)
    line = f"%maas train net --data rows --resume {RUN_ID[:8]}"
    assert f"go on: <code>{line}</code>" in pictures(cell)[-1]["text/html"]


def test_a_search_is_drawn_once_in_its_cell_and_whole_in_another(cell):
    from maas_jupyter.tuning import TrialRow, Tuning, parse_space
    from maas_jupyter.widgets.tuning import TuningView, render

    found = Tuning("once", "val_loss", False, parse_space("lr=0.1,0.2"), [TrialRow(0, {"lr": 0.1}, "complete", 0.5)])
    found.status = "finished"
    TuningView().update(found, final=True)
    assert "<table" in cell[-1]["data"]["text/html"]
    here = render(found)
    assert "<table" not in here["text/html"] and "best val_loss 0.5000" in here["text/html"]
    assert here["text/plain"] == repr(found)
    get_ipython().execution_count += 1
    assert "<table" in render(found)["text/html"]
