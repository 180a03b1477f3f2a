"""The operations of the control plane, with a real repository behind it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from bundles import Bundles, linear_softmax
from control_parts import Moods, place, quarantined

from maas_jupyter import schema
from maas_jupyter.errors import BundleError, Conflict, InvalidInput, NotFound, Unavailable
from maas_jupyter.schema import (
    ChangeRequest,
    ProbeRecord,
    PublishRequest,
    ServedModel,
    ServedVersion,
    VersionStatus,
)
from maas_jupyter.serving.control import loading
from maas_jupyter.serving.control.base import LoadHangs
from maas_jupyter.serving.control.plane import ControlPlane
from maas_jupyter.serving.control.quarantine import PROBES
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.store import BundleStore

ASKED = ChangeRequest("ada", "because")
_NUMBERS = itertools.count()


class Server:
    """A control plane over one repository, as an application that another host mounts has it."""

    def __init__(self, home, load_seconds=300.0, **options):
        self.home = home
        self.repository = ModelRepository(home, Metrics(), load_seconds=load_seconds)
        self.plane = ControlPlane(home, self.repository, load_seconds=load_seconds, **options)
        self.bundles = Bundles(home.parent / "made" / str(next(_NUMBERS)))

    def bundle(self, scale=1.0, **fields):
        return place(self.home, self.bundles.make(linear_softmax(scale), **fields))

    async def publish(self, version, digest=None, *, name="digits", **how):
        digest = digest or self.bundle(float(version))
        return await self.plane.publish(name, PublishRequest(version, digest, **how), "me")

    async def promote(self, name="digits"):
        return await self.plane.promote(name, ASKED, "me")

    async def rollback(self, name="digits"):
        return await self.plane.rollback(name, ASKED, "me")

    async def unpublish(self, name="digits"):
        return await self.plane.unpublish(name, ASKED, "me")

    async def states(self, name="digits"):
        return {row.version: row.state for row in (await self.plane.model_status(name)).versions}

    async def actions(self, name="digits"):
        return [entry.action for entry in await self.plane.history(name)]

    def weights(self, name="digits"):
        """What the repository really serves."""
        return self.repository.router(name).weights

    def answers(self, version, scale, name="digits"):
        loaded = self.repository.router(name).pick(version)
        got = loaded.servable.run({"x": np.ones((1, 4), np.float32)})["scores"]
        logits = np.ones((1, 4), np.float32) @ (np.arange(12, dtype=np.float32).reshape(4, 3) / 10 * np.float32(scale))
        expected = np.exp(logits) / np.exp(logits).sum()
        return bool(np.allclose(got, expected, atol=1e-5))

    def desired(self, name="digits"):
        path = self.home / "models" / f"{name}.json"
        return schema.decode(path.read_bytes(), ServedModel, where="") if path.exists() else None

    def stored(self):
        return {path.name for path in (self.home / "bundles").glob("[0-9a-f]*")}


@contextlib.asynccontextmanager
async def started(home, **options):
    server = Server(home, **options)
    home.mkdir(exist_ok=True)
    await server.plane.open()
    await server.plane.reconcile()
    try:
        yield server
    finally:
        await server.plane.close()
        await server.repository.close()


def scenario(home, play, **options):
    """Run a scene on a server of its own."""

    async def run():
        async with started(home, **options) as server:
            return await play(server)

    return asyncio.run(run())


@pytest.fixture
def moods(tmp_path, monkeypatch):
    return Moods(tmp_path / "plugin", monkeypatch)


# -- traffic ----------------------------------------------------------------------------------------------------------


def test_canary_shadow_promote_rollback_and_the_record_of_it(server_home):
    async def play(server):
        await server.publish("1")
        assert server.weights() == {"1": 100}
        status = await server.publish("2", canary=10, user="ada", reason="try it")
        assert [(row.version, row.weight, row.state) for row in status.versions] == [
            ("1", 90, "ready"),
            ("2", 10, "ready"),
        ]
        assert server.weights() == {"1": 90, "2": 10}
        assert server.answers("1", 1.0)
        assert server.answers("2", 2.0)
        status = await server.publish("3", shadow=True)
        assert [(row.version, row.weight, row.shadow) for row in status.versions] == [
            ("1", 90, False),
            ("2", 10, False),
            ("3", 0, True),
        ]
        assert server.repository.router("digits").shadow == "3"
        await server.promote()
        assert server.weights() == {"2": 100, "3": 0}
        await server.rollback()
        assert server.weights() == {"1": 90, "2": 10, "3": 0}
        await server.rollback()
        await server.rollback()
        assert server.weights() == {"1": 100}
        with pytest.raises(Conflict):
            await server.rollback()
        entries = await server.plane.history("digits")
        assert [(entry.revision, entry.action) for entry in entries] == list(
            enumerate(["publish", "canary", "shadow", "promote", "rollback", "rollback", "rollback"], 1)
        )
        assert (entries[1].by, entries[1].user, entries[1].reason) == ("me", "ada", "try it")
        assert (entries[3].user, entries[3].reason) == ("ada", "because")
        assert entries[-1].model == server.desired()
        assert all(entry.time > 0 for entry in entries)

    scenario(server_home, play)


def test_publish_what_serves_changes_nothing(server_home):
    async def play(server):
        digest = server.bundle()
        first = await server.publish("1", digest)
        assert await server.publish("1", digest) == first
        await server.publish("2", canary=10)
        await server.publish("2", server.bundle(2.0), canary=10)
        assert await server.actions() == ["publish", "canary"]
        await server.publish("2", server.bundle(2.0), canary=20)
        assert await server.actions() == ["publish", "canary", "canary"]

    scenario(server_home, play)


def test_the_same_version_with_another_bundle_replaces_it(server_home):
    async def play(server):
        await server.publish("1", server.bundle(1.0))
        await server.publish("1", server.bundle(5.0))
        assert server.answers("1", 5.0)
        await server.rollback()
        assert server.answers("1", 1.0)

    scenario(server_home, play)


def test_what_cannot_be_asked_for(server_home):
    async def play(server):
        digest = server.bundle()
        for error, name, request in (
            (InvalidInput, ".x", PublishRequest("1", digest)),
            (InvalidInput, "digits", PublishRequest("a/b", digest)),
            (InvalidInput, "digits", PublishRequest("1", "../x")),
            (InvalidInput, "digits", PublishRequest("1", digest, canary=10, shadow=True)),
            (Conflict, "digits", PublishRequest("1", digest, canary=10)),
            (Conflict, "digits", PublishRequest("1", digest, shadow=True)),
            (NotFound, "digits", PublishRequest("1", "0" * 64)),
        ):
            with pytest.raises(error):
                await server.plane.publish(name, request, "me")
        for operation in (server.promote, server.rollback, server.unpublish):
            with pytest.raises(NotFound, match="There is no model 'digits'"):
                await operation()
        for operation in (server.plane.load, server.plane.unload):
            with pytest.raises(NotFound):
                await operation("digits", ASKED, "me")
        for operation in (server.plane.history, server.plane.model_status):
            with pytest.raises(NotFound):
                await operation("digits")
        assert (await server.plane.status()).models == []
        await server.publish("1")
        with pytest.raises(NotFound, match="Did you mean 'digits'"):
            await server.plane.model_status("digit")
        with pytest.raises(Conflict):
            await server.promote()
        with pytest.raises(Conflict, match="part of another program"):
            await server.plane.shutdown()
        assert await server.actions() == ["publish"]

    scenario(server_home, play)


def test_unpublish_leaves_the_history(server_home):
    async def play(server):
        await server.publish("1")
        await server.unpublish()
        assert server.desired() is None
        assert server.repository.names() == []
        assert await server.actions() == ["publish", "unpublish"]
        await server.publish("2")
        assert [entry.revision for entry in await server.plane.history("digits")] == [1, 2, 3]
        with pytest.raises(Conflict):
            await server.rollback()

    scenario(server_home, play)


def test_load_and_unload(server_home):
    async def play(server):
        await server.publish("1")
        await server.publish("2", canary=10)
        await server.plane.unload("digits", ASKED, "me")
        assert await server.states() == {"1": "unloaded", "2": "unloaded"}
        with pytest.raises(Unavailable, match="not in memory"):
            server.repository.router("digits")
        with pytest.raises(Conflict):
            await server.promote()
        await server.plane.unload("digits", ASKED, "me")
        await server.plane.load("digits", ASKED, "me")
        await server.plane.load("digits", ASKED, "me")
        assert server.weights() == {"1": 90, "2": 10}
        assert await server.actions() == ["publish", "canary", "unload", "load"]
        await server.plane.unload("digits", ASKED, "me")
        await server.publish("1", server.bundle(1.0))
        assert server.weights() == {"1": 100}

    scenario(server_home, play)


def test_operations_on_one_model_come_one_after_the_other_and_on_several_side_by_side(server_home, moods):
    async def play(server):
        moods.are("hang")
        slow = asyncio.create_task(server.publish("1", server.bundle(runtime="moody"), name="slow"))
        while not moods.pids():
            await asyncio.sleep(0.01)
        digests = [server.bundle(float(scale)) for scale in range(1, 6)]
        await asyncio.gather(*(server.publish(str(number), digest) for number, digest in enumerate(digests)))
        assert list(server.weights().values()) == [100]
        assert [entry.revision for entry in await server.plane.history("digits")] == [1, 2, 3, 4, 5]
        assert not slow.done()
        assert await server.states("slow") == {"1": "loading"}
        with pytest.raises(Unavailable, match="not ready"):
            server.repository.router("slow")
        slow.cancel()

    scenario(server_home, play)


def test_bundles_that_hang_block_nothing_else(server_home, moods):
    async def play(server):
        # However few threads there are for short work.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        await server.publish("1")
        await server.publish("2")
        moods.are("hang")
        hanging = []
        for number in range(PROBES + 1):
            digest = server.bundle(float(number), runtime="moody")
            hanging.append(asyncio.create_task(server.publish("1", digest, name=f"slow{number}")))
        while not moods.pids():
            await asyncio.sleep(0.01)
        await server.rollback()
        assert server.weights() == {"1": 100}
        assert await server.actions() == ["publish", "publish", "rollback"]
        await server.plane.commit(server.bundle(1.0))
        await server.plane.logs(10)
        assert not any(task.done() for task in hanging)
        for task in hanging:
            task.cancel()

    scenario(server_home, play, load_seconds=20)


def test_an_operation_whose_caller_goes_away_is_carried_through(server_home):
    async def play(server):
        asked = asyncio.create_task(server.publish("1"))
        while "digits" not in {model.name for model in (await server.plane.status()).models}:
            await asyncio.sleep(0)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        await server.publish("2", canary=10)  # comes after it
        assert server.weights() == {"1": 90, "2": 10}

    scenario(server_home, play)


# -- bundles that do not load -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mood", ["abort", "hang", "refuse", "refuse in the server"])
def test_a_bundle_that_does_not_load_leaves_what_serves(server_home, moods, mood):
    async def play(server):
        await server.publish("1")
        await server.publish("2", canary=20)
        moods.are(mood)
        digest = server.bundle(3.0, runtime="moody")
        for how in ({}, {"canary": 30}, {"shadow": True}):
            digest = server.bundle(3.0, runtime="moody")
            with pytest.raises(BundleError) as caught:
                await server.publish("3", digest, **how)
            assert server.weights() == {"1": 80, "2": 20}
            assert await server.states() == {"1": "ready", "2": "ready", "3": "failed"}
            row = server.repository.status("digits").versions[-1]
            assert (row.version, row.state, row.reason) == ("3", "failed", caught.value.message)
        assert digest not in server.stored()
        if mood != "refuse in the server":
            assert quarantined(server_home, digest) in row.reason
        assert server.desired().revision == 2
        assert await server.actions() == ["publish", "canary"]
        moods.are("fine")
        await server.publish("3", server.bundle(3.0, runtime="moody"))
        assert await server.states() == {"3": "ready"}
        assert quarantined(server_home, digest) == ""

    scenario(server_home, play, load_seconds=1.0 if mood == "hang" else 60)


def test_a_first_publish_that_fails_leaves_nothing(server_home, moods):
    async def play(server):
        moods.are("abort")
        with pytest.raises(BundleError, match="SIGABRT"):
            await server.publish("1", server.bundle(runtime="moody"))
        assert (await server.plane.status()).models == []
        assert server.repository.names() == []
        assert server.stored() == set()
        with pytest.raises(NotFound):
            await server.plane.history("digits")

    scenario(server_home, play)


def test_a_bundle_is_probed_once(server_home, moods):
    async def play(server):
        await server.publish("1", server.bundle(runtime="moody"))
        assert moods.loads() == ["probe", "server"]
        await server.publish("1", server.bundle(runtime="moody"), name="other")
        assert moods.loads() == ["server"]

    async def restart(server):
        assert moods.loads() == ["server", "server"]
        assert server.weights() == {"1": 100}

    scenario(server_home, play)
    scenario(server_home, restart)


def test_a_restart_loads_nothing_that_is_quarantined(server_home, moods):
    async def play(server):
        await server.publish("1", name="good")
        await server.publish("1")
        await server.publish("2", server.bundle(runtime="moody"), canary=10)
        moods.loads()

    scenario(server_home, play)
    # As after an upgrade with which the bundle crashes: what its probe found no longer counts.
    (record,) = (path for path in (server_home / "probes").iterdir() if "moody" in path.read_text())
    old = schema.decode(record.read_bytes(), ProbeRecord, where="")
    record.write_bytes(schema.encode(ProbeRecord(runtime="moody", versions={**old.versions, "maas-moody": "0.9"})))
    moods.are("abort")

    async def restart(server):
        assert await server.states() == {"1": "ready", "2": "failed"}
        assert await server.states("good") == {"1": "ready"}
        assert server.weights() == {"1": 90}
        return moods.loads()

    assert scenario(server_home, restart) == ["probe"]
    moods.are("fine")
    assert scenario(server_home, restart) == []  # quarantined, so not even tried

    async def ask_again(server):
        await server.publish("2", server.bundle(runtime="moody"), canary=10)
        assert server.weights() == {"1": 90, "2": 10}
        assert moods.loads() == ["probe", "server"]
        assert await server.actions() == ["publish", "canary"]

    scenario(server_home, ask_again)


def test_quarantine_of_a_bundle_that_a_worker_died_of(server_home, moods):
    async def play(server):
        digest = server.bundle(runtime="moody")
        await server.publish("1", digest)
        await server.publish("1", digest, name="other")
        await server.publish("1", name="good")
        await server.plane.quarantine(digest, "A worker died of it.")
        for name in ("digits", "other"):
            (row,) = (await server.plane.model_status(name)).versions
            assert row.state == "failed"
            assert row.reason == "A worker died of it. It goes on serving where it is loaded."
            assert server.weights(name) == {"1": 100}
        assert server.weights("good") == {"1": 100}
        moods.loads()

    async def restart(server):
        assert await server.states() == await server.states("other") == {"1": "failed"}
        assert moods.loads() == []
        await server.plane.load("other", ASKED, "me")
        assert await server.states("other") == {"1": "ready"}

    scenario(server_home, play)
    scenario(server_home, restart)


def test_what_does_not_load_at_a_start_is_tried_again_until_it_does(server_home, moods, monkeypatch):
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.001)

    async def publish(server):
        await server.publish("1", server.bundle(runtime="moody"))

    scenario(server_home, publish)

    async def restart(server):
        assert await server.states() == {"1": "failed"}
        moods.are("fine")
        while await server.states() != {"1": "ready"}:
            await asyncio.sleep(0.001)
        assert server.weights() == {"1": 100}
        assert await server.actions() == ["publish"]
        loads = moods.loads()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert (set(loads), moods.loads()) == ({"server"}, [])  # and not once it has

    moods.are("refuse in the server")
    moods.loads()
    scenario(server_home, restart)


@pytest.mark.parametrize("change", ["unpublish", "unload"])
def test_what_is_no_longer_to_serve_is_not_tried_again(server_home, moods, monkeypatch, change):
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.001)

    async def publish(server):
        await server.publish("1", server.bundle(runtime="moody"))

    scenario(server_home, publish)

    async def restart(server):
        if change == "unload":
            await server.plane.unload("digits", ASKED, "me")
        else:
            await server.unpublish()
        while server.plane._loading._retries:
            await asyncio.sleep(0.001)
        moods.loads()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert moods.loads() == []

    moods.are("refuse in the server")
    scenario(server_home, restart)


def test_a_load_that_hangs_in_the_server_alone_is_quarantined(server_home, moods, monkeypatch):
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.001)

    async def play(server):
        await server.publish("1")
        moods.are("hang in the server")
        digest = server.bundle(2, runtime="moody")
        with pytest.raises(BundleError, match="within 2 s"):
            await server.publish("2", digest)
        # Nothing needs a bundle whose publish failed; what is quarantined stays on record all the same.
        assert "within 2 s" in quarantined(server_home, digest)
        assert await server.states() == {"1": "ready", "2": "failed"}
        assert server.weights() == {"1": 100}

    scenario(server_home, play, load_seconds=2.0)


def test_what_some_replica_lost_is_not_tried_again_once_it_is_quarantined(server_home, monkeypatch):
    monkeypatch.setattr(loading, "RETRY_SECONDS", 0.001)
    tried = []

    async def play(server):
        await server.publish("1")
        (served,) = server.desired().versions

        async def apply(model, others):
            return [VersionStatus("1", served.digest, 100, "failed", "One worker could not load it.")]

        async def prepare(name, version):
            tried.append(version)
            raise LoadHangs("It does not load within 2 s.")

        monkeypatch.setattr(server.repository, "apply", apply)
        monkeypatch.setattr(server.repository, "prepare", prepare)
        await server.plane.refresh("digits")
        while server.plane._loading._retries:
            await asyncio.sleep(0.001)
        assert tried == [served]
        assert quarantined(server_home, served.digest) == "It does not load within 2 s."

    scenario(server_home, play)


def test_a_version_that_failed_at_the_start_does_not_stop_traffic_changes(server_home, moods):
    async def play(server):
        await server.publish("1", server.bundle(runtime="moody"))
        await server.publish("2", canary=10)

    async def restart(server):
        assert await server.states() == {"1": "failed", "2": "ready"}
        with pytest.raises(BundleError, match="not today"):
            await server.publish("1", server.bundle(runtime="moody"))
        assert server.weights() == {"2": 10}
        await server.publish("3", shadow=True)
        assert await server.states() == {"1": "failed", "2": "ready", "3": "ready"}
        with pytest.raises(BundleError, match="not today"):
            await server.rollback()  # to a state in which it had more
        await server.promote()
        assert server.weights() == {"2": 100, "3": 0}

    scenario(server_home, play)
    moods.are("refuse in the server")
    scenario(server_home, restart)


def test_load_needs_one_version_that_loads(server_home, moods):
    async def play(server):
        await server.publish("1", server.bundle(runtime="moody"))
        await server.plane.unload("digits", ASKED, "me")
        moods.are("refuse in the server")
        with pytest.raises(BundleError, match="not today"):
            await server.plane.load("digits", ASKED, "me")
        assert await server.states() == {"1": "unloaded"}
        moods.are("fine")
        await server.publish("2")
        await server.publish("1", server.bundle(runtime="moody"), canary=10)
        await server.plane.unload("digits", ASKED, "me")
        moods.are("refuse in the server")
        await server.plane.load("digits", ASKED, "me")
        assert await server.states() == {"2": "ready", "1": "failed"}
        assert server.weights() == {"2": 90}

    scenario(server_home, play)


# -- bundles on the disk ----------------------------------------------------------------------------------------------


def test_bundles_stay_while_a_rollback_may_need_them(server_home):
    async def play(server):
        digests = [server.bundle(float(number)) for number in range(8)]
        for number, digest in enumerate(digests):
            await server.publish(str(number), digest)
        assert server.stored() == set(digests[3:])
        assert {path.stem for path in (server_home / "probes").iterdir()} == set(digests[3:])
        for number in (6, 5, 4, 3):
            await server.rollback()
            assert server.weights() == {str(number): 100}
        with pytest.raises(Conflict, match="is gone"):
            await server.rollback()
        assert server.weights() == {"3": 100}

    scenario(server_home, play)


def test_a_start_sweeps_what_nothing_needs(server_home):
    async def play(server):
        await server.publish("1")
        await server.publish("2")
        return server.stored()

    needed = scenario(server_home, play)
    stray = place(server_home, Bundles(server_home.parent / "stray").make(linear_softmax(9)))
    (server_home / "probes" / f"{stray}.json").write_text("{}")

    async def restart(server):
        assert server.stored() == needed
        assert {path.stem for path in (server_home / "probes").iterdir()} == needed
        await server.rollback()

    scenario(server_home, restart)


def test_a_bundle_that_two_models_share(server_home):
    async def play(server):
        digest = server.bundle()
        await server.publish("1", digest, name="a")
        await server.publish("1", digest, name="b")
        for scale in range(2, 7):
            await server.publish(str(scale), name="a")
        assert digest in server.stored()
        for scale in range(2, 7):
            await server.publish(str(scale), name="b")
        assert digest not in server.stored()

    scenario(server_home, play)


@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_a_bundle_that_is_damaged_while_the_server_rests(server_home, damage):
    async def play(server):
        await server.publish("1", name="good")
        digest = server.bundle(3.0)
        await server.publish("1", digest)
        return digest

    digest = scenario(server_home, play)
    if damage == "altered":
        (server_home / "bundles" / digest / "model.onnx").write_bytes(b"X")
    else:
        shutil.rmtree(server_home / "bundles" / digest)

    async def restart(server):
        assert await server.states() == {"1": "failed"}
        assert await server.states("good") == {"1": "ready"}
        assert digest not in server.stored()
        await server.publish("1", server.bundle(3.0))
        assert server.answers("1", 3.0)

    scenario(server_home, restart)


@pytest.mark.parametrize("damage", ["of a newer format", "unreadable"])
def test_a_bundle_that_this_version_cannot_read_hinders_no_other_and_stays(server_home, damage):
    async def play(server):
        await server.publish("1", name="good")
        return server.bundle(3.0, format_version=2 if damage == "of a newer format" else 1)

    digest = scenario(server_home, play)
    served = ServedModel("digits", [ServedVersion("1", digest)], revision=1)
    schema.write_atomic(server_home / "models" / "digits.json", schema.encode(served))
    if damage == "unreadable":
        path = server_home / "bundles" / digest / "maas.json"
        path.unlink()
        path.symlink_to(path)  # stands for any error of the disk

    async def restart(server):
        assert await server.states() == {"1": "failed"}
        assert await server.states("good") == {"1": "ready"}
        assert digest in server.stored()
        assert not (server_home / "probes" / f"{digest}.json").exists()

    async def replace(server):
        await restart(server)
        await server.publish("2")
        assert server.weights() == {"2": 100}

    for play in (restart, replace):
        scenario(server_home, play)


def test_nothing_is_deleted_while_a_history_cannot_be_read(server_home, caplog):
    async def play(server):
        await server.publish("1")
        await server.publish("2")
        await server.publish("1", name="other")
        await server.unpublish("other")
        return server.stored()

    stored = scenario(server_home, play)
    path = server_home / "history" / "digits.jsonl"
    path.write_bytes(path.read_bytes() + b'{"revision":3,"of":"a newer version"}\n')

    async def restart(server):
        assert "no bundle is deleted" in caplog.text
        assert server.weights() == {"2": 100}
        for number in range(3, 9):
            await server.publish(str(number))
        await server.unpublish()
        with pytest.raises(BundleError, match="Line 3 of"):
            await server.actions()
        return server.stored()

    assert len(scenario(server_home, restart)) == len(stored) + 6


def test_a_history_that_becomes_unreadable_keeps_what_it_needed(server_home):
    async def play(server):
        await server.publish("1")
        stored = server.stored()
        path = server_home / "history" / "digits.jsonl"
        path.write_bytes(path.read_bytes() + b'{"revision":2,"of":"a newer version"}\n')
        await server.unpublish()
        assert server.stored() == stored

    scenario(server_home, play)


def test_what_serves_stays_where_the_history_became_unreadable(server_home):
    async def play(server):
        await server.publish("1")
        path = server_home / "history" / "digits.jsonl"
        path.write_bytes(path.read_bytes() + b'{"revision":2,"of":"a newer version"}\n')
        await server.publish("2")
        await server.publish("3")
        assert {row.digest for row in (await server.plane.model_status("digits")).versions} <= server.stored()
        assert len(server.stored()) == 3

    scenario(server_home, play)


def test_a_line_that_cannot_be_read_keeps_the_bundles_that_it_names_and_no_others(server_home, caplog):
    async def play(server):
        for number in range(1, 9):
            await server.publish(str(number))
        await server.publish("9", name="other")

    scenario(server_home, play)
    path = server_home / "history" / "digits.jsonl"
    named = "ab" * 32
    path.write_bytes(path.read_bytes() + b'{"revision":9,"uses":["%s"]}\n' % named.encode())
    (server_home / "bundles" / named).mkdir()
    (server_home / "bundles" / ("cd" * 32)).mkdir()

    async def restart(server):
        assert named in server.stored()
        assert "cd" * 32 not in server.stored()
        assert "digits has a line that this version cannot read: every bundle that it names is kept" in caplog.text
        (row,) = (await server.plane.model_status("other")).versions
        await server.unpublish("other")
        assert row.digest not in server.stored()
        (row,) = (await server.plane.model_status("digits")).versions
        assert {named, row.digest} <= server.stored()
        await server.publish("1")
        assert {named, row.digest} <= server.stored()

    scenario(server_home, restart)


def test_a_bundle_that_cannot_be_deleted_does_not_undo_a_change(server_home, monkeypatch):
    async def play(server):
        await server.publish("1")

        def fail(store, digest):
            raise OSError("Input/output error")

        monkeypatch.setattr(BundleStore, "delete", fail)
        await server.unpublish()
        assert await server.actions() == ["publish", "unpublish"]
        await server.publish("1")

    scenario(server_home, play)


class Faulty(ModelRepository):
    """One that has a fault of ours."""

    async def prepare(self, name, served):
        if name == "digits":
            raise RuntimeError("a fault of ours")
        await super().prepare(name, served)


def test_a_fault_of_ours_at_a_start_hinders_no_other_model(server_home, caplog):
    async def play(server):
        await server.publish("1")
        await server.publish("1", name="good")

    async def restart():
        plane = ControlPlane(server_home, Faulty(server_home, Metrics()))
        await plane.open()
        await plane.reconcile()
        states = {model.name: model.versions[0] for model in (await plane.status()).models}
        assert (states["digits"].state, states["good"].state) == ("failed", "ready")
        assert "a fault of ours" in states["digits"].reason
        assert any(record.exc_info for record in caplog.records)

    scenario(server_home, play)
    asyncio.run(restart())


def test_the_log_says_once_what_serves(server_home, caplog):
    def told():
        found = [record.getMessage() for record in caplog.records if " serves " in record.getMessage()]
        caplog.clear()
        return found

    async def play(server):
        caplog.set_level("INFO")
        await server.publish("1")
        assert told() == ["model digits serves version 1 100%"]
        await server.publish("2", canary=20)
        assert told() == ["model digits serves version 1 80%, version 2 20%"]
        await server.publish("3", shadow=True)
        assert told() == ["model digits serves version 1 80%, version 2 20%, version 3 as shadow"]
        await server.plane.unload("digits", ASKED, "me")
        assert told() == ["model digits serves no version"]
        await server.plane.load("digits", ASKED, "me")
        assert told() == ["model digits serves version 1 80%, version 2 20%, version 3 as shadow"]
        await server.unpublish()
        assert [each.getMessage() for each in caplog.records].count("model digits withdrawn") == 1

    async def restart():
        plane = ControlPlane(server_home, ModelRepository(server_home, Metrics()))
        await plane.open()
        await plane.reconcile()
        assert told() == ["model digits serves version 1 100%"]

    scenario(server_home, play)
    scenario(server_home, lambda server: server.publish("1"))
    caplog.clear()
    asyncio.run(restart())


# -- starts -----------------------------------------------------------------------------------------------------------


def test_a_restart_serves_the_same(server_home):
    async def play(server):
        await server.publish("1")
        await server.publish("2", canary=30)
        await server.publish("3", shadow=True)
        await server.publish("1", name="resting")
        await server.plane.unload("resting", ASKED, "me")
        await server.publish("1", name="gone")
        await server.unpublish("gone")
        return await server.plane.status()

    async def restart(server):
        assert server.weights() == {"1": 70, "2": 30, "3": 0}
        assert server.repository.router("digits").shadow == "3"
        assert not server.repository.model("resting").loaded
        return await server.plane.status()

    assert scenario(server_home, play).models == scenario(server_home, restart).models


def test_known_before_they_are_loaded(server_home):
    async def play(server):
        await server.publish("1")

    async def restart():
        server = Server(server_home)
        await server.plane.open()
        assert await server.states() == {"1": "loading"}
        with pytest.raises(Unavailable, match="loading"):
            server.repository.router("digits")
        await server.publish("2", canary=10)  # does not wait for the rest
        assert server.weights() == {"1": 90, "2": 10}
        await server.plane.reconcile()
        assert server.weights() == {"1": 90, "2": 10}
        await server.repository.close()

    scenario(server_home, play)
    asyncio.run(restart())


def test_one_broken_file_hides_no_other(server_home):
    async def play(server):
        await server.publish("1")

    async def restart(server):
        assert await server.states() == {"1": "ready"}
        assert await server.states("bad") == {"": "failed"}
        for operation in (server.promote, server.rollback):
            with pytest.raises(Conflict, match="not known"):
                await operation("bad")
        with pytest.raises(BundleError):
            await server.publish("1", place(server_home, server.bundles.write(b"", linear_softmax()[1])), name="bad")
        assert await server.states("bad") == {"": "failed"}
        await server.publish("1", name="bad")
        assert server.weights("bad") == {"1": 100}
        await server.unpublish("worse")
        assert not (server_home / "models" / "worse.json").exists()

    scenario(server_home, play)
    for name in ("bad", "worse"):
        (server_home / "models" / f"{name}.json").write_text("{")
    scenario(server_home, restart)


class NoWorkers:
    """All workers, while there is none."""

    def __init__(self):
        self.told = {}

    async def prepare(self, name, served):
        raise Unavailable("Every worker ended while it loaded the bundle.")

    async def apply(self, model, others):
        self.told[model.name] = model, others
        return []

    async def forget(self, name):
        self.told.pop(name, None)


def test_a_start_before_the_workers(server_home):
    async def play(server):
        await server.publish("1")
        await server.publish("1", server.bundle(2.0), name="damaged")
        return server.bundle(2.0)

    digest = scenario(server_home, play)
    (server_home / "bundles" / digest / "model.onnx").write_bytes(b"X")

    async def restart():
        workers = NoWorkers()
        plane = ControlPlane(server_home, workers)
        await plane.open()
        await plane.reconcile()
        model, others = workers.told["digits"]
        assert [served.version for served in model.versions] == ["1"]
        assert others == []
        _, (row,) = workers.told["damaged"]
        assert (row.version, row.state) == ("1", "failed")
        with pytest.raises(Unavailable):
            await plane.publish("new", PublishRequest("1", model.versions[0].digest), "me")
        assert set(workers.told) == {"digits", "damaged"}

    asyncio.run(restart())


# -- the disk, the log, the end ---------------------------------------------------------------------------------------


def test_a_full_disk(small_disk, fill):
    home = small_disk / "home"

    async def play(server):
        server.bundles = Bundles(small_disk.parent / "made")
        await server.publish("1")
        digest = server.bundle(2.0)
        filler = fill(small_disk)
        for operation in (server.plane.unload("digits", ASKED, "me"), server.publish("2", digest)):
            with pytest.raises(Unavailable, match="no room on its disk") as caught:
                await operation
            assert "Free space" in caught.value.hint
            assert server.weights() == {"1": 100}
            assert await server.actions() == ["publish"]
            assert server.desired().revision == 1
        assert await server.states() == {"1": "ready", "2": "failed"}
        filler.unlink()
        await server.publish("2", server.bundle(2.0))
        assert server.weights() == {"2": 100}

    scenario(home, play)


def test_logs(server_home):
    async def play(server):
        assert await server.plane.logs(5) == []
        log = server_home / "server.log"
        log.write_text("one\ntwo\nthree")
        assert await server.plane.logs(2) == ["two", "three"]
        assert await server.plane.logs(0) == []
        assert await server.plane.logs(100) == ["one", "two", "three"]
        log.write_bytes(b"\xff\n" + b"".join(b"%d %s\n" % (number, b"x" * 500) for number in range(2000)))
        found = await server.plane.logs(700)
        assert [line.split()[0] for line in found] == [str(number) for number in range(1300, 2000)]
        assert (await server.plane.logs(5000))[0] == "\ufffd"

    scenario(server_home, play)


def test_shutdown_and_counts(server_home):
    stopped = []

    async def play(server):
        await server.publish("1")
        await server.plane.shutdown()
        assert (await server.plane.counts()).loaded == {"digits": 1}

    scenario(server_home, play, stop=lambda: stopped.append(True))
    assert stopped == [True]
