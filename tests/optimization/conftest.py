from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _few_turns(monkeypatch):
    """Time candidates in few turns: how fast they are is not what these tests look at."""
    monkeypatch.setattr("maas_jupyter.optimization.measure.speeds.TURNS", 6)
