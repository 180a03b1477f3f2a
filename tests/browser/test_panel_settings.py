"""Settings of the panel, what stays after a reload, and the way through it without a mouse."""

from __future__ import annotations

import re

import pytest
from models import mlp, wine
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser


@pytest.fixture
def served(own_home):
    """Two models, one of them with an endpoint."""
    for name in ("wines", "grapes"):
        maas_jupyter.register(mlp(13, 3), name=name, data=wine())
    maas_jupyter.publish("wines/1").predict(wine()[0])


def open_lab(page, lab, reset=""):
    url, token = lab
    page.goto(f"{url}lab?token={token}{reset}")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


def test_settings_in_the_editor_change_the_panel_at_once(served, lab, page, artifacts):
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_lab(page, lab, "&reset")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    memory = page.locator("#maas-panel [data-endpoint='wines'] [data-stat='memory'] dd")
    expect(memory).to_have_text(re.compile(r"\d MB$"), timeout=20_000)
    page.evaluate("() => window.jupyterapp.commands.execute('maas:open-settings')")
    form = page.locator(".jp-SettingsForm, .jp-SettingsPanel").first
    expect(form.get_by_text("Refresh interval")).to_be_visible()
    page.screenshot(path=artifacts / "settings.png")
    form.locator("select[id$='sizes']").select_option(label="binary")
    expect(memory).to_have_text(re.compile(r"\d MiB$"))
    form.get_by_text("Median latency").click()
    expect(page.locator("#maas-panel [data-stat='p50_ms']")).to_have_count(0)
    open_lab(page, lab)
    expect(memory).to_have_text(re.compile(r"\d MiB$"))
    assert not complaints


def test_a_reload_brings_back_what_was_chosen(served, lab, page):
    open_lab(page, lab, "&reset")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    panel = page.locator("#maas-panel")
    panel.get_by_role("button", name="Runs").click()
    panel.get_by_role("searchbox", name="Search models").type("wi")
    expect(panel.locator("[data-model]")).to_have_count(1)
    panel.get_by_role("combobox", name="Sort models by").select_option("size")
    panel.locator("[data-model='wines'] > button").click()
    version = panel.locator(".maas-version[data-version='1']")
    expect(version).to_be_visible()
    with page.expect_response(lambda response: "/api/workspaces/" in response.url and response.request.method == "PUT"):
        panel.get_by_role("button", name="Endpoints", exact=False).first.click()
    open_lab(page, lab)
    expect(version).to_be_visible()
    expect(panel.get_by_role("searchbox", name="Search models")).to_have_value("wi")
    expect(panel.get_by_role("combobox", name="Sort models by")).to_have_value("size")
    for section, expanded in {"endpoints": "false", "runs": "false", "models": "true"}.items():
        header = panel.locator(f"[data-section='{section}'] h2 button").first
        expect(header).to_have_attribute("aria-expanded", expanded)


FOCUSED = """() => {
    const element = document.activeElement;
    const { outlineStyle, boxShadow } = getComputedStyle(element);
    return { name: element.ariaLabel ?? element.textContent, shown: outlineStyle !== 'none' || boxShadow !== 'none' };
}"""


def test_everything_is_reached_by_keys(served, lab, page):
    open_lab(page, lab, "&reset")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    panel = page.locator("#maas-panel")
    # The first look at the registry has MLflow to import.
    expect(panel.locator("[data-model]")).to_have_count(2, timeout=30_000)
    header = panel.locator("[data-section='endpoints'] h2 button").first
    header.focus()
    names = []
    # As many steps as there is to be focused, so that one that cannot be reached is missed.
    for _ in range(panel.locator(":is(button, input, select, summary, [tabindex='0']):visible").count()):
        place = page.evaluate(FOCUSED)
        assert place["shown"], place
        names.append(place["name"])
        page.keyboard.press("Tab")
    wanted = ["Endpoints", "Watch an endpoint", "Open the dashboard of 'wines'", "Actions for wines", "Runs", "Models"]
    wanted += ["Search models", "Sort models by", "Largest first", "grapes", "Actions for grapes", "wines"]
    found = iter(names)
    assert all(any(name.startswith(each) for name in found) for each in wanted), names
    assert not page.evaluate("() => document.getElementById('maas-panel').contains(document.activeElement)")

    header.focus()
    page.keyboard.press("Enter")
    expect(panel.locator("[data-endpoint='wines']")).to_be_hidden()
    page.keyboard.press("Space")
    panel.get_by_role("button", name="Actions for wines", exact=True).first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lm-Menu").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel.get_by_role("button", name="Actions for wines", exact=True).first).to_be_focused()
    panel.get_by_role("button", name="Open the dashboard of 'wines' on 'local'").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".maas-dashboard canvas").first).to_be_visible()
