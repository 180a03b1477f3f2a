"""The whole server as processes: workers that die, are replaced and renewed; a supervisor that is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
from pathlib import Path

import pytest
from bundles import Bundles, linear_softmax, two_inputs
from control_parts import Moods, quarantined
from supervised import Caller, Load, Server, exists, open_files, until

from maas_jupyter.errors import BundleError, Unavailable
from maas_jupyter.serving.record import record_path

#: How many workers are killed under load.
KILLS = int(os.environ.get("MAAS_TEST_KILLS", "3"))
#: How many times all workers are replaced under load.
RELOADS = int(os.environ.get("MAAS_TEST_RELOADS", "1"))


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a server with two workers, or as the arguments say."""
    servers = []

    def start(*arguments, **options):
        servers.append(Server(tmp_path / "server", *(arguments or ("--workers", "2", "--threads", "1")), **options))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(start, bundles):
    """Two workers, and a classifier published as digits/1."""
    server = start()
    server.publish("digits", "1", bundles.make(linear_softmax()))
    return server


def requests_counted(server, code=200):
    """Return the sum of the requests' counter over models and protocols."""
    lines = [line for line in server.metrics().splitlines() if line.startswith("maas_requests_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if f'code="{code}"' in line)


def test_a_publish_is_served_by_every_worker(server):
    first, second = server.ready(2)
    for stopped in (first, second):
        os.kill(stopped, signal.SIGSTOP)
        try:
            with Load(server.record, threads=2) as load:
                load.more(20)
        finally:
            os.kill(stopped, signal.SIGCONT)
        assert set(load.answers) == {200}


def test_connections_are_shared_out(server):
    workers = server.ready(2)
    before = {pid: open_sockets(pid) for pid in workers}
    callers = [Caller(server.record) for _ in range(30)]
    for caller in callers:
        assert caller.ask("GET", "/v2")[0] == 200
    counts = [open_sockets(pid) - before[pid] for pid in workers]
    assert min(counts) >= 10, counts
    for caller in callers:
        caller._http.close()


def open_sockets(pid):
    return sum(path.startswith("socket:") for path in open_files(pid))


def test_metrics_are_summed_over_the_workers(server):
    with Load(server.record, threads=4, kept=False) as load:
        load.more(200)
    assert not load.cut
    assert requests_counted(server) == load.answers[200]
    roles = [line for line in server.metrics().splitlines() if line.startswith("maas_process_resident_memory_bytes")]
    assert sorted(line.partition('role="')[2].partition('"')[0] for line in roles) == ["supervisor", "worker", "worker"]
    assert {f'pid="{pid}"' in "".join(roles) for pid in [*server.workers(), server.process.pid]} == {True}
    assert 'maas_loaded_versions{model="digits"} 1.0' in server.metrics()


def test_workers_killed_under_load(server):
    random.seed(7)
    threads = 4
    with Load(server.record, threads=threads) as load:
        for _ in range(KILLS):
            load.more(50)
            pid = random.choice(server.ready(2))
            os.kill(pid, signal.SIGKILL)
            load.more(50)
            until(lambda pid=pid: pid not in server.workers())
        server.ready(2)
        load.more(50)
    assert not load.broken
    assert set(load.answers) == {200}
    # Nothing but what was in flight in the worker that died.
    assert len(load.cut) <= KILLS * threads


@pytest.mark.long
def test_twenty_workers_killed_under_load(server, monkeypatch):
    monkeypatch.setattr("test_supervisor_process.KILLS", 20)
    test_workers_killed_under_load(server)


def test_counts_outlive_their_worker(server):
    with Load(server.record, threads=2) as load:
        load.more(100)
    before = requests_counted(server)  # every worker has said what it counted
    assert before == load.answers[200]
    for pid in server.ready(2):
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: not exists(pid))
    server.ready(2)
    assert requests_counted(server) == before


def test_counts_of_versions_that_are_gone_stay_also_those_of_workers_that_ended(server, bundles):
    with Load(server.record, threads=2) as load:
        load.more(50)
    first = load.answers[200]
    assert requests_counted(server) == first  # every worker has said what it counted
    for pid in server.ready(2):
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: not exists(pid))
    server.ready(2)
    server.publish("digits", "2", bundles.make(linear_softmax(2)))
    with Load(server.record, threads=2) as load:
        load.more(50)
    both = first + load.answers[200]
    assert requests_counted(server) == both
    assert f'maas_request_duration_seconds_count{{model="digits",version="1"}} {first:.1f}' in server.metrics()
    assert 'maas_queue_depth{model="digits",version="1"}' not in server.metrics()
    with server.client() as client:
        client.unpublish("digits")
    assert requests_counted(server) == both
    assert "maas_loaded_versions{" not in server.metrics()


