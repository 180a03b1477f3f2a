"""What goes wrong while a model trains: numbers that are none, memory and disks that are full."""

from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
import torch
from loops import trained
from models import diabetes, mlp, wine
from safetensors.torch import load_file
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.errors import TrainingError
from maas_jupyter.training import checkpoint as checkpoints


def test_nan_in_the_inputs_is_counted_before_anything_is_learned():
    X, y = wine()
    X[5, 3] = X[9, 3] = X[100, 12] = np.nan
    net = mlp(13, 3)
    before = net[0].weight.clone()
    with pytest.raises(TrainingError, match=r"The loss became nan at step 1 \(epoch 1\)") as caught:
        trained(net, (X, y), batch_size=178)
    assert "3 of the inputs in the data are NaN or infinite (columns 3, 12)" in caught.value.message
    assert "Clean the data" in caught.value.hint
    assert torch.equal(before, net[0].weight)


def test_nan_in_a_batch_of_a_loader_is_counted(home):
    X, y = wine()
    X[177] = np.inf
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=89)
    with pytest.raises(TrainingError, match="at step 2") as caught:
        maas_jupyter.train(mlp(13, 3), data=loader)
    assert "13 of the inputs of this batch" in caught.value.message


class Exploding(nn.Module):
    """Answers with infinity from a step of its own on."""

    def __init__(self, at):
        super().__init__()
        self.net, self.at, self.steps = mlp(13, 3), at, 0

    def forward(self, x):
        self.steps += self.training
        return self.net(x) * (float("inf") if self.training and self.steps >= self.at else 1.0)


def test_the_last_good_checkpoint_is_named_and_can_be_resumed_with_a_lower_rate(home):
    with pytest.raises(TrainingError, match="at step 30") as caught:
        maas_jupyter.train(Exploding(30), data=wine(), batch_size=16, epochs=9, checkpoint_seconds=0, clip=5.0)
    assert "the learning rate 0.001 is too high" in caught.value.message
    assert "the last gradient had the norm" in caught.value.message
    run = maas_jupyter.runs(limit=1)[0]
    assert run.status == "failed"
    assert f"--resume {run.run_id[:8]}" in caught.value.hint
    kept = home / "runs" / run.run_id / "checkpoint" / "model.safetensors"
    assert str(kept) in caught.value.hint
    assert all(bool(torch.isfinite(value).all()) for value in load_file(kept).values())
    resumed = maas_jupyter.train(Exploding(10**9), data=wine(), resume=run.run_id, lr=1e-4)
    assert resumed.status == "finished"
    assert any("lr 0.0001 instead of None" in note for note in resumed.state.notes)


