"""Runtimes that batch for themselves: awaited directly, within the same limits."""

from __future__ import annotations

import asyncio
import time

import pytest
from data_plane_parts import batcher, context, rows, until
from fake_runtimes import SelfBatching
from starlette.requests import ClientDisconnect

from maas_jupyter.errors import InvalidInput, TooManyRequests, Unavailable
from maas_jupyter.serving.options import Limits


@pytest.fixture(autouse=True)
def itself(fake_runtime):
    fake_runtime(SelfBatching)


def ask(batch, *values, **fields):
    return asyncio.ensure_future(batch.infer(rows(*values), len(values), context(**fields)))


def test_requests_reach_it_at_once_and_together(tmp_path):
    async def scenario():
        batch, runtime, metrics = batcher(tmp_path)
        tasks = [ask(batch, 1), ask(batch, 2, 3)]
        await until(lambda: runtime.asked == [1, 2])
        runtime.go.set()
        assert [(await task)["y"][:, 0].tolist() for task in tasks] == [[2], [4, 6]]
        assert metrics.counts.batch_rows["m", "1"].total == 3
        with pytest.raises(InvalidInput, match="negative"):
            await ask(batch, -1)

    asyncio.run(scenario())


def test_the_number_in_flight_is_limited(tmp_path):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path, limits=Limits(queue=2))
        tasks = [ask(batch, 1), ask(batch, 2)]
        await until(lambda: len(runtime.asked) == 2)
        with pytest.raises(TooManyRequests, match="2 requests are being answered"):
            await ask(batch, 3)
        runtime.go.set()
        await asyncio.gather(*tasks)
        await ask(batch, 3)

    asyncio.run(scenario())


def test_it_is_cancelled_when_patience_ends(tmp_path):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path, limits=Limits(queue=3))
        gone = asyncio.Event()
        left, late, dropped = (
            ask(batch, 1, disconnected=gone.wait),
            ask(batch, 1, 2, deadline=time.monotonic() + 0.05),
            ask(batch, 1, 2, 3),
        )
        with pytest.raises(Unavailable, match="deadline"):
            await late
        assert runtime.cancelled == [2]
        gone.set()
        with pytest.raises(ClientDisconnect):
            await left
        dropped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropped
        assert runtime.cancelled == [2, 1, 3]
        runtime.go.set()
        assert len(await asyncio.gather(*(ask(batch, 1) for _ in range(3)))) == 3, "all places are free again"

    asyncio.run(scenario())
