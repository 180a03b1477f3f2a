"""The panel in Jupyter Notebook 7, and in JupyterLab behind a reverse proxy; both below a base URL."""

from __future__ import annotations

import pytest
from models import mlp, wine
from playwright.sync_api import expect
from reverse_proxy import reverse_proxy

import maas_jupyter

pytestmark = pytest.mark.browser


@pytest.fixture
def served(own_home):
    maas_jupyter.register(mlp(13, 3), name="wines", data=wine())
    maas_jupyter.publish("wines/1").predict(wine()[0])


@pytest.fixture
def complaints(page):
    """What the page writes into its console as an error, and what our code throws.

    Notebook 7.6 throws by itself on the page of files, also where nothing is installed beside it.
    """
    found = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(error.stack) if "labextensions" in (error.stack or "") else None)
    return found


def wait_for_app(page):
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


def show_panel(page):
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    panel = page.locator("#maas-panel")
    expect(panel.locator("[data-endpoint='wines'][data-state='ready']")).to_be_visible()
    return panel


def test_works_beside_a_notebook(served, notebook, page, artifacts, complaints):
    url, token = notebook
    page.goto(f"{url}notebooks/01_quickstart.ipynb?token={token}")
    wait_for_app(page)
    expect(page.locator(".jp-Notebook .jp-Cell").first).to_be_visible()
    panel = show_panel(page)
    panel.locator("[data-model='wines'] > button").click()
    expect(panel.locator(".maas-version[data-version='1']")).to_be_visible()

    panel.locator("[data-endpoint='wines'] .maas-row-menu").click()
    page.get_by_text("Open Dashboard", exact=True).click()
    expect(page.locator(".maas-dashboard canvas").first).to_be_visible()
    page.screenshot(path=artifacts / "notebook7.png")

    panel.get_by_role("button", name="Actions for wines/1").click()
    page.get_by_text("Insert Cell That Publishes It", exact=True).click()
    expect(page.locator(".jp-Notebook .jp-Cell").filter(has_text="%maas publish wines/1")).to_be_visible()
    assert not complaints


def test_works_on_the_page_of_files(served, notebook, page, complaints):
    url, token = notebook
    page.goto(f"{url}tree?token={token}")
    wait_for_app(page)
    show_panel(page)
    assert not complaints


def test_works_behind_a_proxy(served, lab, page, complaints):
    url, token = lab
    with reverse_proxy(url) as proxied:
        page.goto(f"{proxied}lab?token={token}&reset")
        wait_for_app(page)
        panel = show_panel(page)
        panel.get_by_role("button", name="Open the dashboard of 'wines' on 'local'").click()
        expect(page.locator(".maas-dashboard canvas").first).to_be_visible()
        page.evaluate(
            "() => void window.jupyterapp.commands.execute('maas:set-alias', { model: 'wines', version: '1' })"
        )
        page.locator(".jp-Dialog input[name='alias']").fill("proxied")
        page.locator(".jp-Dialog button.jp-mod-accept").click()
        expect(panel.locator("[data-model='wines'] [data-alias='proxied']").first).to_be_visible(timeout=30_000)
        page.goto("about:blank")
    assert not complaints
