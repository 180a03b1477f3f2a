"""An endpoint's dashboard in a real browser: open it from its row, zoom, pause, change the theme, reload."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser

CHARTS = ["traffic", "latency", "errors", "batch", "queue", "cpu", "memory"]


@pytest.fixture
def endpoint(own_home):
    """One that serves a small net."""
    import torch

    torch.manual_seed(0)
    X, y = np.random.default_rng(0).random((32, 4), dtype="float32"), np.arange(32) % 3
    maas_jupyter.register(torch.nn.Linear(4, 3), name="digits", data=(X, y))
    endpoint = maas_jupyter.publish("digits/1")
    endpoint.predict(X)
    return endpoint


def open_lab(page, url, token, reset=""):
    page.goto(f"{url}lab?token={token}{reset}")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


def test_a_dashboard_opens_from_a_row_and_comes_back(endpoint, lab, page, artifacts):
    url, token = lab
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_lab(page, url, token, "&reset")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    page.get_by_role("button", name="Open the dashboard of 'digits' on 'local'").focus()
    page.keyboard.press("Enter")
    dashboard = page.locator(".maas-dashboard[data-target='local'][data-endpoint='digits']")
    charts = dashboard.locator("[data-chart]")
    expect(dashboard.locator("canvas")).to_have_count(len(CHARTS))
    assert charts.evaluate_all("all => all.map(each => each.dataset.chart)") == CHARTS
    expect(dashboard.locator("[data-chart='memory'] .maas-legend")).to_contain_text("MB")
    expect(dashboard.locator(".maas-mode")).to_have_text("Live")

    plot = dashboard.locator("[data-chart='cpu'] .u-over").bounding_box()
    x, y = plot["x"] + plot["width"], plot["y"] + plot["height"] / 2
    page.mouse.move(x - 5, y)
    tooltip = dashboard.locator(".maas-tooltip")
    for words in ["v1", "p50", "all codes", "waiting", "MB"]:
        expect(tooltip).to_contain_text(words)
    page.mouse.down()
    page.mouse.move(x - 120, y, steps=5)
    page.mouse.up()
    expect(dashboard.locator(".maas-mode")).to_have_text("Zoomed")
    page.screenshot(path=artifacts / "dashboard_light.png")
    page.mouse.dblclick(x - 60, y)
    expect(dashboard.locator(".maas-mode")).to_have_text("Live")

    dashboard.get_by_role("group", name="Charts of digits").focus()
    page.keyboard.press("Space")
    expect(dashboard.get_by_role("button", name="Continue")).to_be_visible()
    page.keyboard.press("End")
    expect(tooltip).to_be_visible()
    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    expect(page.locator("body[data-jp-theme-light='false']")).to_be_attached()
    page.screenshot(path=artifacts / "dashboard_dark.png")

    with page.expect_response(lambda response: "/api/workspaces/" in response.url and response.request.method == "PUT"):
        dashboard.get_by_role("button", name="6 h").click()
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    open_lab(page, url, token)
    expect(dashboard.locator("canvas")).to_have_count(len(CHARTS))
    expect(dashboard.get_by_role("button", name="6 h")).to_have_attribute("aria-pressed", "true")

    maas_jupyter.stop()
    expect(dashboard.locator(".maas-headline .maas-state")).to_have_text("stopped")
    expect(dashboard.locator(".maas-mode")).to_have_text("Nothing new comes")
    assert not complaints
