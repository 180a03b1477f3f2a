"""Bundles are loaded in a process of their own before they are loaded anywhere else."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import time

import pytest
from bundles import labelled, linear_softmax
from control_parts import Moods, place, quarantined

from maas_jupyter import schema
from maas_jupyter.errors import BundleError
from maas_jupyter.schema import ProbeRecord
from maas_jupyter.serving.control.quarantine import Quarantine, versions
from maas_jupyter.serving.store import BundleStore


@pytest.fixture
def moods(tmp_path, monkeypatch):
    return Moods(tmp_path / "plugin", monkeypatch)


@pytest.fixture
def quarantine(server_home):
    return Quarantine(server_home, BundleStore(server_home), load_seconds=60)


def refused(quarantine, digest):
    with pytest.raises(BundleError) as caught:
        asyncio.run(quarantine.probe(digest))
    return caught.value


def test_a_bundle_that_loads(quarantine, server_home, bundles):
    digest = place(server_home, bundles.make(linear_softmax()))
    assert quarantine.record(digest) is None
    asyncio.run(quarantine.probe(digest))
    record = quarantine.record(digest)
    assert record == ProbeRecord("", "", "onnx", versions("onnx"))
    assert set(record.versions) == {"maas-jupyter", "onnxruntime"}


@pytest.mark.parametrize(
    ("graph", "reason"), [(b"no graph at all", "cannot be loaded"), (None, "manifest says")], ids=["nonsense", "other"]
)
def test_a_bundle_that_says_why_it_does_not_load(quarantine, server_home, bundles, graph, reason):
    signature = labelled()[1]
    folder = bundles.write(graph or linear_softmax()[0].SerializeToString(), signature)
    digest = place(server_home, folder)
    error = refused(quarantine, digest)
    assert reason in error.message
    assert error.hint
    assert quarantined(server_home, digest) == error.message
    assert quarantine.record(digest).hint == error.hint


def test_a_runtime_that_nobody_knows(quarantine, server_home, bundles):
    digest = place(server_home, bundles.make(linear_softmax(), runtime="onyx"))
    assert "'onnx'" in refused(quarantine, digest).hint


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("abort", "crashes the process that loads it (SIGABRT)"),
        ("killed", "crashes the process that loads it (SIGKILL)"),
        ("abort in unload", "crashes the process that loads it (SIGABRT)"),
        ("exit", "ended with status 3"),
        ("exit well", "ended with status 0"),
        ("raise", "The bundle does not load: ValueError: I am in no mood"),
        ("refuse", "not today"),
    ],
)
def test_a_bundle_that_ends_its_process(quarantine, server_home, bundles, moods, mood, reason):
    digest = place(server_home, bundles.make(linear_softmax(), runtime="moody"))
    moods.are(mood)
    assert reason in refused(quarantine, digest).message
    assert reason in quarantined(server_home, digest)
    moods.are("fine")
    asyncio.run(quarantine.probe(digest))
    assert quarantined(server_home, digest) == ""


def test_a_bundle_that_hangs_is_killed_with_all_that_it_started(server_home, bundles, moods):
    quarantine = Quarantine(server_home, BundleStore(server_home), load_seconds=1.5)
    digest = place(server_home, bundles.make(linear_softmax(), runtime="moody"))
    moods.are("hang")
    error = refused(quarantine, digest)
    assert "does not load within 1.5 s" in error.message
    assert "--load-seconds" in error.hint
    for pid in moods.pids():
        assert not alive(pid)
    assert len(moods.pids()) == 2


def test_a_probe_that_is_given_up_is_killed(server_home, bundles, moods):
    quarantine = Quarantine(server_home, BundleStore(server_home), load_seconds=60)
    digest = place(server_home, bundles.make(linear_softmax(), runtime="moody"))
    moods.are("hang")

    async def scenario():
        probe = asyncio.create_task(quarantine.probe(digest))
        while len(moods.pids()) < 2:
            await asyncio.sleep(0.01)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe

    asyncio.run(scenario())
    while any(map(alive, moods.pids())):  # it is killed by the thread that watches it
        time.sleep(0.01)
    assert quarantine.record(digest) is None


def alive(pid):
    """Say whether a process runs; one that nobody has collected yet does not."""
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return done.stdout.strip()[:1] not in ("", "Z")


def test_a_probe_inherits_neither_sockets_nor_secrets(quarantine, server_home, bundles, moods, monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", "a-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-one")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    digest = place(server_home, bundles.make(linear_softmax(), runtime="moody"))
    moods.are("tell")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.set_inheritable(listening.fileno(), True)
        told = refused(quarantine, digest).message
    assert "socket" not in told
    assert "secret" not in told
    assert "another" not in told
    assert "CUDA_VISIBLE_DEVICES=3" in told


def test_what_a_library_prints_does_not_disturb_the_report(quarantine, server_home, bundles, moods):
    digest = place(server_home, bundles.make(linear_softmax(), runtime="moody"))
    moods.are("print")
    asyncio.run(quarantine.probe(digest))
    assert quarantine.record(digest).reason == ""


def test_a_record_counts_for_the_packages_that_it_names_only(quarantine, server_home, bundles):
    digest = place(server_home, bundles.make(linear_softmax()))
    asyncio.run(quarantine.probe(digest))
    path = server_home / "probes" / f"{digest}.json"
    record = schema.decode(path.read_bytes(), ProbeRecord, where="")
    for changed in ({"onnxruntime": "0.1"}, {"maas-jupyter": "0.0.1"}, {"other": "1"}):
        path.write_bytes(schema.encode(ProbeRecord("it crashed", "", record.runtime, {**record.versions, **changed})))
        assert quarantine.record(digest) is None
    path.write_bytes(schema.encode(record)[:-9])
    assert quarantine.record(digest) is None
    path.write_bytes(schema.encode(record))
    assert quarantine.record(digest) == record


def test_an_altered_bundle_is_deleted_and_not_quarantined(quarantine, server_home, bundles):
    digest = place(server_home, bundles.make(linear_softmax()))
    graph = server_home / "bundles" / digest / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-1])
    assert "sha256" in refused(quarantine, digest).message
    assert quarantine.record(digest) is None
    # Whoever comes later is told why it is gone.
    assert "sha256" in refused(quarantine, digest).message


def test_a_record_that_cannot_be_read_says_nothing(quarantine, server_home, bundles):
    digest = place(server_home, bundles.make(linear_softmax()))
    (server_home / "probes").mkdir()
    path = server_home / "probes" / f"{digest}.json"
    path.symlink_to(path)  # stands for any error of the disk
    assert quarantine.record(digest) is None
    asyncio.run(quarantine.probe(digest))
    assert quarantine.record(digest).reason == ""


def test_a_bundle_that_cannot_be_read_is_not_quarantined(quarantine, server_home, bundles):
    digest = place(server_home, bundles.make(linear_softmax()))
    path = server_home / "bundles" / digest / "model.onnx"
    path.rename(server_home / "aside")
    path.symlink_to(path)
    assert "cannot be read" in refused(quarantine, digest).message
    assert quarantine.record(digest) is None
    path.unlink()
    (server_home / "aside").rename(path)
    asyncio.run(quarantine.probe(digest))


def test_probes_wait_for_one_another_beyond_a_number(server_home, bundles, moods, monkeypatch):
    monkeypatch.setattr("maas_jupyter.serving.control.quarantine.PROBES", 1)
    quarantine = Quarantine(server_home, BundleStore(server_home), load_seconds=3)
    slow, quick = (place(server_home, bundles.make(linear_softmax(scale), runtime="moody")) for scale in (1, 2))
    ended = []

    async def probe(digest):
        try:
            await quarantine.probe(digest)
        finally:
            ended.append(digest)

    async def scenario():
        moods.are("hang")
        first = asyncio.create_task(probe(slow))
        while len(moods.pids()) < 2:
            await asyncio.sleep(0.01)
        moods.are("fine")
        await probe(quick)
        with pytest.raises(BundleError, match="does not load within"):
            await first

    asyncio.run(scenario())
    assert ended == [slow, quick]


def test_probes_that_may_hang_hold_up_no_others(server_home, bundles, moods, monkeypatch):
    for name, value in {"PROBES": 1, "SLOW_PROBES": 2, "SLOW_SECONDS": 0.01}.items():
        monkeypatch.setattr(f"maas_jupyter.serving.control.quarantine.{name}", value)
    digests = [place(server_home, bundles.make(linear_softmax(scale), runtime="moody")) for scale in (1, 2, 3, 4, 5)]

    async def scenario():
        quarantine = Quarantine(server_home, BundleStore(server_home), load_seconds=30)
        moods.are("hang")
        hanging = []
        for digest in digests[:2]:
            hanging.append(asyncio.create_task(quarantine.probe(digest)))
            pids = moods.pids()
            while moods.pids() == pids or len(moods.pids()) < 2:
                await asyncio.sleep(0.01)
        moods.are("fine")
        await quarantine.probe(digests[2])
        moods.are("hang")  # one more than there is room for beside the quick ones
        hanging.append(asyncio.create_task(quarantine.probe(digests[3])))
        pids = moods.pids()
        while moods.pids() == pids:
            await asyncio.sleep(0.01)
        moods.are("fine")
        waiting = asyncio.create_task(quarantine.probe(digests[4]))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        hanging[2].cancel()
        await waiting
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)

    asyncio.run(scenario())


def test_forget_and_sweep(quarantine, server_home, bundles):
    good = place(server_home, bundles.make(linear_softmax()))
    bad = place(server_home, bundles.write(b"", linear_softmax()[1]))
    asyncio.run(quarantine.probe(good))
    refused(quarantine, bad)
    for digest in (good, bad, "0" * 64):
        quarantine.forget(digest)
    assert quarantine.record(good) is None
    assert quarantine.record(bad).reason
    quarantine.sweep({good})
    assert quarantine.record(bad) is None


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (
            "maas_jupyter.serving.control.plane",
            {"numpy", "onnxruntime", "starlette", "uvicorn", "grpc", "prometheus_client", "httpx", "torch", "mlflow"},
        ),
        ("maas_jupyter.serving.control.probe", {"asyncio", "starlette", "uvicorn", "grpc", "httpx", "torch", "mlflow"}),
    ],
)
def test_nothing_is_imported_that_is_not_needed(module, heavy):
    script = f"import sys, {module}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.split() == [], done.stderr
    assert done.returncode == 0
