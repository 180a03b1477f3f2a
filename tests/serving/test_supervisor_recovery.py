"""Workers that restart, or end, with something in their way."""

# ruff: noqa: F811  fixtures of another file

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys

import pytest
from bundles import Bundles, linear_softmax
from control_parts import quarantined
from supervised import ROW, Caller, Load, exists, until
from test_supervisor_process import moods, moody_bundle, server, start  # noqa: F401

from maas_jupyter.errors import BundleError
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.supervisor import worker
from maas_jupyter.serving.supervisor.accept import Shares
from maas_jupyter.serving.supervisor.base import Setup
from maas_jupyter.serving.supervisor.channel import PeerEnded
from maas_jupyter.serving.supervisor.launch import share_memory


def statuses(server, name="digits", number=24):
    """Ask over many connections, which the workers share; return the answers' status codes."""
    found = set()
    callers = [Caller(server.record) for _ in range(number)]
    for caller in callers:
        found.add(caller.ask("POST", f"/v2/models/{name}/infer", ROW)[0])
    for caller in callers:
        caller._http.close()
    return found


def rows_of(server, name):
    with server.client() as client:
        return client.model_status(name).versions


def row_of(server, name="digits"):
    (row,) = rows_of(server, name)
    return row


def replace_a_worker(server):
    """Kill a worker and wait for its successor; return the worker that stayed."""
    first, second = server.ready(2)
    os.kill(first, signal.SIGKILL)
    until(lambda: not exists(first))
    server.ready(2)
    return second


def test_what_a_restarted_worker_cannot_load_is_known_and_published_again(server, bundles, tmp_path):
    folder = tmp_path / "made" / "1"
    stored = server.home / "bundles" / Bundles.digest(folder) / "model.onnx"
    stored.write_bytes(stored.read_bytes()[:-1] + b"x")
    replace_a_worker(server)
    until(lambda: row_of(server).state == "failed")
    assert "Not every worker has it" in row_of(server).reason
    assert statuses(server) == {200, 503}
    server.publish("digits", "1", folder)
    assert (row_of(server).state, row_of(server).reason) == ("ready", "")
    assert statuses(server) == {200}
    with server.client() as client:
        assert [entry.action for entry in client.history("digits")] == ["publish"]


def test_a_worker_that_loads_everything_mends_the_status(server, bundles, tmp_path):
    folder = tmp_path / "made" / "1"
    stored = server.home / "bundles" / Bundles.digest(folder)
    hidden = stored.with_name(".hidden")
    stored.rename(hidden)
    stayed = replace_a_worker(server)
    until(lambda: row_of(server).state == "failed")
    hidden.rename(stored)
    (lacking,) = set(server.ready(2)) - {stayed}
    os.kill(lacking, signal.SIGKILL)
    until(lambda: not exists(lacking))
    server.ready(2)
    until(lambda: row_of(server).state == "ready")
    assert statuses(server) == {200}


def test_a_worker_that_lacks_a_version_is_let_load_it_again(start, moods, tmp_path, bundles):
    server = start("--workers", "2", environment={"PYTHONPATH": str(tmp_path / "installed")})
    moods.are("refuse once in the server")
    server.publish("odd", "1", moody_bundle(bundles))
    moods.will_once()
    stayed = replace_a_worker(server)
    until(lambda: row_of(server, "odd").state == "failed")
    assert "short of memory" in row_of(server, "odd").reason
    until(lambda: row_of(server, "odd").state == "ready")
    assert stayed in server.workers()
    assert statuses(server, "odd") == {200}


def test_a_crash_at_a_restart_takes_the_model_from_no_healthy_worker(start, moods, tmp_path, bundles):
    server = start("--workers", "2", environment={"PYTHONPATH": str(tmp_path / "installed")})
    folder = moody_bundle(bundles)
    moods.are("abort once in the server")
    server.publish("odd", "1", folder)
    moods.will_once()
    stayed = replace_a_worker(server)
    until(lambda: row_of(server, "odd").state == "failed")
    assert "SIGABRT" in quarantined(server.home, Bundles.digest(folder))
    assert "It goes on serving where it is loaded." in row_of(server, "odd").reason
    assert stayed in server.workers()
    assert statuses(server, "odd") == {200, 503}
    server.publish("odd", "1", folder)
    assert row_of(server, "odd").state == "ready"
    assert statuses(server, "odd") == {200}


