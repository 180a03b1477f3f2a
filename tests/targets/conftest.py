from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from bundles import Bundles

from maas_jupyter.errors import MaasError
from maas_jupyter.serving.record import read_record
from maas_jupyter.targets.local import LocalTarget


@pytest.fixture
def bundles(tmp_path):
    return Bundles(tmp_path / "made")


@pytest.fixture
def target(tmp_path):
    """A local target on a fresh home; its server does not outlive the test."""
    target = LocalTarget(tmp_path / "home" / "server")
    yield target
    try:
        target.stop()
    except MaasError:
        if record := read_record(target.home):
            os.kill(record.pid, signal.SIGKILL)
        raise


@pytest.fixture
def kill(target):
    """End the server as the kernel does when memory runs out; returns when the process is gone."""

    def kill():
        pid = read_record(target.home).pid
        os.kill(pid, signal.SIGKILL)
        while Path(f"/proc/{pid}").exists():
            pass
        return pid

    return kill


@pytest.fixture
def paused(target, monkeypatch):
    """Stop the server's process for a while, as if it computed for long; gives its id."""

    @contextlib.contextmanager
    def pause():
        pid = read_record(target.home).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            with monkeypatch.context() as patch:
                patch.setattr("maas_jupyter.serving.client.core.STATUS_TIMEOUT", 0.3)
                yield pid
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    return pause
