"""The way of an alert in a real browser: made from a row, it fires, is told of, clears, and is kept."""

from __future__ import annotations

import pytest
from models import mlp, wine
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser


@pytest.fixture
def served(own_home):
    maas_jupyter.register(mlp(13, 3), name="wines", data=wine())
    maas_jupyter.publish("wines/1")


def open_lab(page, lab, reset=""):
    url, token = lab
    page.goto(f"{url}lab?token={token}{reset}")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")


def test_an_alert_fires_is_told_of_and_clears(served, lab, page, artifacts):
    open_lab(page, lab, "&reset")
    row = page.locator("#maas-panel [data-endpoint='wines']")
    expect(row).to_have_attribute("data-state", "ready")
    dialog = page.locator(".jp-Dialog-content")
    accept = dialog.locator("button.jp-mod-accept")
    tab = page.locator(".lm-TabBar-tab[data-id='maas-panel']")
    notes = page.locator(".Toastify__toast")

    # By the keyboard alone, and what cannot be is refused.
    row.get_by_role("button", name="Actions for wines").focus()
    page.keyboard.press("Shift+F10")
    page.get_by_text("Add Alert…", exact=True).click()
    expect(dialog.get_by_label("When")).to_be_focused()
    dialog.get_by_label("Milliseconds").fill("-1")
    expect(accept).to_be_disabled()
    dialog.get_by_label("When").select_option("endpoint_down")
    expect(dialog.get_by_label("Milliseconds")).to_be_hidden()
    dialog.get_by_label("for so many seconds").fill("0")
    page.keyboard.press("Enter")
    expect(notes.filter(has_text="wines is watched: Endpoint down.")).to_be_visible()
    expect(tab).not_to_have_attribute("data-maas-firing", "1")

    maas_jupyter.stop()
    fired = notes.filter(has_text="wines on local: the endpoint is down")
    expect(fired).to_be_visible()
    expect(tab).to_have_attribute("data-maas-firing", "1")
    expect(tab).to_have_attribute("title", "MaaS: models, runs and endpoints\n1 alert fires")
    expect(row.locator("[data-alert='endpoint_down']")).to_contain_text("Alert: the endpoint is down")
    page.screenshot(path=artifacts / "panel_alert.png")

    # What was told once is not told again, but still shown.
    open_lab(page, lab)
    expect(tab).to_have_attribute("data-maas-firing", "1")
    expect(row.locator("[data-alert='endpoint_down']")).to_be_visible()
    expect(notes).to_have_count(0)

    maas_jupyter.start()
    expect(notes.filter(has_text="wines on local is well again: Endpoint down")).to_be_visible()
    expect(tab).not_to_have_attribute("data-maas-firing", "1")
    expect(row.locator("[data-alert]")).to_have_count(0)

    page.evaluate("() => void window.jupyterapp.commands.execute('maas:show-alerts')")
    expect(dialog.locator("[data-alert='endpoint_down'][data-state='inactive']")).to_be_visible()
    changes = dialog.locator("[data-change]")
    expect(changes).to_have_count(2)
    assert changes.evaluate_all("all => all.map(each => each.dataset.change)") == ["cleared", "fired"]
    dialog.get_by_role("button", name="Remove: wines on local").click()
    expect(dialog.get_by_text("There are none.")).to_be_visible()
    expect(changes).to_have_count(2)