def test_a_killed_supervisor_takes_its_workers_along_and_all_comes_back(start, bundles):
    port = free_port()
    server = start("--workers", "2", "--port", str(port))
    client = server.client()
    client.publish("digits", "1", bundles.make(linear_softmax()))
    client.publish("digits", "2", bundles.make(linear_softmax(2)), canary=20)
    client.publish("pair", "7", bundles.make(two_inputs()))
    before, history = client.status().models, client.history("digits")
    workers = server.workers()
    server.process.kill()
    server.process.wait()
    server.start()  # on the same port, while the orphans are ending
    until(lambda: not any(map(exists, workers)))
    client = server.client()
    assert client.status().models == before
    assert client.history("digits") == history
    assert {row.state for model in before for row in model.versions} == {"ready"}
    with Load(server.record, threads=2) as load:
        load.more(20)
    assert set(load.answers) == {200}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_everything_killed_at_once(server):
    before = server.client().status().models
    for pid in [server.process.pid, *server.workers()]:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    assert server.start().client().status().models == before


def test_a_reload_under_load_fails_no_request(server):
    before = set(server.ready(2))
    with Load(server.record, threads=2) as kept, Load(server.record, threads=2, kept=False) as short:
        for _ in range(RELOADS):
            kept.more(50)
            server.process.send_signal(signal.SIGHUP)
            until(lambda before=before: not before & set(server.workers()))
            after = set(server.ready(2))
            assert not before & after
            before = after
        kept.more(50)
        short.more(50)
    for load in (kept, short):
        assert not load.cut
        assert not load.broken
        assert set(load.answers) == {200}
    assert requests_counted(server) == kept.total + short.total


def test_a_terminated_worker_is_replaced_and_fails_no_request(server):
    with Load(server.record, threads=4) as load:
        load.more(50)
        pid = server.ready(2)[0]
        os.kill(pid, signal.SIGTERM)
        until(lambda: not exists(pid))
        server.ready(2)
        load.more(50)
    assert not load.cut
    assert set(load.answers) == {200}


def test_the_end_does_not_wait_for_a_worker_that_hangs(server):
    workers = server.ready(2)
    os.kill(workers[0], signal.SIGSTOP)
    assert server.stop() == 0
    assert not any(map(exists, workers))


@pytest.mark.long
def test_a_worker_that_hangs_is_replaced(server):
    hanging = server.workers()[0]
    os.kill(hanging, signal.SIGSTOP)
    until(lambda: not exists(hanging))
    until(lambda: len(server.workers()) == 2)
    assert "hangs and is killed" in server.log()


def test_a_single_worker_that_is_terminated_leaves_no_gap(start, bundles):
    server = start("--workers", "1")
    server.publish("digits", "1", bundles.make(linear_softmax()))
    (pid,) = server.ready(1)
    with Load(server.record, threads=2) as kept, Load(server.record, threads=2, kept=False) as short:
        os.kill(pid, signal.SIGTERM)
        until(lambda: not exists(pid))
        short.more(20)
    for load in (kept, short):
        assert not load.cut
        assert set(load.answers) == {200}


def test_an_orderly_end(server):
    workers = server.workers()
    assert server.stop() == 0
    assert not any(map(exists, workers))
    assert not record_path(server.home).exists()


def test_shutdown_over_http_answers_first(server):
    workers = server.workers()
    server.client().shutdown()
    assert server.process.wait() == 0
    assert not any(map(exists, workers))


def test_requests_that_are_being_answered_at_the_end_are_answered(server):
    with Load(server.record, threads=4) as load:
        load.more(50)
        server.process.send_signal(signal.SIGTERM)
        server.process.wait()
        load._stop.set()
    assert set(load.answers) == {200}
    assert not load.broken


# -- bundles that end workers ------------------------------------------------------------------------------------------


@pytest.fixture
def moods(tmp_path, monkeypatch):
    return Moods(tmp_path / "installed", monkeypatch)


@pytest.fixture
def moody(start, moods, tmp_path, bundles):
    """Two workers with a runtime of moods, and digits/1."""
    server = start("--workers", "2", environment={"PYTHONPATH": str(tmp_path / "installed")})
    server.publish("digits", "1", bundles.make(linear_softmax()))
    return server


def moody_bundle(bundles):
    return bundles.make(linear_softmax(3), runtime="moody")


