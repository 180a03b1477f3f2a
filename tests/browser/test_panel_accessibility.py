"""The panel, dashboards, a model's page and the dialogs as axe sees them, in both themes: WCAG 2.2, levels A and AA."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from models import mlp, wine
from playwright.sync_api import expect
from run_states import run_state

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.monitoring.alerts import Rule, rulefile
from maas_jupyter.runs import RunFolder

sys.path.insert(0, str(Path(__file__).parents[1] / "monitoring"))

from foreign_servers import VLLM, Triton

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


@pytest.fixture
def unwell(own_home):
    """Endpoints of all states but the good one, with alerts; runs that train, stop and failed."""
    X, y = wine()
    maas_jupyter.register(mlp(13, 3), name="wines", data=(X, y))
    maas_jupyter.publish("wines/1")
    here = {"pid": os.getpid(), "host": socket.gethostname(), "done": 3, "remaining": 65.0, "rows_per_second": 1234.5}
    states = {"training": {}, "stopping": {}, "failed": {"status": "failed", "error": "The loss is NaN since step 12."}}
    for name, changes in states.items():
        given = {"status": "training", "name": name, **here, **changes}
        RunFolder(own_home, name).write(run_state(name, **given))
    RunFolder(own_home, "stopping").request_stop()
    triton, vllm = Triton(), VLLM()
    for server in (triton, vllm):
        maas_jupyter.watch(server.url)
    endpoints = [("vllm", "meta-llama/Llama-3-8B"), ("local", "wines")]
    rulefile.write(config.current().alert_rules, [Rule(*endpoint, "endpoint_down") for endpoint in endpoints])
    yield vllm
    triton.stop()
    vllm.stop()


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


def choose(page, theme):
    page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    expect(page.locator(f"body[data-jp-theme-name='{theme}']")).to_be_attached()


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing(served, lab, page, artifacts, theme):
    open_lab(page, lab)
    choose(page, theme)
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

    command(page, "maas:open-model", {"model": "wines", "versions": ["1", "2"]})
    shown = page.locator(".maas-model-page")
    expect(shown.locator(".maas-confusion")).to_be_visible()
    expect(shown.locator(".maas-card h1").first).to_be_visible()
    found["model page"] = complaints(page, ".maas-model-page")
    page.screenshot(path=artifacts / f"model_page_axe_{theme.split()[1].lower()}.png")

    panel.locator("[data-endpoint='wines'] .maas-row-menu").click()
    expect(page.locator(".lm-Menu").first).to_be_visible()
    page.keyboard.press("Escape")
    assert {place: words for place, words in found.items() if words} == {}


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing_where_things_are_unwell(unwell, lab, page, artifacts, theme):
    open_lab(page, lab)
    choose(page, theme)
    panel = page.locator("#maas-panel")
    expect(panel.locator("[data-kind='vLLM'][data-state='ready']")).to_be_visible()
    unwell.stop()
    maas_jupyter.stop()
    for state in ("failed", "unavailable", "stopped"):
        expect(panel.locator(f".maas-endpoint[data-state='{state}']")).to_have_count(1)
    expect(panel.locator("[data-alert='endpoint_down']")).to_have_count(2)
    runs = panel.locator(".maas-run")
    expect(runs.get_by_role("progressbar")).to_have_count(2)
    expect(runs.get_by_text("stopping", exact=True)).to_have_count(2)
    found = {"panel": complaints(page, "#maas-panel")}
    # The tab's badge too.
    found["tab"] = complaints(page, ".lm-TabBar-tab[data-id='maas-panel']")
    page.screenshot(path=artifacts / f"panel_unwell_{theme.split()[1].lower()}.png")

    command(page, "maas:open-dashboard", {"target": "vllm", "name": "meta-llama/Llama-3-8B"})
    dashboard = page.locator(".maas-dashboard[data-target='vllm']")
    expect(dashboard.locator(".maas-reason")).to_be_visible()
    expect(dashboard.locator(".maas-alert-log [data-alert='endpoint_down']").first).to_be_visible()
    found["dashboard"] = complaints(page, ".maas-dashboard")
    command(page, "maas:show-alerts", {})
    expect(page.locator(".jp-Dialog-content [data-change='fired']")).to_have_count(2)
    found["alerts"] = complaints(page, ".jp-Dialog-content")
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
