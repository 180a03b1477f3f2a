"""Batching while busy: an idle model computes at once; what arrives while it computes forms the next batch.

Everything here happens on the event loop's thread; only runs happen in others, one at a time for each version.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from concurrent.futures import Executor

import numpy as np

from maas_jupyter.errors import InvalidInput, TooManyRequests, Unavailable
from maas_jupyter.serving.exchange import RequestContext
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.pace import Pace
from maas_jupyter.serving.patience import Patience, too_late
from maas_jupyter.serving.runtimes.base import BatchingRuntime, StreamingRuntime
from maas_jupyter.serving.servable import Servable, similar

#: A request that is expected to compute for less than this runs on the event loop: a thread hop would cost more.
INLINE_SECONDS = 0.002

Arrays = dict[str, np.ndarray]


class _Waiting:
    """A request that waits for its run, or is in it."""

    __slots__ = ("arrived", "future", "inputs", "length", "rows", "shapes")

    def __init__(
        self,
        inputs: Arrays,
        rows: int,
        shapes: tuple[tuple[int, ...], ...] | None,
        length: int,
        future: asyncio.Future[Arrays],
    ) -> None:
        self.inputs = inputs
        self.rows = rows
        #: Requests with equal ones can be one batch; None where it has to run alone.
        self.shapes = shapes
        self.length = length
        self.future = future
        self.arrived = time.perf_counter()

    def end(self, answer: Arrays | BaseException) -> None:
        """Give it its answer, unless whoever waited for it is gone."""
        if self.future.done():
            return
        if isinstance(answer, BaseException):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)


class Batcher:
    """Runs the requests of one loaded version.

    Parameters
    ----------
    model, version : str
        For the counts and for errors.
    servable : Servable
        What computes.
    metrics : Metrics
        Where waits and runs are counted.
    executor : Executor
        Where runs happen that would hold the event loop up.
    limits : Limits
        How many requests may wait.
    """

    def __init__(
        self, model: str, version: str, servable: Servable, metrics: Metrics, executor: Executor, limits: Limits
    ) -> None:
        self._name = f"version '{version}' of model '{model}'"
        self._servable = servable
        self._meter = metrics.meter(model, version)
        self._executor = executor
        self._limit = limits.queue
        self._pace = Pace(servable.seconds)
        self._uniform = servable.uniform
        self._batchable = servable.batchable
        self._max_batch = servable.manifest.max_batch
        self._inputs = [spec.name for spec in servable.manifest.signature.inputs]
        runtime = servable.runtime
        self._batching = runtime if isinstance(runtime, BatchingRuntime) else None
        self._streaming = runtime if isinstance(runtime, StreamingRuntime) else None
        self._queue: dict[_Waiting, None] = {}
        self._queued_rows = 0
        self._in_flight = 0
        self._running = False
        self._run_ends = 0.0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def depth(self) -> int:
        """How many requests wait."""
        return len(self._queue)

    async def drained(self) -> None:
        """Wait until nothing is being computed: a run goes on to its end though nobody may wait for it any more."""
        await self._idle.wait()

    # -- asking -------------------------------------------------------------------------------------------------------

    async def infer(self, inputs: Arrays, rows: int, context: RequestContext) -> Arrays:
        """Compute one request's outputs.

        Parameters
        ----------
        inputs : dict of str to ndarray
            Validated against the signature.
        rows : int
            Largest first axis among them.
        context : RequestContext
            Until when, and for whom.

        Raises
        ------
        InvalidInput
            If the model refuses the values.
        TooManyRequests
            If too many requests wait already.
        Unavailable
            If the request's deadline passes before its run ends, or surely would before that begins.
        ClientDisconnect
            If the client hangs up before its run ends.
        """
        if context.deadline is not None and context.deadline <= time.monotonic():
            raise too_late()
        if self._batching is not None:
            return await self._hand_over(self._batching, inputs, rows, context)
        if not self._running:
            if self._uniform and self._pace.expected(rows) <= INLINE_SECONDS:
                return self._run_here(inputs, rows)
            waiting = self._run_now(inputs, rows)
        else:
            self._admit(context)
            waiting = self._enqueue(inputs, rows)
        with Patience(context, lambda error: self._give_up(waiting, error)):
            try:
                return await waiting.future
            finally:
                self._dequeue(waiting)

    async def infer_aside(self, inputs: Arrays, rows: int) -> Arrays:
        """Compute for nobody who waits: never on the event loop, and only where nothing else is to be computed.

        Raises
        ------
        InvalidInput
            If the model refuses the values.
        TooManyRequests
            If something is being computed.
        """
        if self._running or self._in_flight:
            raise TooManyRequests(f"The {self._name} is computing.")
        if self._batching is not None:
            return await self._batching.infer(await self._preprocess(inputs))
        return await self._run_now(inputs, rows).future

    async def stream(self, inputs: Arrays, rows: int, context: RequestContext) -> AsyncGenerator[Arrays, None]:
        """Yield one request's outputs in parts, as the runtime makes them.

        Parameters
        ----------
        inputs, rows, context
            As for `infer`.

        Raises
        ------
        InvalidInput
            If the model answers in one piece, or refuses the values.
        TooManyRequests
            If too many requests are being answered already.
        Unavailable
            If the request's deadline passes.
        ClientDisconnect
            If the client hangs up; the runtime's generator is closed then.
        """
        if self._streaming is None:
            raise InvalidInput(f"The {self._name} answers in one piece.", hint="Ask it without streaming.")
        self._admit_flight()
        self._in_flight += 1
        started = time.perf_counter()
        try:
            with Patience(context) as patience:
                parts = self._streaming.stream(await patience.wait_for(self._preprocess(inputs)))
                try:
                    while True:
                        try:
                            part = await patience.wait_for(anext(parts))
                        except StopAsyncIteration:
                            break
                        yield part
                finally:
                    await parts.aclose()
            self._meter.ran(rows, time.perf_counter() - started)
        finally:
            self._in_flight -= 1

    async def _hand_over(self, runtime: BatchingRuntime, inputs: Arrays, rows: int, context: RequestContext) -> Arrays:
        """Let the runtime batch for itself."""
        self._admit_flight()
        self._in_flight += 1
        started = time.perf_counter()
        try:
            with Patience(context) as patience:
                ready = await patience.wait_for(self._preprocess(inputs))
                outputs = await patience.wait_for(runtime.infer(ready))
            self._meter.ran(rows, time.perf_counter() - started)
            return outputs
        finally:
            self._in_flight -= 1

    async def _preprocess(self, inputs: Arrays) -> Arrays:
        if not self._servable.manifest.preprocessing:
            return self._servable.preprocess(inputs)
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._servable.preprocess, inputs)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _admit(self, context: RequestContext) -> None:
        """Refuse what cannot be answered in time."""
        wait = self._expected_wait()
        if len(self._queue) >= self._limit:
            raise TooManyRequests(
                f"{len(self._queue)} requests wait for {self._name}.",
                hint="Send fewer at once, or serve it with more workers.",
                retry_after=wait,
            )
        if context.deadline is not None and context.deadline < time.monotonic() + wait:
            raise too_late(retry_after=wait)

    def _admit_flight(self) -> None:
        if self._in_flight >= self._limit:
            raise TooManyRequests(
                f"{self._in_flight} requests are being answered by {self._name}.",
                hint="Send fewer at once, or serve it with more workers.",
                retry_after=1.0,
            )

    def _expected_wait(self) -> float:
        full, rest = divmod(self._queued_rows, self._max_batch)
        batches = full * self._pace.expected(self._max_batch) + self._pace.expected(rest)
        return max(self._run_ends - time.perf_counter(), 0.0) + batches

    def _enqueue(self, inputs: Arrays, rows: int) -> _Waiting:
        shapes = None
        # Where first axes differ, the graph itself has to say what that means.
        if self._batchable and all(len(array) == rows for array in inputs.values()):
            shapes = tuple(inputs[name].shape[1:] for name in self._inputs)
        future = asyncio.get_running_loop().create_future()
        waiting = _Waiting(inputs, rows, shapes, self._servable.length(inputs) or 0, future)
        self._queue[waiting] = None
        self._queued_rows += rows
        return waiting

    def _dequeue(self, waiting: _Waiting) -> None:
        if waiting in self._queue:
            del self._queue[waiting]
            self._queued_rows -= waiting.rows

    def _give_up(self, waiting: _Waiting, error: Exception) -> None:
        # A run that has begun goes on to its end in its thread, but for nobody.
        self._dequeue(waiting)
        waiting.end(error)

    # -- running ------------------------------------------------------------------------------------------------------

    def _run_here(self, inputs: Arrays, rows: int) -> Arrays:
        started = time.perf_counter()
        outputs = self._servable.run(inputs)
        seconds = time.perf_counter() - started
        self._pace.learn(rows, seconds)
        self._meter.waited(0.0)
        self._meter.ran(rows, seconds)
        return outputs

    def _run_now(self, inputs: Arrays, rows: int) -> _Waiting:
        waiting = self._enqueue(inputs, rows)
        self._run_next()
        return waiting

    def _run_next(self) -> None:
        batch = self._take()
        rows = sum(waiting.rows for waiting in batch)
        run = asyncio.get_running_loop().run_in_executor(self._executor, self._run, batch, rows)
        run.add_done_callback(lambda run: self._finish(batch, run))
        self._running = True
        self._idle.clear()
        now = time.perf_counter()
        self._run_ends = now + self._pace.expected(rows)
        for waiting in batch:
            self._meter.waited(now - waiting.arrived)

    def _take(self) -> list[_Waiting]:
        """Take the next batch out of the queue: the oldest request, and what fits to it best."""
        oldest = next(iter(self._queue))
        batch, rows = [oldest], oldest.rows
        if oldest.shapes is not None and self._batchable:
            others = [waiting for waiting in self._queue if waiting.shapes == oldest.shapes and waiting is not oldest]
            others.sort(key=lambda waiting: abs(waiting.length - oldest.length))
            shortest = longest = oldest.length
            for waiting in others:
                low, high = min(shortest, waiting.length), max(longest, waiting.length)
                if rows + waiting.rows <= self._max_batch and similar(low, high):
                    shortest, longest = low, high
                    rows += waiting.rows
                    batch.append(waiting)
        for waiting in batch:
            self._dequeue(waiting)
        return batch

    def _run(self, batch: list[_Waiting], rows: int) -> tuple[list[Arrays | Exception], list[tuple[int, float]]]:
        """Compute a batch, in a thread; return what each request gets, and rows and seconds of each run."""
        if len(batch) > 1:
            started = time.perf_counter()
            joint = {name: np.concatenate([waiting.inputs[name] for waiting in batch]) for name in batch[0].inputs}
            try:
                outputs = self._servable.run(joint)
            except InvalidInput:
                pass  # one request's values: found below, so that the others get their answers
            else:
                seconds = time.perf_counter() - started
                if all(array.shape[:1] == (rows,) for array in outputs.values()):
                    return _split(outputs, batch), [(rows, seconds)]
                # The signature promises a row for a row, but this graph does not keep that.
                self._batchable = False
        answers: list[Arrays | Exception] = []
        runs = []
        for waiting in batch:
            started = time.perf_counter()
            try:
                answers.append(self._servable.run(waiting.inputs))
                runs.append((waiting.rows, time.perf_counter() - started))
            except InvalidInput as error:
                answers.append(error)
        return answers, runs

    def _finish(
        self, batch: list[_Waiting], run: asyncio.Future[tuple[list[Arrays | Exception], list[tuple[int, float]]]]
    ) -> None:
        """Answer a batch and begin the next, back on the event loop."""
        self._running = False
        if run.cancelled():
            answers: list[Arrays | BaseException] = [Unavailable("The server is stopping.")] * len(batch)
        elif error := run.exception():
            answers = [error] * len(batch)
        else:
            answers, runs = run.result()  # type: ignore[assignment]
            for rows, seconds in runs:
                self._pace.learn(rows, seconds)
                self._meter.ran(rows, seconds)
        # The next run begins before this one's answers are encoded.
        if self._queue:
            self._run_next()
        else:
            self._idle.set()
        for waiting, answer in zip(batch, answers, strict=True):
            waiting.end(answer)


def _split(outputs: Arrays, batch: list[_Waiting]) -> list[Arrays | Exception]:
    answers: list[Arrays | Exception] = []
    start = 0
    for waiting in batch:
        end = start + waiting.rows
        answers.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return answers
