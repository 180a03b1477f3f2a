from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from run_states import run_state

from maas_jupyter.errors import BundleError
from maas_jupyter.runs import RunFolder, run_folders


def test_a_state_is_read_as_it_was_written(tmp_path):
    folder = RunFolder(tmp_path, "one")
    assert folder.read() is None
    state = run_state("one")
    folder.write(state)
    assert RunFolder(tmp_path, "one").read() == state


def test_a_run_whose_process_is_gone_has_failed(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for run_id, pid, host, status in (
        ("gone", gone.pid, socket.gethostname(), "failed"),
        ("here", os.getpid(), socket.gethostname(), "training"),
        ("elsewhere", gone.pid, "another-machine", "training"),
    ):
        RunFolder(tmp_path, run_id).write(run_state(run_id, status="training", pid=pid, host=host))
        assert RunFolder(tmp_path, run_id).read().status == status
    assert "without a word" in RunFolder(tmp_path, "gone").read().error


def test_anybody_can_ask_it_to_stop_and_it_can_forget(tmp_path):
    assert not RunFolder(tmp_path, "one").stop_requested()
    RunFolder(tmp_path, "one").request_stop()
    assert RunFolder(tmp_path, "one").stop_requested()
    RunFolder(tmp_path, "one").clear_stop()
    RunFolder(tmp_path, "one").clear_stop()
    assert not RunFolder(tmp_path, "one").stop_requested()


def test_folders_come_in_the_order_of_their_last_change_and_only_with_a_state(tmp_path):
    assert list(run_folders(tmp_path)) == []
    for at, run_id in enumerate(("a", "b", "c")):
        folder = RunFolder(tmp_path, run_id)
        folder.write(run_state(run_id))
        os.utime(folder.path / "state.json", (at, at))
    RunFolder(tmp_path, "asked").request_stop()
    assert [folder.run_id for folder in run_folders(tmp_path)] == ["c", "b", "a"]


def test_a_damaged_state_is_named(tmp_path):
    folder = RunFolder(tmp_path, "one")
    folder.write(run_state("one"))
    (folder.path / "state.json").write_text('{"run_id": 3')
    with pytest.raises(BundleError, match=r"state\.json"):
        folder.read()
