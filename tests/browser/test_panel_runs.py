"""Runs in the panel of a real browser, whatever their kernel is doing."""

from __future__ import annotations

import os
import socket

import pytest
from playwright.sync_api import expect

from maas_jupyter.runs import Best, Curve, RunFolder, RunState

pytestmark = pytest.mark.browser


@pytest.fixture
def folders(own_home):
    """A run that this process has under way, and one that has ended."""
    loss = Curve()
    for step in range(300):
        loss.add(step / 100, 2.3 / (1 + step / 20))
    common = {"name": "digits", "epochs": 20, "curves": {"loss": loss}, "best": Best(9, "val_accuracy", 0.9722)}
    common |= {"pid": os.getpid(), "host": socket.gethostname(), "started": 1.7e9, "updated": 1.7e9}
    running, ended = RunFolder(own_home, "running"), RunFolder(own_home, "ended")
    ended.write(RunState(run_id="ended", status="stopped_early", epoch=12, **common))
    running.write(RunState(run_id="running", epoch=10, rows_per_second=12_345.6, remaining=65.0, **common))
    return running, ended


def test_a_run_is_shown_while_it_trains_and_stopped(folders, lab, page, artifacts):
    running, _ = folders
    url, token = lab
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    runs = page.locator("#maas-panel [data-section='runs']")
    row = runs.locator("[data-run='running']")
    expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "50")
    expect(row).to_contain_text("epoch 10 of 20 · 12,346 rows/s · 1m 5s left")
    expect(runs.locator("[data-run='ended']")).to_contain_text("stopped early")
    page.screenshot(path=artifacts / "panel_runs.png")

    row.get_by_role("button", name="Stop digits").click()
    expect(row).to_contain_text("stopping")
    assert running.stop_requested()

    state = running.read()
    state.status = "interrupted"
    running.write(state)
    expect(runs.locator("[data-run='running'][data-status='interrupted']")).to_be_visible()
    expect(row.get_by_role("button")).to_have_count(0)
