"""What a worker's runs took is there for the next ones, and the system's again when the worker is idle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bundles import linear_softmax
from supervised import Server, until

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
