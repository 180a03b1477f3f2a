import os
import socket

import pytest

from maas_jupyter.monitoring import RecentRuns
from maas_jupyter.monitoring.runs import ENDED, LOSS_POINTS
from maas_jupyter.runs import Best, Curve, RunFolder, RunState


@pytest.fixture
def write(tmp_path):
    """Write the state of a run, changed later than all before it."""
    times = iter(range(1_000, 1_000_000))

    def write(run_id, **fields):
        folder = RunFolder(tmp_path, run_id)
        folder.write(RunState(run_id=run_id, **{"name": "digits", "status": "finished", **fields}))
        moment = next(times)
        os.utime(folder.path / "state.json", (moment, moment))
        return folder

    return write


@pytest.fixture
def runs(tmp_path):
    return RecentRuns(tmp_path)


def test_there_are_none_where_nothing_was_trained(runs):
    assert runs() == []


def test_a_run_under_way(runs, write):
    loss = Curve()
    for step in range(1000):
        loss.add(step / 100, 1000.0 - step)
    write(
        "r1",
        status="training",
        epochs=20,
        epoch=10,
        steps=100,
        step=50,
        rows_per_second=1234.5,
        remaining=61.5,
        curves={"loss": loss},
        best=Best(9, "val_accuracy", 0.97),
        started=5.0,
        pid=os.getpid(),
        host=socket.gethostname(),
    )
    (row,) = runs()
    assert (row.run_id, row.name, row.verb, row.status) == ("r1", "digits", "train", "training")
    assert (row.fraction, row.epoch, row.epochs) == (0.525, 10, 20)
    assert (row.rows_per_second, row.remaining) == (1234.5, 61.5)
    assert (row.metric_name, row.metric) == ("val_accuracy", 0.97)
    assert len(row.loss) == LOSS_POINTS
    assert row.loss == sorted(row.loss, reverse=True)
    assert sum(row.loss) / LOSS_POINTS == pytest.approx(500, rel=0.02)
    assert not row.stopping


def test_a_short_curve_has_all_its_points(runs, write):
    loss = Curve()
    for value in (3.0, 2.0, 1.0):
        loss.add(value, value)
    write("r1", curves={"loss": loss})
    (row,) = runs()
    assert (row.loss, row.metric_name, row.metric) == ([3.0, 2.0, 1.0], "loss", 1.0)


def test_a_run_that_has_measured_nothing(runs, write):
    write("r1")
    (row,) = runs()
    assert (row.loss, row.metric_name, row.metric) == ([], None, None)


def test_the_active_ones_come_first_in_an_order_that_stays(runs, write):
    write("a1", status="training", started=1.0)
    write("e1")
    write("a2", status="training", started=2.0)
    write("e2")
    write("a1", status="training", started=1.0)
    assert [row.run_id for row in runs()] == ["a2", "a1", "e2", "e1"]


def test_old_runs_that_ended_are_left_out(runs, write):
    for number in range(ENDED + 5):
        write(f"e{number}", status="failed", error="because")
    rows = runs()
    assert [row.run_id for row in rows] == [f"e{number}" for number in range(ENDED + 4, 4, -1)]
    assert {row.error for row in rows} == {"because"}


def test_one_that_is_asked_to_stop(runs, write):
    write("r1", status="training").request_stop()
    write("r2").request_stop()
    assert {row.run_id: row.stopping for row in runs()} == {"r1": True, "r2": False}


def test_a_damaged_state_is_shown_and_hides_no_other(runs, write):
    write("r1")
    (write("r2").path / "state.json").write_text("{")
    damaged, sound = sorted(runs(), key=lambda row: row.status != "failed")
    assert (damaged.run_id, damaged.name) == ("r2", "r2")
    assert "not a valid RunState" in damaged.error
    assert sound.run_id == "r1"
