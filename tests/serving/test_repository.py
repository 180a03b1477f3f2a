"""A worker's repository: what is replaced goes on answering what it began."""

from __future__ import annotations

import asyncio
import threading

import pytest
from data_plane_parts import context, rows, until
from fake_runtimes import ROWS, Doubling

from maas_jupyter.bundle import MANIFEST_NAME
from maas_jupyter.errors import BundleError, Unavailable
from maas_jupyter.schema import ServedModel, ServedVersion, VersionStatus
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.repository import ModelRepository


@pytest.fixture
def stored(tmp_path, bundles):
    """Return a function that puts another bundle of the fake runtime into the home and gives its version."""

    def store(version):
        made = bundles.write(version.encode(), ROWS, runtime="fake")
        digest = bundles.digest(made)
        target = tmp_path / "home" / "bundles" / digest
        target.parent.mkdir(parents=True, exist_ok=True)
        made.rename(target)
        assert (target / MANIFEST_NAME).is_file()
        return ServedVersion(version, digest)

    return store


@pytest.fixture
def made(fake_runtime):
    runtimes = []

    def make():
        runtimes.append(Doubling())
        return runtimes[-1]

    fake_runtime(make)
    return runtimes


def test_a_replaced_version_answers_what_it_began_before_it_is_unloaded(tmp_path, stored, made):
    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics())
        plane = DataPlane(repository, repository.metrics)
        await repository.apply(ServedModel("m", [stored("1")]), [])

        async def infer():
            with plane.request("m", None, context(), "test") as call:
                return await call.infer(rows(1.0))

        made[0].free.clear()
        begun = asyncio.create_task(infer())
        await asyncio.to_thread(made[0].began.acquire)
        await repository.apply(ServedModel("m", [stored("2")]), [])
        assert (await infer()).version == "2"
        assert not made[0].unloaded
        made[0].free.set()
        assert (await begun).version == "1"
        await until(lambda: made[0].unloaded)
        assert not made[1].unloaded
        await repository.close()
        assert made[1].unloaded

    asyncio.run(scenario())


def test_a_version_that_is_replaced_while_the_body_arrives_still_answers(tmp_path, stored, made):
    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics())
        plane = DataPlane(repository, repository.metrics)
        await repository.apply(ServedModel("m", [stored("1")]), [])
        with plane.request("m", None, context(), "test") as call:
            await repository.apply(ServedModel("m", [stored("2")]), [])
            for _ in range(20):
                await asyncio.sleep(0)
            assert (await call.infer(rows(1.0))).version == "1"
        await until(lambda: made[0].unloaded)
        await repository.close()

    asyncio.run(scenario())


def test_a_model_that_is_loading_is_not_ready(tmp_path, stored, fake_runtime):
    loading, may_load = threading.Event(), threading.Event()

    class Loading(Doubling):
        def load(self, folder, manifest, threads=1):
            super().load(folder, manifest, threads)
            loading.set()
            assert may_load.wait(30)

    fake_runtime(Loading)

    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics())
        served = stored("1")
        known = VersionStatus("1", served.digest, 100, "loading")
        await repository.apply(ServedModel("m", [served]), [known])
        assert repository.status("m").versions == [known]
        with pytest.raises(Unavailable, match="loading"):
            repository.router("m")
        applying = asyncio.create_task(repository.apply(ServedModel("m", [served]), []))
        await asyncio.to_thread(loading.wait, 30)
        may_load.set()
        await applying
        assert repository.router("m").pick().version == "1"
        await repository.close()

    asyncio.run(scenario())


def test_what_does_not_load_is_returned_and_tried_again_by_prepare_only(tmp_path, stored, fake_runtime):
    tries = []

    class Failing(Doubling):
        def load(self, folder, manifest, threads=1):
            super().load(folder, manifest, threads)
            tries.append(1)
            if len(tries) < 3:
                raise BundleError("Not now.")

    fake_runtime(Failing)

    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics())
        served = stored("1")
        model = ServedModel("m", [served])
        failed = [VersionStatus("1", served.digest, 100, "failed", "Not now.")]
        assert await repository.apply(model, []) == failed
        assert await repository.apply(model, []) == failed
        assert len(tries) == 1
        with pytest.raises(BundleError, match="Not now"):
            await repository.prepare("m", served)
        assert await repository.apply(model, []) == failed
        await repository.prepare("m", served)
        assert await repository.apply(model, []) == []
        assert len(tries) == 3
        assert repository.router("m").weights == {"1": 100}
        await repository.close()

    asyncio.run(scenario())


def test_a_version_that_must_not_be_loaded_serves_on_where_it_is(tmp_path, stored, made):
    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics())
        model = ServedModel("m", [stored("1")])
        await repository.apply(model, [])
        quarantined = [VersionStatus("1", model.versions[0].digest, 100, "failed", "It crashes.")]
        assert await repository.apply(model, quarantined) == []
        assert repository.router("m").weights == {"1": 100}
        await repository.apply(ServedModel("m", model.versions, loaded=False), [])
        assert await repository.apply(model, quarantined) == []
        with pytest.raises(Unavailable, match="It crashes"):
            repository.router("m")
        assert len(made) == 1
        await repository.close()

    asyncio.run(scenario())


def test_a_load_that_hangs_holds_up_nothing_for_long(tmp_path, stored, fake_runtime):
    may_end = threading.Event()
    loaded = []

    class Hanging(Doubling):
        def load(self, folder, manifest, threads=1):
            super().load(folder, manifest, threads)
            loaded.append(self)
            if len(loaded) <= 3:
                assert may_end.wait(30)

    fake_runtime(Hanging)

    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics(), load_seconds=0.05)
        served = stored("1")
        for _ in range(3):  # more often than bundles are loaded at once
            with pytest.raises(BundleError, match=r"within 0\.05 s"):
                await repository.prepare("m", served)
        assert await repository.apply(ServedModel("m", [served]), []) == []
        assert repository.router("m").weights == {"1": 100}
        may_end.set()
        await until(lambda: [runtime.unloaded for runtime in loaded] == [True, True, True, False])
        await repository.close()

    asyncio.run(scenario())
