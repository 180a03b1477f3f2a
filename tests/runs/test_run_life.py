"""Whether a run lives: its process, and what there is of it where the process cannot be seen."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

from run_states import run_state

from maas_jupyter.runs import RunFolder, last_run, lives


def test_a_process_that_got_the_number_of_a_run_is_not_the_run(tmp_path):
    folder = RunFolder(tmp_path, "one")
    folder.write(run_state("one", status="training", pid=os.getpid(), host=socket.gethostname()))
    folder.beat()
    assert folder.read().status == "training"
    long_ago = time.time() - 1e6
    os.utime(folder.path / "alive", (long_ago, long_ago))
    assert folder.read().status == "failed"


def test_a_process_that_nobody_buried_is_dead(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert not lives(process.pid, socket.gethostname(), tmp_path)
    finally:
        process.wait()


def test_a_run_on_another_machine_lives_by_its_signs(tmp_path):
    assert lives(1, "a container that was replaced", tmp_path)
    folder = RunFolder(tmp_path, "two")
    folder.write(run_state("two", status="training", pid=1, host="a container that was replaced"))
    folder.beat()
    assert folder.read().status == "training"
    silent = time.time() - 3600
    os.utime(folder.path / "alive", (silent, silent))
    assert folder.read().status == "failed"


def test_the_last_run_goes_on_or_ended_last(tmp_path):
    here = {"pid": os.getpid(), "host": socket.gethostname()}
    assert last_run(tmp_path) is None
    RunFolder(tmp_path, "late").write(run_state("late", started=300.0, updated=310.0))
    RunFolder(tmp_path, "resumed").write(run_state("resumed", started=100.0, updated=400.0))
    assert last_run(tmp_path).run_id == "resumed"
    RunFolder(tmp_path, "search").write(run_state("search", started=50.0, status="training", verb="tune", **here))
    assert last_run(tmp_path).run_id == "search"
    assert last_run(tmp_path, verb="train").run_id == "resumed"
    (tmp_path / "runs" / "late" / "state.json").write_bytes(b"{")
    assert last_run(tmp_path).run_id == "search"


def test_the_line_that_goes_on_with_a_run():
    state = run_state(status="interrupted", line="%maas train net --data train --resume last", checkpoint="model")
    assert state.resume_line == f"%maas train net --data train --resume {state.run_id[:8]}"
    state.line = ""
    assert state.resume_line == f"the same call of train with --resume {state.run_id[:8]}"
    state.checkpoint = ""
    assert state.resume_line == ""
    search = run_state(status="interrupted", verb="tune", line="%maas tune net --data d --space lr=1,2")
    assert search.resume_line == "%maas tune net --data d --space lr=1,2 --study digits --resume"
    search.line = search.resume_line
    assert search.resume_line == search.line
