"""Workers that are forks of a process that has their imports done."""

# ruff: noqa: F811  fixtures of another file

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import socket
import sys
from pathlib import Path

import pytest
from bundles import linear_softmax
from supervised import Load, children, command, exists, open_files, until
from test_supervisor_process import server, start  # noqa: F401

from maas_jupyter.errors import BundleError
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.supervisor.forkserver import Launcher
from maas_jupyter.serving.supervisor.launch import share_memory

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
    assert not [path for path in open_files(pid) if "server.lock" in path]


def test_one_worker_that_speaks_grpc_is_no_fork(start):
    server = start("--workers", "1", "--grpc-port", "0")
    assert server.forkserver() is None
    assert server.ready(1) == children(server.process.pid)


def test_a_forked_worker_begins_with_nothing_but_what_it_was_sent(server):
    """No thread is lost in a fork, whatever it held; and what the libraries have open would be open in all forks."""
    (pid, _), parent = server.ready(2), server.forkserver()
    assert len(list(Path(f"/proc/{parent}/task").iterdir())) == 1
    own = open_files(parent)
    assert all(path.startswith(("socket:", "anon_inode:")) for path in own)
    inherited = {path for path in own if path.startswith("socket:")}
    assert not inherited & set(open_files(pid))


def test_the_runtime_reports_to_nobody(server):
    for pid in (server.forkserver(), *server.ready(2)):
        assert "ORT_DISABLE_TELEMETRY=1" in Path(f"/proc/{pid}/environ").read_text().split("\0")


@contextlib.contextmanager
def nobody_collects():
    """Make the ended orphans of a server stay, as where process 1 of a container waits for none."""
    prctl = ctypes.CDLL(None).prctl
    assert prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
    try:
        yield
    finally:
        prctl(36, 0, 0, 0, 0)


def test_orphans_that_nobody_collects_are_replaced_when_they_end(server):
    workers, parent = server.ready(2), server.forkserver()
    with nobody_collects():
        os.kill(parent, signal.SIGKILL)
        until(lambda: not exists(parent))
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not any(map(exists, workers)))
        assert not set(server.ready(2)) & set(workers)
        assert server.stop() == 0
        for pid in workers:
            os.waitpid(pid, 0)


def test_a_fork_server_that_hangs_keeps_no_worker_from_being_replaced(server):
    (first, second), parent = server.ready(2), server.forkserver()
    os.kill(parent, signal.SIGSTOP)
    os.kill(first, signal.SIGKILL)
    until(lambda: not exists(first) and not exists(parent))
    (successor,) = server.ready(1)  # beside the second one, an orphan now
    assert successor not in (first, second)
    assert exists(second)
    assert server.stop() == 0
    assert not exists(second)


@pytest.fixture
def launcher():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        shares = share_memory(1)
        launcher = Launcher(ServerOptions(home="unused", workers=2), listening, shares)
        yield launcher
        launcher.close()
        os.close(shares)


def test_a_worker_that_never_begins_can_be_given_up(launcher):
    (parent,) = until(lambda: [pid for pid in children(os.getpid()) if "forkserver" in command(pid)])
    os.kill(parent, signal.SIGSTOP)  # as where an import does not end
    launched = launcher()
    assert launched.process.poll() is None
    launched.process.kill()
    assert until(lambda: launched.process.poll() is not None)
    launched.channel.settimeout(60)
    assert launched.channel.recv(1) == b""
    launched.channel.close()
    following = launcher()  # not a fork
    assert following.process.poll() is None
    following.channel.close()
    assert following.process.wait() == 0


@pytest.mark.parametrize("trouble", ["raise ImportError('libgomp.so.1: cannot open shared object file')", "os.abort()"])
def test_a_runtime_that_cannot_be_imported_keeps_no_server_from_starting(start, tmp_path, bundles, trouble):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/onnxruntime.py").write_text(f"import os\n{trouble}\n")
    server = start("--workers", "5", "--threads", "1", environment={"PYTHONPATH": str(tmp_path / "broken")})
    assert len(server.ready(5)) == 5
    with pytest.raises(BundleError, match="libgomp" if "raise" in trouble else "SIGABRT"):
        server.publish("digits", "1", bundles.make(linear_softmax()))
    assert server.stop() == 0
