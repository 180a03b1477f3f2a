"""Calls between two processes: framing, types, errors, and the end of the other side."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from maas_jupyter.errors import BundleError, Conflict, MaasError, TooManyRequests, Unavailable
from maas_jupyter.schema import ServedModel, ServedVersion, VersionStatus
from maas_jupyter.serving.counts import SECONDS, Counts, Histogram, ProcessFigures
from maas_jupyter.serving.supervisor.base import SupervisorSide, WorkerSide
from maas_jupyter.serving.supervisor.channel import FRAME_LIMIT, Channel, Frames, PeerEnded, frame, methods, receive


class Ping(Protocol):
    async def echo(self, model: ServedModel, others: list[VersionStatus]) -> ServedModel: ...

    async def counts(self) -> Counts: ...

    async def fail(self, kind: str) -> None: ...

    async def wait(self) -> None: ...

    async def back(self, number: int) -> int: ...


class Answers:
    def __init__(self):
        self.release = asyncio.Event()
        self.channel = None

    async def echo(self, model, others):
        assert isinstance(model, ServedModel)
        assert all(isinstance(row, VersionStatus) for row in others)
        return model

    async def counts(self):
        counts = Counts()
        counts.requests["digits", "1", "v2", 200] = 7
        counts.request_seconds["digits", "1"] = Histogram.over(SECONDS)
        counts.shadow["digits", "2", "agree"] = 3
        counts.processes.append(ProcessFigures.of_this("worker"))
        return counts

    async def fail(self, kind):
        raise {
            "conflict": Conflict("no canary", "publish one"),
            "full": TooManyRequests("full", "later", retry_after=2.5),
            "own": Special("special", "hint"),
            "base": MaasError("plain"),
            "secret": RuntimeError("the token is abc123"),
        }[kind]

    async def wait(self):
        await self.release.wait()

    async def back(self, number):
        return number if number == 0 else await self.channel.back(number - 1)


class Special(BundleError):
    """A kind that the other end has never heard of."""


@contextlib.asynccontextmanager
async def pair():
    ours, theirs = socket.socketpair()
    ends = []
    for sock, peer in ((ours, "The left"), (theirs, "The right")):
        answers = Answers()
        answers.channel = Channel(asks=Ping, offers=Ping, by=answers, peer=peer)
        await answers.channel.open(sock)
        ends.append(answers)
    try:
        yield ends
    finally:
        for end in ends:
            end.channel.close()
            await end.channel.closed


def run(body):
    async def inside():
        async with pair() as (left, right):
            await body(left, right)

    asyncio.run(inside())


MODEL = ServedModel("digits", [ServedVersion("1", "a" * 64)], revision=3)


@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_frames_survive_any_cut(messages, data):
    stream = b"".join(frame(message) for message in messages)
    frames, found, start = Frames(), [], 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        found += frames.feed(stream[start:end])
        start = end
    assert found == [frame(message)[4:] for message in messages]


def test_a_frame_that_claims_too_much_is_refused():
    with pytest.raises(ValueError, match="frame"):
        Frames().feed((FRAME_LIMIT + 1).to_bytes(4, "big"))


@given(st.binary(max_size=200))
def test_noise_ends_the_channel_and_nothing_else(noise):
    async def inside():
        ours, theirs = socket.socketpair()
        channel = Channel(asks=Ping, offers=Ping, by=Answers(), peer="It")
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        await channel.open(ours)
        theirs.sendall(noise)
        theirs.close()
        await channel.closed

    asyncio.run(inside())


def test_types_arrive_as_they_were_sent():
    async def body(left, right):
        rows = [VersionStatus("2", "b" * 64, 0, "failed", "why")]
        assert await left.channel.echo(MODEL, rows) == MODEL
        counts = await left.channel.counts()
        assert counts.requests == {("digits", "1", "v2", 200): 7}
        assert counts.shadow == {("digits", "2", "agree"): 3}
        assert counts.request_seconds["digits", "1"] == Histogram.over(SECONDS)
        assert counts.processes[0].pid == os.getpid()
        assert counts.processes[0].resident_bytes > 1e6

    run(body)


def test_both_ways_at_once():
    async def body(left, right):
        assert await asyncio.gather(left.channel.back(20), right.channel.back(21), left.channel.back(0)) == [0, 0, 0]

    run(body)


def test_a_large_message():
    async def body(left, right):
        model = ServedModel("m", [ServedVersion(str(number), "d" * 64) for number in range(50_000)])
        assert await left.channel.echo(model, []) == model

    run(body)


@pytest.mark.parametrize(
    ("kind", "error", "text", "retry_after"),
    [
        ("conflict", Conflict, "no canary\npublish one", None),
        ("full", TooManyRequests, "full\nlater", 2.5),
        ("own", BundleError, "special\nhint", None),
        ("base", MaasError, "plain", None),
        ("secret", MaasError, "fail: internal error", None),
    ],
)
def test_errors_keep_their_kind(kind, error, text, retry_after):
    async def body(left, right):
        with pytest.raises(MaasError) as raised:
            await left.channel.fail(kind)
        assert type(raised.value) is error
        assert str(raised.value) == text
        assert getattr(raised.value, "retry_after", None) == retry_after
        assert await left.channel.back(1) == 0  # and the channel goes on

    run(body)


def test_what_waits_fails_when_the_other_end_is_gone():
    async def body(left, right):
        waiting = [asyncio.ensure_future(left.channel.wait()) for _ in range(3)]
        await left.channel.back(1)
        right.channel.close()
        for each in waiting:
            with pytest.raises(PeerEnded, match="The left has ended"):
                await each
        await left.channel.closed
        with pytest.raises(Unavailable):
            await left.channel.counts()
        left.channel.tell("wait")

    run(body)


def test_a_caller_that_gives_up_harms_nothing():
    async def body(left, right):
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(left.channel.wait(), 0.01)
        right.release.set()
        assert await left.channel.back(3) == 0

    run(body)


def test_only_what_is_offered_can_be_asked():
    async def body(left, right):
        with pytest.raises(AttributeError, match="release"):
            left.channel.release  # noqa: B018
        left.channel._send(("call", 99, "__init__", ()))
        left.channel._send(("call", 99, "release", ()))
        assert await left.channel.back(1) == 0

    run(body)


def test_every_method_of_both_sides_can_be_sent():
    assert {"prepare", "apply", "forget", "counts", "restore", "settle", "drain"} == set(methods(WorkerSide))
    assert {"publish", "shutdown", "loading", "loaded", "report", "leave"} < set(methods(SupervisorSide))


def test_the_first_message():
    class Hello(Struct):
        text: str

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(frame(Hello("x" * 10_000)))
        assert receive(theirs, Hello).text == "x" * 10_000
        ours.close()
        with pytest.raises(EOFError):
            receive(theirs, Hello)
