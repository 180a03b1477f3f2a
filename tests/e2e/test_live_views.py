"""The live view of a run through real kernels: in its own cell, and in the cell of another notebook."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from kernels import kernel

#: A training as its views see it: the state in its folder, twice a second in life, here at every epoch.
RUN = """
import os, socket, time
from maas_jupyter import config
from maas_jupyter.runs import Curve, RunFolder, RunState
from maas_jupyter.widgets.training import TrainingView

folder, view = RunFolder(config.current().home_path, "{run_id}"), TrainingView("digits")
state = RunState(run_id="{run_id}", name="digits", epochs=100_000, pid=os.getpid(), host=socket.gethostname())
state.started = time.time()
curve = state.curves["loss"] = Curve()
folder.write(state)
while not folder.stop_requested() and not ({until}):
    state.epoch += 1
    curve.add(state.epoch, 1 / state.epoch)
    view.update(state)
    if state.epoch % 20 == 0:
        folder.write(state)
    time.sleep(0.005)
state.status = "interrupted" if folder.stop_requested() else "finished"
folder.write(state)
view.update(state, final=True)
"""

TRAINING = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from models import mlp, wine
net, data = mlp(13, 3), wine()
"""


@pytest.fixture
def busy(own_home):
    """A notebook whose kernel is busy with a run, and what its cell shows in the end."""
    shown, going = [], threading.Event()
    with kernel() as notebook:
        code = RUN.format(run_id="busy", until="False")
        thread = threading.Thread(
            target=lambda: shown.append(notebook.run(code, on_update=lambda text: going.set())), daemon=True
        )
        thread.start()
        assert going.wait(60)
        yield thread, shown
        (own_home / "runs" / "busy" / "stop").touch()
        thread.join(60)


def test_another_notebook_attaches_and_stops_a_run_whose_kernel_is_busy(busy):
    thread, shown = busy
    with kernel() as other, kernel() as third:
        attached, seen = [], threading.Event()

        def follow():
            attached.append(other.run("%maas attach last", on_update=lambda text: seen.set()))

        follower = threading.Thread(target=follow)
        follower.start()
        assert seen.wait(60)
        stopped = third.run("%maas interrupt busy")
        assert stopped.status == "ok", stopped.error
        assert "stopped in epoch" in stopped.text
        follower.join(60)
        thread.join(60)
        (there,) = attached
        assert there.status == "ok", there.error
        for cell in (there, *shown):
            last = cell.updates[-1]
            assert "digits interrupted" in last["text/plain"]
            assert "data:image/svg+xml;base64," in last["text/html"]
            for forbidden in ("<script", "<button", "onclick"):
                assert forbidden not in last["text/html"]
            assert any(update["text/plain"].startswith("%maas attach") for update in cell.updates)
        again = other.run("%maas attach busy")
        assert "digits interrupted" in again.bundles[-1]["text/plain"]
        assert again.updates == []


def test_interrupting_the_attached_cell_leaves_the_run_alone(busy):
    thread, _ = busy
    with kernel() as other:
        pressed = threading.Event()

        def press(text):
            if "digits training" in text and not pressed.is_set():
                pressed.set()
                other.manager.interrupt_kernel()

        left = other.run("%maas attach busy", on_update=press)
        assert left.status == "ok", left.error
        assert "goes on: %maas attach busy" in left.updates[-1]["text/plain"]
        assert thread.is_alive()


def test_updates_are_throttled_and_what_is_saved_is_small(own_home):
    with kernel() as notebook:
        began = time.monotonic()
        shown = notebook.run(RUN.format(run_id="short", until="state.epoch == 600"))
        seconds = time.monotonic() - began
        assert shown.status == "ok", shown.error
        assert "digits finished · epoch 600 of 100000" in shown.updates[-1]["text/plain"]
        # 600 epochs were offered; the button's end and the final picture come in any case.
        assert 3 < len(shown.updates) <= 10 * seconds + 2
        assert max(len(bundle.get("text/html", "")) for bundle in shown.updates) < 50_000


def test_a_run_in_the_background_is_live_in_its_cell_and_in_another_notebook(own_home):
    with kernel() as notebook, kernel() as other:
        assert notebook.run(TRAINING).status == "ok"
        begun = notebook.run("run = %maas train net --data data --val data --epochs 100000 --background")
        assert begun.status == "ok", begun.error
        assert notebook.value("run.status") == "training"
        listed = other.run("%maas runs --status training")
        assert "epoch" in listed.text
        seen = threading.Event()
        attached = []
        follower = threading.Thread(
            target=lambda: attached.append(other.run("%maas attach last", on_update=lambda text: seen.set()))
        )
        follower.start()
        assert seen.wait(60)
        stopped = notebook.run("%maas interrupt {run.run_id[:8]}")
        assert "--resume" in stopped.text
        follower.join(60)
        assert "interrupted" in attached[0].updates[-1]["text/plain"]
        later = notebook.run("run")
        assert "data:image/svg+xml;base64," in later.bundles[-1]["text/html"]