def test_a_bundle_that_hangs_in_the_workers_only(start, moods, tmp_path, bundles):
    server = start("--workers", "2", "--load-seconds", "4", environment={"PYTHONPATH": str(tmp_path / "installed")})
    server.publish("digits", "1", bundles.make(linear_softmax()))
    before = set(server.ready(2))
    folder = moody_bundle(bundles)
    moods.are("hang in the server")
    with Load(server.record, threads=2) as load:
        with pytest.raises(BundleError, match="within 4 s"):
            server.publish("digits", "2", folder)
        until(lambda: not before & set(server.workers()))  # a thread that never ends is got rid of with its process
        server.ready(2)
        load.more(20)
    assert not load.cut
    assert set(load.answers) == {200}
    assert "within 4 s" in quarantined(server.home, Bundles.digest(folder))
    states = [(row.version, row.state) for row in rows_of(server, "digits")]
    assert states == [("1", "ready"), ("2", "failed")]


def test_a_bundle_that_hangs_in_a_worker_that_starts(start, moods, tmp_path, bundles):
    server = start("--workers", "2", "--load-seconds", "4", environment={"PYTHONPATH": str(tmp_path / "installed")})
    moods.are("abort once in the server")
    folder = moody_bundle(bundles)
    server.publish("odd", "1", folder)
    moods.are("hang in the server")
    first, second = server.ready(2)
    os.kill(first, signal.SIGKILL)
    until(lambda: row_of(server, "odd").state == "failed")
    until(lambda: "within 4 s" in quarantined(server.home, Bundles.digest(folder)))
    server.ready(2)
    assert second in server.workers()
    assert statuses(server, "odd") == {200, 503}


def test_a_report_that_fails_is_not_the_last_one(tmp_path, monkeypatch):
    monkeypatch.setattr(worker, "REPORT_SECONDS", 0.001)

    class Supervisor:
        reports = 0

        async def report(self, counts):
            self.reports += 1
            if self.reports < 3:
                raise OSError(24, "Too many open files")
            if self.reports == 5:
                raise PeerEnded("The supervisor has ended.")

    async def scenario(listening, shares):
        options = ServerOptions(home=str(tmp_path / "home"))
        made = worker.Worker(Setup(options, [], None, 0, False), listening, Shares(shares))
        made.channel = Supervisor()
        await made._report()
        assert made.channel.reports == 5

    shares = share_memory(1)
    with socket.socket() as listening:
        asyncio.run(scenario(listening, shares))
    os.close(shares)


def test_a_grpc_port_that_another_server_has_is_refused(start, tmp_path):
    server = start("--workers", "1", "--grpc-port", "0")
    port = server.record.grpc.rpartition(":")[2]
    command = [sys.executable, "-m", "maas_jupyter.serving", "--home", str(tmp_path / "other"), "--grpc-port", port]
    other = subprocess.run(command, capture_output=True, text=True)
    assert other.returncode == 1
    assert f"Port {port} of 127.0.0.1 is in use" in other.stderr
    server.process.kill()
    server.process.wait()
    server.arguments = ("--workers", "1", "--grpc-port", port)  # while the orphan is ending
    assert server.start().record.grpc == f"127.0.0.1:{port}"


# -- the end -----------------------------------------------------------------------------------------------------------


def test_the_end_comes_in_order_also_where_requests_never_do(start, moods, tmp_path, bundles):
    grpc = pytest.importorskip("grpc")
    from maas_jupyter.serving.protocols.grpc.messages import MESSAGES

    server = start("--workers", "1", "--grpc-port", "0", environment={"PYTHONPATH": str(tmp_path / "installed")})
    server.publish("digits", "1", bundles.make(linear_softmax()))
    moods.are("slow")
    server.publish("slow", "1", moody_bundle(bundles))
    with grpc.insecure_channel(server.record.grpc) as channel, Load(server.record, threads=1) as load:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        message = MESSAGES["ModelInferRequest"](model_name="slow")
        tensor = message.inputs.add(name="x", datatype="FP32", shape=[1, 4])
        tensor.contents.fp32_contents.extend([1, 0, 0, 0])
        authorization = [("authorization", f"Bearer {server.record.token}")]
        call = infer.future(message.SerializeToString(), metadata=authorization, timeout=60)
        until(moods.runs)
        waiting = Load(server.record, "slow", threads=1)
        with waiting:
            load.more(20)
            assert server.stop() == 0
            waiting._stop.set()
            load._stop.set()
        assert call.exception() is not None
    assert set(load.answers) == {200}
    assert "does not end and is killed" not in server.log()
