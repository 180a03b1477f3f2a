"""What a worker's runs took is there for the next ones, and the system's again when the worker is idle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import linear_softmax
from supervised import Server, until

from maas_jupyter.serving.supervisor import memory

#: Of 4 numbers each: 20 MB as a body, which the allocator keeps rather than maps.
ROWS = np.ones((1_250_000, 4), np.float32)


@pytest.fixture
def server(tmp_path, bundles):
    server = Server(tmp_path / "server", "--workers", "1", "--threads", "1").start()
    server.publish("digits", "1", bundles.make(linear_softmax()))
    yield server
    server.close()


def resident(pid):
    """Return a process's megabytes in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def test_an_idle_worker_gives_back_what_large_requests_took(server):
    (worker,) = server.ready(1)
    before = resident(worker)
    peak = 0.0
    with server.client() as client:
        for _ in range(5):
            client.infer("digits", {"x": ROWS})
            peak = max(peak, resident(worker))
    assert peak > before + 60
    until(lambda: resident(worker) < before + 30)


class Clock:
    """Stands for `time` in the module: a second passes with so much work of the processor."""

    def __init__(self):
        self.worked = self.now = 0.0

    def process_time(self):
        return self.worked

    def monotonic(self):
        return self.now


@pytest.fixture
def seconds(monkeypatch):
    """Return what lets seconds with so much work pass, and how often memory was given back in them."""
    clock, given = Clock(), []
    monkeypatch.setattr(memory, "time", clock)
    monkeypatch.setattr(memory, "give_back", lambda: given.append(clock.now))
    reclaimer = memory.Reclaimer()

    def seconds(number, work):
        before = len(given)
        for _ in range(number):
            clock.now += 1
            clock.worked += work
            reclaimer.look()
        return len(given) - before

    return seconds


def test_the_first_idle_second_after_work_gives_back(seconds):
    assert seconds(5, 0.9) == 0
    assert seconds(1, 0.01) == 1
    assert seconds(10, 0.01) == 0


def test_a_worker_that_always_has_a_little_to_do_gives_back_once_a_minute(seconds):
    assert seconds(59, 0.2) == 0
    assert seconds(1, 0.2) == 1
    assert seconds(180, 0.2) == 3


def test_a_worker_that_did_little_gives_back_within_a_minute(seconds):
    seconds(1, 0.3)
    assert seconds(60, 0.001) == 1


def test_nothing_is_given_back_in_the_middle_of_a_load(seconds):
    assert seconds(600, 0.9) == 0
    assert seconds(1, 0.2) == 1
