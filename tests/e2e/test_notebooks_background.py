"""A training that goes on behind other cells, in a real kernel."""

from __future__ import annotations

from pathlib import Path

from kernels import kernel

SETUP = """
import sys; sys.path.insert(0, {tests!r})
from models import mlp, wine
import torch
net, data = mlp(13, 3), wine()
"""


def test_other_cells_run_while_a_training_goes_on_and_it_stops_and_resumes(own_home):
    with kernel() as notebook:
        notebook.run(SETUP.format(tests=str(Path(__file__).parents[1])))
        begun = notebook.run("run = %maas train net --data data --steps 1000000000 --background")
        assert begun.status == "ok", begun.error
        steps = "run.state.total_steps"
        moved = notebook.run(f"import time\nbefore = {steps}\nwhile {steps} <= before: time.sleep(0.01)\nrun.status")
        assert moved.status == "ok", moved.error
        assert "training" in moved.text
        # What the training draws stays in the cell that began it.
        assert "epoch" not in notebook.value("1 + 1")
        stopped = notebook.run("run.stop(); run.wait()")
        assert stopped.status == "ok", stopped.error
        assert "interrupted" in stopped.text
        reached = int(notebook.value("run.state.total_steps"))
        resumed = notebook.run(f"again = %maas train net --data data --resume run --steps {reached + 50}")
        assert resumed.status == "ok", resumed.error
        assert notebook.value("(again.run_id == run.run_id, again.status, again.state.total_steps)") == (
            f"(True, 'finished', {reached + 50})"
        )


def test_a_failure_in_the_background_is_raised_by_wait(own_home):
    with kernel() as notebook:
        notebook.run(SETUP.format(tests=str(Path(__file__).parents[1])))
        notebook.run("net.register_forward_hook(lambda m, i, o: o * float('nan') if m.training else o)")
        assert notebook.run("run = %maas train net --data data --background").status == "ok"
        failed = notebook.run("run.wait()")
        assert failed.status == "error"
        assert "TrainingError" in failed.error
        assert "The loss became nan at step 1" in failed.error
