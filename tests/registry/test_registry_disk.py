"""The home lies on a disk that is full, read-only, or no place for a folder."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch
from models import mlp, wine
from torch import nn

import maas_jupyter
from maas_jupyter.errors import Unavailable

DISK_SIZE = "5m"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="mounts a tmpfs")


@pytest.fixture
def disk_home(small_disk, monkeypatch):
    home = small_disk / "home"
    monkeypatch.setenv("MAAS_HOME", str(home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    maas_jupyter.runs(limit=1)
    return home


def _large():
    return nn.Sequential(nn.Linear(13, 60_000), nn.ReLU(), nn.Linear(60_000, 3))


def test_a_full_disk_at_the_registration_keeps_the_run_and_clears_what_is_half_written(disk_home):
    net = _large()
    data = wine()
    (disk_home / "ballast").write_bytes(b"0" * 2_000_000)
    with pytest.raises(Unavailable, match="cannot be written: the disk is full") as caught:
        maas_jupyter.train(net, data=data, val=0.2, epochs=2, name="full")
    assert "MAAS_HOME" in caught.value.hint
    assert "The module is trained" in caught.value.hint
    assert not list(disk_home.glob("artifacts/**/model.onnx"))
    line = caught.value.hint.rpartition("%maas register ")[2]
    run_id, _, name = line.split()
    trained = net[0].weight.clone()
    (disk_home / "ballast").unlink()
    with pytest.raises(Unavailable, match="disk is full"):
        # Still too large: the run is not lost by another attempt.
        (disk_home / "ballast").write_bytes(b"0" * 2_000_000)
        maas_jupyter.register(run_id, name=name)
    (disk_home / "ballast").unlink()
    version = maas_jupyter.register(run_id, name=name)
    assert version.reference == "full/1"
    assert version.metrics["accuracy"] > 0.3
    assert torch.equal(net[0].weight, trained)


def test_a_database_without_room_is_one_error_and_nothing_is_logged(disk_home, fill, caplog):
    fill(disk_home)
    with caplog.at_level(logging.ERROR), pytest.raises(Unavailable, match=r"mlflow.db cannot be written: .*full") as at:
        maas_jupyter.train(mlp(13, 3), data=wine(), epochs=1)
    assert "autoflush" not in str(at.value)
    assert "MLFLOW_TRACKING_URI" not in at.value.hint
    assert [record for record in caplog.records if record.name.startswith("mlflow")] == []


def _maas(home, *words):
    code = "import sys; from maas_jupyter.cli import main; sys.argv[0] = 'maas'; main()"
    environment = {**os.environ, "MAAS_HOME": str(home)}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, env=environment)


def test_a_home_that_cannot_be_made_or_written_is_an_error_of_two_lines(small_disk, tmp_path, fill):
    (tmp_path / "file").write_text("no folder")
    (small_disk / "full").mkdir()
    fill(small_disk)
    for home, what in (
        (tmp_path / "file", "cannot be used: it is a file"),
        (tmp_path / "file" / "below", "cannot be used"),
        (small_disk / "full", "cannot be written: the disk is full"),
    ):
        done = _maas(home, "models")
        error, hint = [line for line in done.stderr.splitlines() if not line.startswith("opening")]
        assert (done.returncode, done.stdout) == (1, "")
        assert what in error
        assert "MAAS_HOME" in hint


def test_a_read_only_home_is_an_error_of_two_lines(small_disk):
    home = small_disk / "home"
    assert _maas(home, "models").returncode == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    done = _maas(home, "models")
    error, hint = [line for line in done.stderr.splitlines() if not line.startswith("opening")]
    assert "cannot be written: it is read-only" in error
    assert "MAAS_HOME" in hint
