from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest
from bundles import Bundles, linear_softmax

from maas_jupyter.errors import NotFound, Unauthorized, Unavailable
from maas_jupyter.schema import PublishRequest
from maas_jupyter.serving.auth import Authenticator, Principal
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.router import Router


@dataclass(frozen=True)
class Version:
    version: str


def test_a_router_follows_its_weights():
    steps = iter(np.linspace(0, 1, 1000, endpoint=False))
    router = Router("m", [(Version("1"), 90), (Version("2"), 10), (Version("3"), 0)], uniform=lambda: next(steps))
    assert Counter(router.pick().version for _ in range(1000)) == {"1": 900, "2": 100}
    assert router.pick("3") == Version("3")
    with pytest.raises(NotFound, match="no version '4'"):
        router.pick("4")


def test_a_router_without_weights():
    with pytest.raises(Unavailable, match="No version"):
        Router("m", [(Version("1"), 0)]).pick()


def test_tokens():
    authenticate = Authenticator({"secret": Principal("a"), "other": Principal("b")})
    assert authenticate(b"Bearer other") == Principal("b")
    assert authenticate(b"bearer secret") == Principal("a")
    assert "secret" not in repr(authenticate)
    for wrong in (b"", b"Bearer", b"Bearer secret2", b"secret", b"Basic secret", b"Bearer \xff"):
        with pytest.raises(Unauthorized):
            authenticate(wrong)


class SlowRuntime:
    """Answers when it is allowed to."""

    def __init__(self):
        self.entered, self.may_answer, self.unloaded = threading.Event(), threading.Event(), threading.Event()
        self.warm = 0

    def load(self, folder, manifest):
        self.path = folder

    def warm_up(self):
        self.warm += 1
        threading.Event().wait(0.01)  # slow enough not to be run on the event loop

    def run(self, inputs):
        assert not self.unloaded.is_set()
        self.entered.set()
        assert self.may_answer.wait(30)
        return {"label": np.zeros(1, np.int64), "scores": np.zeros((1, 3), np.float32)}

    def unload(self):
        self.unloaded.set()


def test_an_old_version_answers_what_it_began_before_it_is_unloaded(tmp_path):
    made = []

    def runtime(name):
        def make():
            made.append(SlowRuntime())
            return made[-1]

        return make

    async def stored(repository, folder):
        digest = Bundles.digest(folder)
        for name in ("maas.json", "model.onnx"):

            async def chunks(path):
                yield path.read_bytes()

            await repository.store.receive(digest, name, chunks(folder / name))
        await repository.store.commit(digest)
        return digest

    async def scenario():
        metrics = Metrics()
        repository = ModelRepository(tmp_path / "home", metrics, runtime)
        plane = DataPlane(repository, metrics)
        await repository.open()
        bundles = Bundles(tmp_path / "made")
        first = await stored(repository, bundles.make(linear_softmax(1)))
        second = await stored(repository, bundles.make(linear_softmax(2)))
        await repository.publish("m", PublishRequest("1", first))
        x = {"x": np.zeros((1, 4), np.float32)}

        async def infer(outputs):
            with plane.request("m", None, Principal("p"), "test") as call:
                return await call.infer(x, outputs)

        begun = asyncio.create_task(infer(None))
        await asyncio.to_thread(made[0].entered.wait, 30)

        await repository.publish("m", PublishRequest("2", second))
        made[1].may_answer.set()
        assert (await infer(["label"])).version == "2"
        assert not made[0].unloaded.is_set()
        made[0].may_answer.set()
        assert (await begun).version == "1"
        assert await asyncio.to_thread(made[0].unloaded.wait, 30)
        assert not made[1].unloaded.is_set()
        await repository.close()
        assert made[1].unloaded.is_set()
        assert all(each.warm for each in made)

    asyncio.run(scenario())


def test_a_model_that_is_loading_is_not_ready(tmp_path):
    loading, may_load = threading.Event(), threading.Event()

    class Loading(SlowRuntime):
        def load(self, folder, manifest):
            loading.set()
            assert may_load.wait(30)

    async def scenario():
        repository = ModelRepository(tmp_path / "home", Metrics(), lambda name: Loading)
        folder = Bundles(tmp_path / "made").make(linear_softmax())
        target = tmp_path / "home" / "bundles" / Bundles.digest(folder)
        target.parent.mkdir(parents=True)
        folder.rename(target)
        publishing = asyncio.create_task(repository.publish("m", PublishRequest("1", target.name)))
        await asyncio.to_thread(loading.wait, 30)
        assert repository.status("m").versions[0].state == "loading"
        with pytest.raises(Unavailable, match="loading"):
            repository.router("m")
        may_load.set()
        await publishing
        assert repository.router("m").pick().version == "1"
        await repository.close()

    asyncio.run(scenario())
