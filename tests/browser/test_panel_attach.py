"""The way of an endpoint that was not started here: watched by its address, shown live, let go."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

sys.path.insert(0, str(Path(__file__).parents[1] / "monitoring"))

from foreign_servers import Triton

pytestmark = pytest.mark.browser


@pytest.fixture
def triton():
    server = Triton()
    yield server
    server.stop()


def test_a_foreign_endpoint_is_watched_shown_live_and_let_go(own_home, triton, lab, page, artifacts):
    url, token = lab
    thrown = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    panel = page.locator("#maas-panel")
    panel.get_by_role("button", name="Watch an endpoint that was not started here").press("Enter")
    dialog = page.locator(".jp-Dialog-content")
    problem = dialog.get_by_role("alert")
    expect(dialog.get_by_label("Address", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(problem).to_have_text("Type the address of the server.")
    page.keyboard.type("http://127.0.0.1:1")
    page.keyboard.press("Enter")
    expect(problem).to_contain_text("Nothing answers at http://127.0.0.1:1: the connection was refused. Nothing")
    dialog.get_by_label("Address", exact=True).fill(triton.url)
    page.keyboard.press("Enter")
    expect(dialog).to_have_count(0)
    notes = page.locator(".Toastify__toast")
    expect(notes.filter(has_text=f"triton is watched: Triton at {triton.url}")).to_be_visible()

    row = panel.locator("[data-endpoint='resnet'][data-target='triton'][data-kind='Triton']")
    expect(row).to_have_attribute("data-state", "ready")
    expect(row.locator("[data-stat='requests_total']")).to_have_attribute("data-value", "0")
    triton.serve(40, failed=2)
    expect(row.locator("[data-stat='requests_total']")).to_have_attribute("data-value", "42")
    expect(row.locator("[data-stat='errors_total']")).to_have_attribute("data-value", "2")
    expect(row.locator("[data-stat='mean_ms']")).to_contain_text("2.5 ms")
    expect(row.locator("[data-stat='p95_ms'], [data-stat='memory']")).to_have_count(0)
    broken = panel.locator("[data-endpoint='broken'][data-state='failed']")
    expect(broken).to_contain_text("Internal: no model.plan")
    page.screenshot(path=artifacts / "panel_attached.png")

    row.get_by_role("button", name="Open the dashboard of 'resnet' on 'triton'").click()
    dashboard = page.locator(".maas-dashboard[data-target='triton']")
    expect(dashboard.locator("[data-chart='traffic'] canvas")).to_be_visible()
    expect(dashboard.locator("[data-chart='memory']")).to_contain_text("This server does not tell.")

    # What serves there is not ours to change.
    row.locator(".maas-row-menu").click()
    items = page.locator(".lm-Menu-item")
    expect(items.filter(has_text="Unpublish…")).to_have_class("lm-Menu-item lm-mod-disabled")
    items.filter(has_text="Stop Watching This Server").click()
    expect(panel.locator("[data-target='triton']")).to_have_count(0)
    expect(panel.get_by_text("No endpoints yet")).to_be_visible()
    expect(dashboard.locator("[data-notice='gone']")).to_be_visible()
    assert httpx.get(f"{triton.url}/v2/health/ready").status_code == 200
    assert not thrown
