from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from data_plane_parts import batcher, context, rows, until
from fake_runtimes import Doubling, QuickDoubling
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from maas_jupyter.errors import InvalidInput, TooManyRequests, Unavailable
from maas_jupyter.schema import Signature, TensorSpec
from maas_jupyter.serving.options import Limits

FREE_COLUMNS = Signature([TensorSpec("x", "FP32", [-1, -1])], [TensorSpec("y", "FP32", [-1, -1])])


@pytest.fixture
def doubling(fake_runtime):
    fake_runtime(Doubling)


def ask(batch, *values, **fields):
    """Begin a request for rows of these values."""
    return asyncio.ensure_future(batch.infer(rows(*values), len(values), context(**fields)))


async def occupied(batch, runtime):
    """Begin a request whose run does not end before ``runtime.free`` is set."""
    runtime.free.clear()
    first = ask(batch, 100)
    assert await asyncio.to_thread(runtime.began.acquire, timeout=30)
    return first


def test_an_idle_model_computes_at_once_and_alone(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        for value in (1, 2):
            assert (await ask(batch, value))["y"].tolist() == [[value * 2] * 2]
        assert runtime.rows == [1, 1]
        assert threading.get_ident() not in runtime.threads

    asyncio.run(scenario())


def test_what_arrives_during_a_run_is_the_next_batch(tmp_path, doubling):
    async def scenario():
        batch, runtime, metrics = batcher(tmp_path)
        first = await occupied(batch, runtime)
        others = [ask(batch, 1, 2), ask(batch, 3), ask(batch, 4, 5, 6)]
        await until(lambda: batch.depth == 3)
        runtime.free.set()
        answers = await asyncio.gather(first, *others)
        assert [answer["y"][:, 0].tolist() for answer in answers] == [[200], [2, 4], [6], [8, 10, 12]]
        assert runtime.rows == [1, 6]
        assert runtime.runs[1][:, 0].tolist() == [1, 2, 3, 4, 5, 6], "oldest first"
        assert batch.depth == 0
        counts = metrics.counts
        assert counts.queue_seconds["m", "1"].count == 4
        assert counts.inference_seconds["m", "1"].count == 2
        assert counts.batch_rows["m", "1"].total == 7
        assert counts.last_inference["m", "1"] == pytest.approx(time.time(), abs=60)

    asyncio.run(scenario())


def test_a_batch_has_at_most_the_bundles_number_of_rows(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path, max_batch=4)
        first = await occupied(batch, runtime)
        others = [ask(batch, *range(size)) for size in (3, 2, 1, 5, 4)]
        await until(lambda: batch.depth == 5)
        runtime.free.set()
        await asyncio.gather(first, *others)
        # The larger request than a batch runs alone, and in parts.
        assert runtime.rows == [1, 4, 2, 4, 1, 4]

    asyncio.run(scenario())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 1000), min_size=1, max_size=5), min_size=1, max_size=12), st.integers(1, 8))
def test_every_request_gets_its_own_rows(tmp_path_factory, requests, max_batch):
    import fake_runtimes

    from maas_jupyter import plugins

    async def scenario():
        batch, runtime, _ = batcher(tmp_path_factory.mktemp("batch"), max_batch=max_batch)
        first = await occupied(batch, runtime)
        tasks = [ask(batch, *values) for values in requests]
        await until(lambda: batch.depth == len(requests))
        runtime.free.set()
        await first
        answers = await asyncio.gather(*tasks)
        assert [answer["y"][:, 0].tolist() for answer in answers] == [[2 * v for v in values] for values in requests]
        assert max(runtime.rows) <= max_batch

    fake_runtimes.make = Doubling
    plugins.BUILTIN["runtime"]["fake"] = plugins.Plugin("fake_runtimes:make")
    try:
        asyncio.run(scenario())
    finally:
        del plugins.BUILTIN["runtime"]["fake"]


