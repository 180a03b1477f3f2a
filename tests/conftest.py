from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess

import pytest


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory):
    """One maas home for the tests that only need names of their own in it; creating a registry takes seconds."""
    return tmp_path_factory.mktemp("maas-home")


@pytest.fixture
def home(shared_home, monkeypatch):
    """The shared home, in force."""
    monkeypatch.setenv("MAAS_HOME", str(shared_home))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return shared_home


@pytest.fixture
def own_home(tmp_path, monkeypatch):
    """An empty maas home, in force; its server is stopped at the end."""
    monkeypatch.setenv("MAAS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    yield tmp_path / "home"
    stop_server(tmp_path / "home")


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive():
    """A job in the background of a shell ignores interrupts, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def _stop_shared_server(shared_home):
    yield
    stop_server(shared_home)


@pytest.fixture(scope="module", autouse=True)
def _withdraw_what_was_published(shared_home):
    """What one file of tests leaves published or connected is not found by the next."""
    yield
    from maas_jupyter.targets.local import LocalTarget

    for name in ("targets.json", "attached.json"):
        (shared_home / name).unlink(missing_ok=True)
    if (shared_home / "server").exists():
        target = LocalTarget(shared_home / "server")
        for endpoint in target.endpoints():
            target.unpublish(endpoint.name)


def stop_server(home):
    from maas_jupyter.targets.local import LocalTarget

    if (home / "server").exists():
        LocalTarget(home / "server").stop()


@pytest.fixture
def child_environment(home):
    """The environment of a process that shares the home."""
    return {**os.environ, "MAAS_HOME": str(home)}


@pytest.fixture
def small_disk(request, tmp_path):
    """A file system of its own, of one megabyte or the module's ``DISK_SIZE``."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = getattr(request.module, "DISK_SIZE", "1m")
    if not shutil.which("mount"):
        pytest.skip("A small disk cannot be mounted here.")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"A small disk cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def fill():
    """Return a function that fills a disk to its last byte and gives the file to delete for room."""

    def fill(disk):
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            for size in (4096, 1):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        return filler

    return fill
