from __future__ import annotations

import os

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
def _stop_shared_server(shared_home):
    yield
    stop_server(shared_home)


def stop_server(home):
    from maas_jupyter.targets.local import LocalTarget

    if (home / "server").exists():
        LocalTarget(home / "server").stop()


@pytest.fixture
def child_environment(home):
    """The environment of a process that shares the home."""
    return {**os.environ, "MAAS_HOME": str(home)}
