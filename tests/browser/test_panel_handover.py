"""What the panel hands over: a name to a version, a reference or a line to the clipboard, a cell to the notebook."""

from __future__ import annotations

import json
import subprocess

import pytest
from models import mlp, wine
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser


@pytest.fixture
def panel(own_home, lab, page):
    for _ in range(2):
        maas_jupyter.register(mlp(13, 3), name="wines", data=wine())
    maas_jupyter.publish("wines/1")
    address, token = lab
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{address}lab/tree/01_quickstart.ipynb?token={token}")
    page.wait_for_function("() => window.jupyterapp?.shell?.activateById")
    page.evaluate("() => window.jupyterapp.restored.then(() => window.jupyterapp.shell.activateById('maas-panel'))")
    panel = page.locator("#maas-panel")
    panel.locator("[data-model='wines']").get_by_role("button").first.click()
    return panel


def choose(page, panel, name, label):
    panel.get_by_role("button", name=f"Actions for {name}").last.click()
    page.get_by_text(label, exact=True).click()


def copied(page, part):
    """Wait until the clipboard holds a part of what is expected; return it whole."""
    while part not in (text := page.evaluate("() => navigator.clipboard.readText()")):
        page.wait_for_timeout(50)
    return text


def test_an_alias_moves(panel, page):
    for version in ("1", "2"):
        choose(page, panel, f"wines/{version}", "Set Alias…")
        dialog = page.locator(".jp-Dialog")
        expect(dialog.locator("select[name='version']")).to_have_value(version)
        dialog.locator("input[name='alias']").fill("best")
        page.keyboard.press("Enter")
        expect(panel.locator(f".maas-version[data-version='{version}'] [data-alias='best']")).to_be_visible(
            timeout=30_000
        )
    expect(panel.locator(".maas-version [data-alias='best']")).to_have_count(1)
    (model,) = maas_jupyter.models("wines")
    assert {version.version: version.aliases for version in model.versions} == {"1": ["champion"], "2": ["best"]}


def test_what_is_copied_can_be_used(panel, page):
    choose(page, panel, "wines/2", "Copy Reference")
    assert copied(page, "wines") == "wines/2"
    row = panel.locator("[data-endpoint='wines']")
    expect(row).to_have_attribute("data-state", "ready")
    row.locator(".maas-row-menu").click()
    page.get_by_text("Copy curl", exact=True).click()
    done = subprocess.run(copied(page, "curl"), shell=True, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["model_name"] == "wines"

    # A registry in a file has no pages: what is copied shows them.
    choose(page, panel, "wines/1", "Open in MLflow")
    dialog = page.locator(".jp-Dialog")
    expect(dialog).to_contain_text("The registry is a file, not a server of MLflow.")
    dialog.locator("button.jp-mod-accept").click()
    assert copied(page, "mlflow ui").startswith("mlflow ui")


def test_cells_are_written_into_the_open_notebook(panel, page):
    cells = page.locator(".jp-Notebook .jp-Cell")
    expect(cells.first).to_be_visible()
    choose(page, panel, "wines/2", "Insert Cell That Evaluates It")
    expect(cells.filter(has_text="%maas evaluate wines/2 --data test")).to_be_visible()
    choose(page, panel, "wines/2", "Insert Cell That Publishes It")
    expect(cells.filter(has_text="%maas publish wines/2")).to_be_visible()
    panel.locator("[data-endpoint='wines'] .maas-row-menu").click()
    page.get_by_text("Insert Cell That Asks It", exact=True).click()
    expect(cells.filter(has_text="%maas predict wines X")).to_be_visible()