def test_values_that_the_model_refuses_fail_their_request_only(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        good, bad, better = ask(batch, 1), ask(batch, 2, -2), ask(batch, 3)
        await until(lambda: batch.depth == 3)
        runtime.free.set()
        await first
        assert (await good)["y"].tolist() == [[2, 2]]
        assert (await better)["y"].tolist() == [[6, 6]]
        with pytest.raises(InvalidInput, match="negative"):
            await bad
        assert runtime.rows == [1, 4, 1, 2, 1]

    asyncio.run(scenario())


def test_what_breaks_in_a_run_ends_its_requests_and_no_later_one(tmp_path, fake_runtime):
    class Breaking(Doubling):
        def compute(self, x):
            if x[0, 0] == 13:
                raise ZeroDivisionError
            return super().compute(x)

    fake_runtime(Breaking)

    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        bad = ask(batch, 13)
        await until(lambda: batch.depth == 1)
        runtime.free.set()
        await first
        with pytest.raises(ZeroDivisionError):
            await bad
        runtime.running = 0
        assert (await ask(batch, 1))["y"].tolist() == [[2, 2]]

    asyncio.run(scenario())


def test_a_full_queue_refuses(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path, limits=Limits(queue=2))
        first = await occupied(batch, runtime)
        waiting = [ask(batch, 1), ask(batch, 2)]
        await until(lambda: batch.depth == 2)
        with pytest.raises(TooManyRequests, match="2 requests wait for version '1' of model 'm'") as refused:
            await ask(batch, 3)
        assert refused.value.retry_after > 0
        runtime.free.set()
        await asyncio.gather(first, *waiting)
        assert runtime.rows == [1, 2]

    asyncio.run(scenario())


def test_a_deadline_that_is_over_is_refused_at_once(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        with pytest.raises(Unavailable, match="deadline"):
            await ask(batch, 1, deadline=time.monotonic() - 1)
        assert runtime.rows == []

    asyncio.run(scenario())


def test_a_deadline_that_would_surely_pass_is_refused_at_once(tmp_path, fake_runtime):
    class Slow(Doubling):
        def warm_up(self):
            threading.Event().wait(0.2)

    fake_runtime(Slow)

    async def scenario():
        batch, runtime, _ = batcher(tmp_path, max_batch=1)
        first = await occupied(batch, runtime)
        waiting = [ask(batch, 1) for _ in range(20)]
        await until(lambda: batch.depth == 20)
        with pytest.raises(Unavailable, match="deadline") as refused:
            await ask(batch, 2, deadline=time.monotonic() + 1)
        assert 2 < refused.value.retry_after < 10
        assert batch.depth == 20
        runtime.free.set()
        await asyncio.gather(first, *waiting)

    asyncio.run(scenario())


def test_a_deadline_that_passes_during_the_wait_ends_it_then(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        late = ask(batch, 1, deadline=time.monotonic() + 0.05)
        patient = ask(batch, 2, deadline=time.monotonic() + 60)
        with pytest.raises(Unavailable, match="deadline"):
            await late
        assert not first.done()
        assert batch.depth == 1
        runtime.free.set()
        await asyncio.gather(first, patient)
        assert runtime.rows == [1, 1]

    asyncio.run(scenario())


def test_a_client_that_hung_up_costs_no_inference(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        gone = asyncio.Event()
        waiting = [ask(batch, 1, disconnected=gone.wait), ask(batch, 2, disconnected=asyncio.Event().wait)]
        await until(lambda: batch.depth == 2)
        gone.set()
        with pytest.raises(ClientDisconnect):
            await waiting[0]
        assert batch.depth == 1
        runtime.free.set()
        await asyncio.gather(first, waiting[1])
        assert [x[:, 0].tolist() for x in runtime.runs] == [[100], [2]]

    asyncio.run(scenario())


def test_a_cancelled_request_leaves_the_queue_and_a_cancelled_run_is_waited_for(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        waiting = ask(batch, 1)
        await until(lambda: batch.depth == 1)
        for task in (waiting, first):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert batch.depth == 0
        drained = asyncio.ensure_future(batch.drained())
        await asyncio.sleep(0)
        assert not drained.done()
        runtime.free.set()
        await drained
        assert runtime.running == 0
        assert runtime.rows == [1]
        assert (await ask(batch, 3))["y"].tolist() == [[6, 6]]

    asyncio.run(scenario())


def test_requests_of_different_shapes_are_different_batches(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path, signature=FREE_COLUMNS)
        first = await occupied(batch, runtime)
        others = [
            asyncio.ensure_future(batch.infer({"x": np.ones((1, size), np.float32)}, 1, context()))
            for size in (2, 3, 2, 3)
        ]
        await until(lambda: batch.depth == 4)
        runtime.free.set()
        await asyncio.gather(first, *others)
        assert [x.shape for x in runtime.runs] == [(1, 2), (2, 2), (2, 3)]

    asyncio.run(scenario())


def test_inputs_of_different_numbers_of_rows_run_alone(tmp_path, doubling):
    two = Signature([*FREE_COLUMNS.inputs, TensorSpec("z", "FP32", [-1])], FREE_COLUMNS.outputs)

    async def scenario():
        batch, runtime, _ = batcher(tmp_path, signature=two)
        runtime.free.clear()
        tasks = [
            asyncio.ensure_future(batch.infer({**rows(1, 2), "z": np.ones(size, np.float32)}, 2, context()))
            for size in (2, 2, 1, 2)
        ]
        await until(lambda: batch.depth == 3)
        runtime.free.set()
        await asyncio.gather(*tasks)
        assert runtime.rows == [2, 4, 2]

    asyncio.run(scenario())


def test_a_graph_without_a_row_for_each_row_runs_each_request_alone(tmp_path, fake_runtime):
    class Summing(Doubling):
        def compute(self, x):
            return {"y": x.sum(axis=0, keepdims=True)}

    fake_runtime(Summing)

    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        others = [ask(batch, 1, 2), ask(batch, 3)]
        await until(lambda: batch.depth == 2)
        runtime.free.set()
        await first
        assert [(await task)["y"].tolist() for task in others] == [[[3, 3]], [[3, 3]]]
        assert runtime.rows == [1, 3, 2, 1]

    asyncio.run(scenario())


def test_texts_of_similar_length_run_together_and_the_oldest_first(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path, length=lambda inputs: int(inputs["x"][0, 0]))
        first = await occupied(batch, runtime)
        others = [ask(batch, length) for length in (1000, 10, 20, 990, 400, 30)]
        await until(lambda: batch.depth == 6)
        runtime.free.set()
        await asyncio.gather(first, *others)
        assert [x[:, 0].tolist() for x in runtime.runs[1:]] == [[1000, 990], [10, 20, 30], [400]]

    asyncio.run(scenario())


def test_a_quick_model_runs_on_the_event_loop_until_it_turns_out_slow(tmp_path, fake_runtime):
    class TurnsSlow(QuickDoubling):
        seconds = 0.0

        def compute(self, x):
            threading.Event().wait(self.seconds)
            return super().compute(x)

    fake_runtime(TurnsSlow)

    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        await ask(batch, 1)
        assert runtime.threads == [threading.get_ident()]
        runtime.seconds = 0.01
        for _ in range(20):
            await ask(batch, 1)
        assert runtime.threads[-1] != threading.get_ident()
        runtime.seconds = 0.0
        for _ in range(100):
            await ask(batch, 1)
        assert runtime.threads[-1] == threading.get_ident()

    asyncio.run(scenario())


def test_many_rows_of_a_quick_model_leave_the_event_loop(tmp_path, fake_runtime):
    class FewMicroseconds(QuickDoubling):
        def warm_up(self):
            threading.Event().wait(0.0005)

    fake_runtime(FewMicroseconds)

    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        await ask(batch, *range(100))
        assert runtime.threads[0] != threading.get_ident()

    asyncio.run(scenario())


def test_a_stopped_server_answers_those_who_wait(tmp_path, doubling):
    async def scenario():
        executor = ThreadPoolExecutor(1)
        batch, runtime, _ = batcher(tmp_path / "a", executor=executor)
        other, *_ = batcher(tmp_path / "b", executor=executor)
        first = await occupied(batch, runtime)
        queued = ask(other, 1)
        await asyncio.sleep(0)
        executor.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(Unavailable, match="stopping"):
            await queued
        runtime.free.set()
        assert (await first)["y"].tolist() == [[200, 200]]

    asyncio.run(scenario())


# -- runs that hang ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("queued", [False, True])
def test_nobody_waits_for_a_run_beyond_its_deadline(tmp_path, doubling, queued):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime) if queued else None
        runtime.free.clear()
        # Queued behind a run and then in one that hangs, or in that at once.
        late = ask(batch, 1, deadline=time.monotonic() + (1 if queued else 0.1))
        if first is not None:
            await until(lambda: batch.depth == 1)
            hanging, runtime.free = runtime.free, threading.Event()
            hanging.set()
            await first
        assert await asyncio.to_thread(runtime.began.acquire, timeout=30)
        with pytest.raises(Unavailable, match="deadline"):
            await late
        assert batch.depth == 0
        drained = asyncio.ensure_future(batch.drained())
        await asyncio.sleep(0)
        assert not drained.done(), "it goes on in its thread"
        runtime.free.set()
        await drained
        assert (await ask(batch, 3))["y"].tolist() == [[6, 6]]

    asyncio.run(scenario())


def test_a_client_that_hangs_up_during_its_run_is_let_go_and_the_others_of_the_batch_are_not(tmp_path, doubling):
    async def scenario():
        batch, runtime, _ = batcher(tmp_path)
        first = await occupied(batch, runtime)
        gone = asyncio.Event()
        leaving, staying = ask(batch, 1, disconnected=gone.wait), ask(batch, 2)
        await until(lambda: batch.depth == 2)
        hanging, runtime.free = runtime.free, threading.Event()
        hanging.set()
        await first
        assert await asyncio.to_thread(runtime.began.acquire, timeout=30)
        gone.set()
        with pytest.raises(ClientDisconnect):
            await leaving
        runtime.free.set()
        assert (await staying)["y"].tolist() == [[4, 4]]
        assert runtime.rows == [1, 2]

    asyncio.run(scenario())
