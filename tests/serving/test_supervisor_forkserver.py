"""Workers that are forks of a process that has their imports done."""

# ruff: noqa: F811  fixtures of another file

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest
from supervised import Load, children, exists, until
from test_supervisor_process import server, start  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


def starts(server):
    """Return when each process of a server says it started."""
    lines = re.findall(r'maas_process_start_time_seconds\{[^}]*pid="(\d+)"[^}]*\} (\S+)', server.metrics())
    return {int(pid): float(seconds) for pid, seconds in lines}


def test_workers_are_forks_and_what_they_end_with_is_known(server):
    first, second = server.ready(2)
    assert {first, second} == set(children(server.forkserver()))
    os.kill(first, signal.SIGABRT)
    until(lambda: not exists(first))
    (successor,) = set(server.ready(2)) - {second}
    assert f"worker {first} ended (SIGABRT)" in server.log()
    assert successor in children(server.forkserver())
    found = starts(server)
    assert found[successor] > found[second]
    assert found[second] > found[server.process.pid]


def test_workers_do_not_depend_on_what_forked_them(server):
    workers, parent = server.ready(2), server.forkserver()
    with Load(server.record, threads=2) as load:
        os.kill(parent, signal.SIGKILL)
        until(lambda: not exists(parent))
        load.more(20)
    assert not load.cut
    assert set(load.answers) == {200}
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: not exists(pid))
    successors = until(lambda: [pid for pid in children(server.process.pid) if pid != parent and exists(pid)])
    until(lambda: len(server.ready(2)) == 2)
    assert successors
    with Load(server.record, threads=2) as load:
        load.more(20)
    assert set(load.answers) == {200}
    assert server.stop() == 0


def test_nothing_is_left_of_a_server_that_ended(server):
    parent = server.forkserver()
    assert server.stop() == 0
    assert not exists(parent)


def test_nothing_is_left_of_a_server_that_was_killed(server):
    parent, workers = server.forkserver(), server.ready(2)
    server.process.kill()
    server.process.wait()
    until(lambda: not any(map(exists, [parent, *workers])))


def test_a_forked_worker_holds_nothing_but_its_own(server):
    """Its channel, the listening socket and the shares were sent to it; the supervisor's other descriptors were not."""
    (pid, _) = server.ready(2)
    open_files = {str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert not {path for path in open_files if "server.lock" in path}


def test_one_worker_that_speaks_grpc_is_no_fork(start):
    server = start("--workers", "1", "--grpc-port", "0")
    assert server.forkserver() is None
    assert server.ready(1) == children(server.process.pid)
