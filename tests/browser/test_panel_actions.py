"""The way of a model from the panel alone, by mouse and by keyboard."""

from __future__ import annotations

import pytest
from models import mlp, wine
from playwright.sync_api import expect

import maas_jupyter

pytestmark = pytest.mark.browser


@pytest.fixture
def registered(own_home):
    for _ in range(2):
        maas_jupyter.register(mlp(13, 3), name="wines", data=wine())


def test_publish_refuse_delete_and_unpublish(registered, lab, page):
    address, token = lab
    page.goto(f"{address}lab?token={token}")
    page.wait_for_function("() => window.jupyterapp?.shell?.activateById")
    page.evaluate("() => window.jupyterapp.restored.then(() => window.jupyterapp.shell.activateById('maas-panel'))")
    model = page.locator("[data-model='wines']")
    model.get_by_role("button").first.click()
    accept = page.locator(".jp-Dialog button.jp-mod-accept")

    # The keyboard opens the menu, and gets its place back.
    button = page.get_by_role("button", name="Actions for wines/2")
    button.focus()
    page.keyboard.press("Shift+F10")
    expect(page.get_by_text("Publish…", exact=True)).to_be_visible()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_text("Publish…", exact=True).click()
    expect(page.locator(".jp-Dialog select[name='version']")).to_have_value("2")
    accept.click()
    endpoint = page.locator("[data-endpoint='wines']")
    expect(endpoint).to_have_attribute("data-state", "ready", timeout=60_000)

    button.click()
    expect(page.get_by_text("Delete Version… (published on local)")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Actions for wines/1").click()
    page.get_by_text("Delete Version…", exact=True).click()
    expect(accept).to_be_disabled()
    page.keyboard.type("wines/1")
    expect(accept).to_be_enabled()
    page.keyboard.press("Enter")
    # The watcher rests ten times as long as its first look took, which had MLflow to import.
    expect(model.locator(".maas-version[data-version='1']")).to_have_count(0, timeout=90_000)

    endpoint.locator(".maas-row-menu").click()
    page.get_by_text("Unpublish…", exact=True).click()
    accept.click()
    expect(page.get_by_text("No endpoints yet")).to_be_visible(timeout=30_000)
