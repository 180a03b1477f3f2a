"""What serves, changed from the panel alone: promoted, rolled back, taken out of memory, stopped, and brought back."""

from __future__ import annotations

import pytest
from models import mlp, wine
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser


@pytest.fixture
def shared(own_home):
    for _ in range(2):
        maas_jupyter.register(mlp(13, 3), name="wines", data=wine())
    maas_jupyter.publish("wines/1")
    maas_jupyter.publish("wines/2", canary=25)


@pytest.fixture
def panel(shared, lab, page):
    address, token = lab
    page.goto(f"{address}lab?token={token}")
    page.wait_for_function("() => window.jupyterapp?.shell?.activateById")
    page.evaluate("() => window.jupyterapp.restored.then(() => window.jupyterapp.shell.activateById('maas-panel'))")
    return page.locator("#maas-panel")


def choose(page, panel, label):
    panel.locator("[data-endpoint='wines'] .maas-row-menu").click()
    page.get_by_text(label, exact=True).click()


def accept(page, reason=None):
    dialog = page.locator(".jp-Dialog")
    if reason is not None:
        dialog.locator("input[name='reason']").fill(reason)
    dialog.locator("button.jp-mod-accept").click()
    expect(dialog).to_have_count(0)


def shares(endpoint, *expected):
    expect(endpoint.locator(".maas-share")).to_contain_text(list(expected), timeout=30_000)


def test_a_canary_is_promoted_and_taken_back(panel, page):
    endpoint = panel.locator("[data-endpoint='wines']")
    shares(endpoint, "v1 75%", "v2 25%")
    choose(page, panel, "Promote…")
    expect(page.locator(".jp-Dialog")).to_contain_text("All traffic of wines on local goes to version 2.")
    accept(page, reason="the canary did well")
    shares(endpoint, "v2 100%")

    # Without the mouse, and without the panel: from the palette.
    page.keyboard.press("Control+Shift+c")
    page.locator(".lm-CommandPalette-input").fill("MaaS roll back")
    page.keyboard.press("Enter")
    expect(page.locator(".jp-Dialog select")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".jp-Dialog input[name='reason']")).to_be_visible()
    page.keyboard.press("Enter")
    shares(endpoint, "v1 75%", "v2 25%")
    told = [(entry.action, entry.reason) for entry in maas_jupyter.history("wines")][-2:]
    assert told == [("promote", "the canary did well"), ("rollback", "")]


def test_a_model_and_then_its_server_rests_and_comes_back(panel, page):
    endpoint = panel.locator("[data-endpoint='wines']")
    expect(endpoint).to_have_attribute("data-state", "ready")
    choose(page, panel, "Unload…")
    accept(page, reason="for the night")
    expect(endpoint).to_have_attribute("data-state", "stopped", timeout=30_000)
    expect(endpoint).to_contain_text("not in memory")
    choose(page, panel, "Load…")
    accept(page)
    expect(endpoint).to_have_attribute("data-state", "ready", timeout=30_000)

    choose(page, panel, "Stop Local Server…")
    expect(page.locator(".jp-Dialog")).to_contain_text("1 endpoint answers no more: wines.")
    accept(page)
    expect(endpoint).to_have_attribute("data-state", "stopped", timeout=30_000)
    choose(page, panel, "Start Local Server")
    expect(endpoint).to_have_attribute("data-state", "ready", timeout=60_000)
    shares(endpoint, "v1 75%", "v2 25%")