def test_a_bundle_that_ends_the_workers_that_load_it_is_refused(moody, moods, bundles):
    folder = moody_bundle(bundles)
    moods.are("abort in the server")
    # Every worker ends, the one that would answer included.
    with pytest.raises((BundleError, Unavailable)):
        moody.publish("bad", "1", folder)
    # Nothing needs a bundle whose publish failed, so it is deleted, mostly with its record.
    digest = Bundles.digest(folder)
    until(lambda: not (moody.home / "bundles" / digest).exists() or "SIGABRT" in quarantined(moody.home, digest))
    moody.ready(2)
    with Load(moody.record, threads=2) as load:
        load.more(20)
    assert set(load.answers) == {200}


def test_a_bundle_that_ends_workers_at_the_start_is_quarantined(moody, moods, bundles):
    folder = moody_bundle(bundles)
    client = moody.client()
    client.publish("bad", "1", folder)
    client.publish("pair", "1", bundles.make(two_inputs()))
    moody.stop()
    moods.are("abort in the server")
    moody.start()
    moody.ready(2)
    states = {
        model.name: [(row.state, row.reason) for row in model.versions] for model in moody.client().status().models
    }
    assert states["digits"] == states["pair"] == [("ready", "")]
    ((state, reason),) = states["bad"]
    assert state == "failed"
    assert "SIGABRT" in reason
    assert "SIGABRT" in quarantined(moody.home, Bundles.digest(folder))
    moods.loads()
    moody.stop()
    moody.start()
    assert moods.loads() == []  # and it is not tried again
    assert moody.get("/v2/health/ready")[0] == 200


def test_one_of_many_that_load_at_once(moody, moods, bundles):
    """Which of them a worker dies of is found out by loading one after the other."""
    client = moody.client()
    for number in range(3):
        client.publish(f"m{number}", "1", bundles.make(linear_softmax(number + 10)))
    client.publish("bad", "1", moody_bundle(bundles))
    moody.stop()
    moods.are("abort in the server")
    moody.start()
    moody.ready(2)
    found = {model.name: model.versions[0].state for model in moody.client().status().models}
    assert found == {**{f"m{number}": "ready" for number in range(3)}, "digits": "ready", "bad": "failed"}
    for name in found.keys() - {"bad"}:
        with Load(moody.record, name, threads=2) as load:
            load.more(5)
        assert set(load.answers) == {200}


# -- secrets, logs, gRPC -----------------------------------------------------------------------------------------------


def test_no_process_shows_a_secret(server):
    token = server.record.token
    for pid in [server.process.pid, *server.workers()]:
        assert token not in Path(f"/proc/{pid}/cmdline").read_text()
        assert token not in Path(f"/proc/{pid}/environ").read_text()
    assert token not in server.log()
    assert (server.home / "server.log").stat().st_mode & 0o077 == 0


def test_every_line_of_the_log_is_json(server):
    server.process.send_signal(signal.SIGHUP)
    server.ready(2)
    server.stop()
    lines = [json.loads(line) for line in (server.home / "server.log").read_text().splitlines()]
    assert {"time", "level", "message", "logger", "process", "pid"} <= set(lines[0])
    assert {line["process"] for line in lines} == {"supervisor", "worker"}
    # stderr was another file, so it got the same lines
    assert len((server.home / "stderr").read_text().splitlines()) == len(lines)


def test_the_log_says_once_for_all_workers_what_serves(server):
    server.ready(2)
    server.client().unpublish("digits")
    log = (server.home / "server.log").read_text()
    assert log.count("model digits serves version 1 100%") == 1
    assert log.count("model digits withdrawn") == 1


def test_grpc_on_every_worker(start, bundles):
    grpc = pytest.importorskip("grpc")
    server = start("--workers", "2", "--grpc-port", "0")
    server.publish("digits", "1", bundles.make(linear_softmax()))
    for _ in range(8):
        # A channel of its own each time, so that the kernel chooses a worker anew.
        with grpc.insecure_channel(server.record.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            live = channel.unary_unary("/inference.GRPCInferenceService/ServerReady")
            assert live(b"", timeout=20) == b"\x08\x01"
    pid = server.ready(2)[0]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not exists(pid))
    with grpc.insecure_channel(server.record.grpc) as channel:
        assert channel.unary_unary("/inference.GRPCInferenceService/ServerReady")(b"", timeout=20) == b"\x08\x01"


def test_a_token_of_the_record_is_an_admins(server):
    with Caller(server.record) as caller:
        assert caller.ask("GET", "/maas/v1/status")[0] == 200
    with Caller(server.record, token="another") as caller:
        assert caller.ask("GET", "/maas/v1/status")[0] == 401