def test_weights_that_are_no_numbers_are_never_kept(home):
    class Poisoned(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.unused = nn.Linear(10, 1), nn.Parameter(torch.zeros(1))

        def forward(self, x):
            if self.training:
                self.unused.data.fill_(float("nan"))
            return self.net(x)

    with pytest.raises(TrainingError, match="The parameter 'unused' became NaN or infinite"):
        maas_jupyter.train(Poisoned(), data=diabetes(), epochs=1)
    run = maas_jupyter.runs(limit=1)[0]
    assert not (home / "runs" / run.run_id / "checkpoint").exists()


def test_a_validation_loss_that_is_no_number_is_a_warning_and_no_best_epoch(home):
    X, y = diabetes()
    bad = X.copy()
    bad[0] = np.nan
    val = DataLoader(TensorDataset(torch.tensor(bad), torch.tensor(y)), batch_size=64)
    run = maas_jupyter.train(nn.Linear(10, 1), data=(X, y), val=val, epochs=2)
    assert run.status == "finished"
    assert run.state.best is None
    assert "val_loss" not in run.metrics
    assert "warning: val_loss is not a number since epoch 1" in repr(run)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
)
def test_memory_that_is_used_up_says_what_to_lower(home, error):
    class Hungry(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp(13, 3)

        def forward(self, x):
            if self.training:
                raise error
            return self.net(x)

    with pytest.raises(TrainingError, match="memory of cpu is used up at step 1, with batches of 64 rows") as caught:
        maas_jupyter.train(Hungry(), data=wine(), batch_size=64)
    assert "--batch-size 32 with --accumulate 2" in caught.value.hint
    assert "--max-length" in caught.value.hint
    assert maas_jupyter.runs(limit=1)[0].status == "failed"


@pytest.mark.skipif(os.name != "posix", reason="mounts a tmpfs")
def test_on_a_full_disk_the_training_goes_on_and_says_that_it_cannot_save(home, small_disk, monkeypatch):
    # The registry lies elsewhere; only the runs are on the small disk.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", config.current().resolved_registry_uri)
    maas_jupyter.runs(limit=1)
    monkeypatch.setenv("MAAS_HOME", str(small_disk))
    X, y = wine()
    large = nn.Sequential(nn.Linear(13, 20_000), nn.ReLU(), nn.Linear(20_000, 3))
    run = maas_jupyter.train(large, data=(X, y), val=(X, y), epochs=2)
    assert run.status == "finished"
    assert run.checkpoint is None
    assert "warning: cannot save a checkpoint (" in repr(run)
    assert "No space left" in repr(run)
    assert not list((small_disk / "runs" / run.run_id).glob("*checkpoint*"))
    assert run.metrics["val_accuracy"] > 0.5
    row = next(row for row in maas_jupyter.runs() if row.run_id == run.run_id)
    assert row.status == "finished"
    # Not a byte left: the state and the points cannot be written either.
    with (small_disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 512)
    run = maas_jupyter.train(mlp(13, 3), data=(X, y), epochs=2)
    assert run.status == "finished"
    assert "cannot save a checkpoint" in repr(run)
    assert "cannot write the run's state" in repr(run)
    row = next(row for row in maas_jupyter.runs() if row.run_id == run.run_id)
    assert row.metrics["loss"] == run.metrics["loss"]


def _failing(monkeypatch, fails):
    written, calls = checkpoints.save_file, []

    def sometimes(tensors, path, **options):
        calls.append(path)
        if fails(len(calls)):
            raise OSError(28, "No space left on device")
        written(tensors, path, **options)

    monkeypatch.setattr(checkpoints, "save_file", sometimes)


def test_a_warning_is_taken_back_when_the_disk_has_room_again(home, monkeypatch):
    _failing(monkeypatch, lambda call: call == 1)
    net = mlp(13, 3)
    run = maas_jupyter.train(net, data=wine(), steps=30, checkpoint_seconds=0)
    assert run.warnings == []
    assert torch.equal(load_file(run.checkpoint)["0.weight"], net[0].weight)


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one(home, monkeypatch):
    # Two files a checkpoint: the second one's second file fails, as do all after it.
    _failing(monkeypatch, lambda call: call >= 4)
    net = mlp(13, 3)
    run = maas_jupyter.train(net, data=wine(), steps=30, checkpoint_seconds=0)
    assert (run.status, run.checkpoint) == ("finished", None)
    assert "cannot save a checkpoint (No space left on device): the training goes on; the last good one stays" in repr(
        run
    )
    kept = load_file(run.state.checkpoint)
    assert not torch.equal(kept["0.weight"], net[0].weight)
    assert not list((home / "runs" / run.run_id).glob(".checkpoint*"))
    monkeypatch.undo()
    monkeypatch.setenv("MAAS_HOME", str(home))
    whole, again = mlp(13, 3), mlp(13, 3)
    maas_jupyter.train(whole, data=wine(), steps=30)
    maas_jupyter.train(again, data=wine(), resume=run)
    assert torch.equal(whole[0].weight, again[0].weight)


def test_a_checkpoint_that_was_being_replaced_when_the_process_died_is_found(home):
    run = maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    folder = run.checkpoint.parent.parent
    (folder / "checkpoint").rename(folder / ".checkpoint.old")
    (folder / ".checkpoint.0123").mkdir()
    assert maas_jupyter.train(mlp(13, 3), data=wine(), resume=run, epochs=2).status == "finished"
    assert not list(folder.glob(".checkpoint*"))


def test_a_loss_that_ends_far_above_its_beginning_is_a_warning():
    state, _, _ = trained(mlp(13, 3), wine(), lr=1e6, epochs=2)
    assert state.status == "finished"
    (warning,) = state.warnings
    assert "far above" in warning
    assert "Lower --lr (it is 1e+06) or add --clip 1" in warning
    state, _, _ = trained(mlp(13, 3), wine(), epochs=2)
    assert state.warnings == []


def test_patience_without_validation_rows_says_what_it_watches():
    _, plan, _ = trained(mlp(13, 3), wine(), epochs=1, patience=3)
    assert any("--patience watches the loss of the training rows" in note for note in plan.notes)
    _, plan, _ = trained(mlp(13, 3), wine(), wine(), epochs=1, patience=3)
    assert not any("--patience" in note for note in plan.notes)
