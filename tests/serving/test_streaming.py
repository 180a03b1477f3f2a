"""The door for runtimes that answer in parts."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing

import httpx
import pytest
import uvicorn
from bundles import Bundles
from data_plane_parts import context, rows, until
from fake_runtimes import ROWS, Doubling, Streaming
from starlette.requests import ClientDisconnect

from maas_jupyter.errors import InvalidInput, TooManyRequests, Unavailable
from maas_jupyter.schema import ServedModel, ServedVersion
from maas_jupyter.serving.auth import Principal
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.exchange import Exchange, RequestContext
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.repository import ModelRepository


async def opened(folder, limits=None):
    """Serve one version of model m; return the data plane and the runtime."""
    repository = ModelRepository(folder / "home", Metrics(), limits=limits)
    made = Bundles(folder / "made").write(b"", ROWS, runtime="fake")
    target = folder / "home" / "bundles" / Bundles.digest(made)
    target.parent.mkdir(parents=True)
    made.rename(target)
    await repository.apply(ServedModel("m", [ServedVersion("1", target.name)]), [])
    return DataPlane(repository, repository.metrics), repository.router("m").pick().servable.runtime


async def read(plane, parts, wanted=10, **fields):
    """Read so many parts of a stream into a list."""
    with plane.request("m", None, context(**fields), "test") as call:
        async with aclosing(call.stream(rows(1))) as stream:
            async for answer in stream:
                parts.append(answer.outputs[0][1][0, 0].item())
                if len(parts) == wanted:
                    break


def test_ten_parts_are_one_request(tmp_path, fake_runtime):
    fake_runtime(Streaming)

    async def scenario():
        plane, runtime = await opened(tmp_path)
        parts = []
        reading = asyncio.ensure_future(read(plane, parts))
        for number in range(1, 11):
            runtime.steps.release()
            await until(lambda number=number: len(parts) == number)
        await reading
        assert parts == list(range(10))
        assert runtime.closed == 1
        assert plane.metrics.counts.requests == {("m", "1", "test", 200): 1}
        await plane.repository.close()

    asyncio.run(scenario())


def test_a_stream_that_is_not_read_to_its_end_is_closed(tmp_path, fake_runtime):
    fake_runtime(Streaming)

    async def scenario():
        plane, runtime = await opened(tmp_path)
        for _ in range(10):
            runtime.steps.release()
        parts = []
        await read(plane, parts, wanted=3)
        assert (parts, runtime.yielded, runtime.closed) == ([0, 1, 2], 3, 1)
        await plane.repository.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["hangs up", "is late", "is cancelled"])
def test_a_stream_is_closed_while_its_runtime_computes(tmp_path, fake_runtime, how):
    fake_runtime(Streaming)

    async def scenario():
        plane, runtime = await opened(tmp_path, Limits(queue=1))
        gone, parts = asyncio.Event(), []
        deadline = time.monotonic() + 0.3 if how == "is late" else None
        reading = asyncio.ensure_future(read(plane, parts, disconnected=gone.wait, deadline=deadline))
        for _ in range(3):
            runtime.steps.release()
        await until(lambda: len(parts) == 3)
        with pytest.raises(TooManyRequests):
            await read(plane, [])
        if how == "hangs up":
            gone.set()
            with pytest.raises(ClientDisconnect):
                await reading
        elif how == "is late":
            with pytest.raises(Unavailable, match="deadline"):
                await reading
        else:
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert (runtime.yielded, runtime.closed) == (3, 1)
        code = {"hangs up": 499, "is late": 503, "is cancelled": 499}[how]
        assert plane.metrics.counts.requests["m", "1", "test", code] == 1
        await plane.repository.close()

    asyncio.run(scenario())


def test_a_model_that_answers_in_one_piece_says_so(tmp_path, fake_runtime):
    fake_runtime(Doubling)

    async def scenario():
        plane, _ = await opened(tmp_path)
        with pytest.raises(InvalidInput, match="one piece"):
            await read(plane, [])
        await plane.repository.close()

    asyncio.run(scenario())


def test_a_client_that_hangs_up_after_three_parts(tmp_path, fake_runtime):
    """Over HTTP, as a route that streams will do it."""
    fake_runtime(Streaming)
    ready, ended = threading.Event(), threading.Event()
    found = {}

    async def app(scope, receive, send):
        asked = RequestContext(Principal("p"))
        exchange = Exchange(scope, receive, dict(scope["headers"]), asked, Limits())
        await exchange.body()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            with found["plane"].request("m", None, asked, "test") as call:
                async with aclosing(call.stream(rows(1))) as stream:
                    async for answer in stream:
                        part = b"%d\n" % answer.outputs[0][1][0, 0]
                        await send({"type": "http.response.body", "body": part, "more_body": True})
        except ClientDisconnect:
            ended.set()

    async def serve():
        found["plane"], found["runtime"] = await opened(tmp_path)
        server = found["server"] = uvicorn.Server(
            uvicorn.Config(app, port=0, lifespan="off", log_config=None, ws="none")
        )
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        found["loop"] = asyncio.get_running_loop()
        ready.set()
        await serving
        await found["plane"].repository.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(30)
        for _ in range(3):
            found["loop"].call_soon_threadsafe(found["runtime"].steps.release)
        port = found["server"].servers[0].sockets[0].getsockname()[1]
        with httpx.stream("POST", f"http://127.0.0.1:{port}/", content=b"", timeout=30) as answer:
            lines = answer.iter_lines()
            assert [next(lines) for _ in range(3)] == ["0", "1", "2"]
        assert ended.wait(30)
        assert (found["runtime"].yielded, found["runtime"].closed) == (3, 1)
        assert found["plane"].metrics.counts.requests == {("m", "1", "test", 499): 1}
    finally:
        found["server"].should_exit = True
        thread.join()
