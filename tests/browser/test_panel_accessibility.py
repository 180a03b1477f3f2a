"""The panel, a dashboard and the dialogs as axe sees them, in both themes: WCAG 2.2, levels A and AA."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from models import mlp, wine
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OPTIONS = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}


@pytest.fixture
def served(own_home):
    """A model with two versions, an endpoint with traffic, and an alert that fires."""
    X, y = wine()
    for _ in range(2):
        maas_jupyter.register(mlp(13, 3), name="wines", data=(X, y))
    maas_jupyter.evaluate("wines", data=(X, y))
    endpoint = maas_jupyter.publish("wines/1")
    maas_jupyter.publish("wines/2", canary=10)
    endpoint.predict(X)


def open_lab(page, lab):
    url, token = lab
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")


def complaints(page, selector):
    """What axe finds below an element, one line for each place."""
    results = Axe().run(page, context=selector, options=OPTIONS).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]} {(node['any'] or node['all'] or node['none'])[0]['message']}"
        for violation in results
        for node in violation["nodes"]
    ]


def command(page, name, args):
    """Run a command that waits for a dialog."""
    page.evaluate("([name, args]) => void window.jupyterapp.commands.execute(name, args)", [name, args])


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing(served, lab, page, artifacts, theme):
    open_lab(page, lab)
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    expect(page.locator(f"body[data-jp-theme-name='{theme}']")).to_be_attached()
    panel = page.locator("#maas-panel")
    expect(panel.locator("[data-endpoint='wines'] .maas-share")).to_have_count(2)
    panel.locator("[data-model='wines'] > button").click()
    expect(panel.locator(".maas-version")).to_have_count(2)
    found = {"panel": complaints(page, "#maas-panel")}
    page.screenshot(path=artifacts / f"panel_{theme.split()[1].lower()}.png")

    command(page, "maas:open-dashboard", {"target": "local", "name": "wines"})
    expect(page.locator("[data-chart='memory'] .maas-legend")).to_contain_text("MB")
    page.get_by_role("group", name="Charts of wines").focus()
    page.keyboard.press("End")
    expect(page.locator(".maas-tooltip")).to_be_visible()
    page.locator(".maas-values summary").click()
    found["dashboard"] = complaints(page, ".maas-dashboard")

    for name, args in DIALOGS.items():
        command(page, name, args)
        expect(page.locator(".jp-Dialog-content")).to_be_visible()
        found[name] = complaints(page, ".jp-Dialog-content")
        page.screenshot(path=artifacts / f"{name.split(':')[1]}_{theme.split()[1].lower()}.png")
        page.keyboard.press("Escape")
        expect(page.locator(".jp-Dialog-content")).to_have_count(0)

    panel.locator("[data-endpoint='wines'] .maas-row-menu").click()
    expect(page.locator(".lm-Menu").first).to_be_visible()
    page.keyboard.press("Escape")
    assert {place: words for place, words in found.items() if words} == {}


DIALOGS = {
    "maas:publish": {"model": "wines", "version": "2"},
    "maas:delete-version": {"model": "wines", "version": "2"},
    "maas:set-alias": {"model": "wines", "version": "2"},
    "maas:unpublish": {"target": "local", "name": "wines"},
    "maas:add-alert": {"target": "local", "name": "wines"},
    "maas:watch-endpoint": {},
    "maas:show-alerts": {},
}
