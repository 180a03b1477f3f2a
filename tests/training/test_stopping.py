from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from models import mlp, wine
from safetensors.torch import load_file
from torch import nn

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.data import as_data
from maas_jupyter.errors import Conflict, InvalidInput, Unavailable
from maas_jupyter.runs import RunFolder, RunState
from maas_jupyter.training import TrainingOptions, TrainingPlan, fit


class Telling(nn.Module):
    """Calls a function at a training step of its own."""

    def __init__(self, at, tell):
        super().__init__()
        self.net, self.at, self.steps, self.tell = mlp(13, 3), at, 0, tell

    def forward(self, x):
        self.steps += self.training
        if self.training and self.steps == self.at:
            self.tell()
        return self.net(x)


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_ends_the_run_after_the_step_it_is_in(home):
    before = signal.getsignal(signal.SIGINT)
    net = Telling(20, interrupt)
    run = maas_jupyter.train(net, data=wine(), epochs=50, batch_size=16)
    assert run.status == "interrupted"
    assert (run.state.total_steps, run.state.epoch, run.state.step) == (20, 1, 8)
    assert torch.equal(load_file(run.checkpoint)["net.0.weight"], net.net[0].weight)
    assert signal.getsignal(signal.SIGINT) is before
    assert f"--resume {run.run_id[:8]}" in repr(run)


def test_a_second_interrupt_is_raised_at_once_and_the_last_checkpoint_stays(home):
    def twice():
        interrupt()
        interrupt()

    before = signal.getsignal(signal.SIGINT)
    net = Telling(30, twice)
    with pytest.raises(KeyboardInterrupt):
        maas_jupyter.train(net, data=wine(), epochs=50, batch_size=16, checkpoint_seconds=0)
    assert net.steps == 30
    assert signal.getsignal(signal.SIGINT) is before
    run = maas_jupyter.runs(limit=1)[0]
    assert run.status == "interrupted"
    assert (home / "runs" / run.run_id / "checkpoint" / "model.safetensors").exists()


def test_an_interrupt_that_is_ignored_on_purpose_stays_ignored(home):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert maas_jupyter.train(Telling(3, interrupt), data=wine(), epochs=1).status == "finished"
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_wish_to_stop_in_the_last_step_finishes_the_run(home):
    assert maas_jupyter.train(Telling(12, interrupt), data=wine(), epochs=1, batch_size=16).status == "finished"


def test_the_stop_file_ends_the_run(home):
    def leave_word():
        (folder,) = [path.parent for path in (home / "runs").glob("*/state.json") if '"name":"halted"' in _text(path)]
        RunFolder(home, folder.name).request_stop()

    X, y = wine()
    net = Telling(5, leave_word)
    run = maas_jupyter.train(net, data=(X, y), steps=10**9, name="halted")
    assert run.status == "interrupted"
    assert run.state.total_steps >= 5
    assert run.version is None
    # The word of yesterday does not stop the run of today.
    more = run.state.total_steps + 9
    assert maas_jupyter.train(Telling(0, interrupt), data=(X, y), resume=run, steps=more).status == "finished"


def _text(path):
    return path.read_text().replace(" ", "").replace("\n", "")


def test_an_event_ends_the_run(tmp_path):
    stop = threading.Event()
    net = Telling(7, stop.set)
    options = TrainingOptions(steps=10**9, batch_size=16)
    data = as_data(wine())
    state = RunState(run_id="r", name="n")
    plan = TrainingPlan.make(net, data, options)
    weights = fit(
        net,
        data,
        plan,
        val=None,
        options=options,
        state=state,
        observers=[],
        folder=RunFolder(tmp_path, "r"),
        stop=stop,
    )
    assert state.status == "interrupted"
    assert weights == tmp_path / "runs" / "r" / "checkpoint" / "model.safetensors"


def test_a_run_in_the_background_is_live_until_it_is_stopped(home):
    begun = threading.Event()
    run = maas_jupyter.train(Telling(5, begun.set), data=wine(), steps=10**9, background=True)
    assert begun.wait(60)
    assert run.status == "training"
    assert "training" in repr(run)
    with pytest.raises(Unavailable, match=r"goes on after 0\.01 s") as caught:
        run.wait(timeout=0.01)
    assert "run.stop()" in caught.value.hint
    with pytest.raises(Conflict, match="goes on") as caught:
        maas_jupyter.train(mlp(13, 3), data=wine(), resume=run)
    assert "interrupt" in caught.value.hint
    run.stop()
    assert run.wait() is run
    assert run.status == "interrupted"
    assert run.checkpoint.exists()
    assert next(row for row in maas_jupyter.runs() if row.run_id == run.run_id).status == "interrupted"


def test_a_run_in_the_background_registers_and_keeps_its_errors(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), val=wine(), epochs=2, name="behind", background=True).wait()
    assert run.status == "finished"
    assert run.version.reference.startswith("behind/")

    def fail():
        raise InvalidInput("The rows ran out.", hint="Bring more.")

    failed = maas_jupyter.train(Telling(9, fail), data=wine(), background=True)
    with pytest.raises(InvalidInput, match="The rows ran out"):
        failed.wait()
    assert failed.status == "failed"
    assert "The rows ran out." in repr(failed)
    assert RunFolder(home, failed.run_id).read().error.startswith("The rows ran out.")


def test_every_random_state_of_the_caller_is_left_alone(home):
    class Drawing(torch.utils.data.Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, row):
            return torch.rand(13) + np.random.rand() + random.random(), row % 3

    net = mlp(13, 3)
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    expected = (torch.rand(1), np.random.rand(), random.random())
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    maas_jupyter.train(net, data=torch.utils.data.DataLoader(Drawing(), batch_size=8, shuffle=True), epochs=1)
    assert (torch.rand(1), np.random.rand(), random.random()) == expected


WORKERS = """
import os, signal, sys
sys.path[:0] = {paths!r}
from models import mlp, wine
import torch, maas_jupyter
from torch.utils.data import DataLoader, TensorDataset

class Stopping(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net, self.steps = mlp(13, 3), 0
    def forward(self, x):
        self.steps += self.training
        if self.training and self.steps == 4:
            os.killpg(0, signal.SIGINT)
        return self.net(x)

if __name__ == "__main__":
    data = TensorDataset(*map(torch.tensor, wine()))
    loader = DataLoader(data, batch_size=16, num_workers=1, multiprocessing_context={context!r})
    run = maas_jupyter.train(Stopping(), data=loader, epochs=50)
    print(run.status, run.state.total_steps)
"""


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_an_interrupt_of_the_whole_process_group_ends_a_run_with_workers_in_order(home, context, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(WORKERS.format(paths=[str(Path(__file__).parents[1])], context=context))
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        start_new_session=True,
        env={**os.environ, "MAAS_HOME": str(home)},
        timeout=150,
    )
    status, steps = done.stdout.split()
    assert status == "interrupted", done.stderr
    assert 4 <= int(steps) < 600


def test_a_process_that_ends_stops_its_runs_in_the_background(home):
    code = f"""
import sys; sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
from models import mlp, wine
import maas_jupyter, time
run = maas_jupyter.train(mlp(13, 3), data=wine(), steps=10**9, background=True)
while not run.state.total_steps:
    time.sleep(0.01)
print(run.run_id)
"""
    environment = {**os.environ, "MAAS_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=150, check=True
    )
    state = RunFolder(config.current().home_path, done.stdout.strip()).read()
    assert state.status == "interrupted"
    assert Path(state.checkpoint).exists()
