"""A model's page in a real browser: open it from a version's row, compare, read, change the theme, reload."""

from __future__ import annotations

import numpy as np
import pytest
from mlflow import MlflowClient
from playwright.sync_api import expect

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.registry import Registry

pytestmark = pytest.mark.browser


@pytest.fixture
def model(own_home):
    """A model with a version, and one that was made from it; both evaluated, one published."""
    import torch

    torch.manual_seed(0)
    X, y = np.random.default_rng(0).random((60, 4), dtype="float32"), np.arange(60) % 3
    labels = ["ant", "bee", "<b>cat</b>"]
    first = maas_jupyter.register(torch.nn.Linear(4, 3), name="digits", data=(X, y), labels=labels)
    maas_jupyter.evaluate(first, data=(X, y), require=("accuracy>=0.99",), report_only=True)
    registry = Registry(config.current())
    run_id = registry.start_run("quantize", {"method": "dynamic-int8"}, {"maas.verb": "quantize"})
    measured = {"accuracy": 0.5, "accuracy_change": 0.125, "p50_ms": 0.04, "agreement": 0.98}
    registry.register("digits", registry.fetch(first), run_id=run_id, metrics=measured, parent="digits/1")
    client = MlflowClient(tracking_uri=registry.uri, registry_uri=registry.uri)
    client.update_registered_model("digits", "Of **bees**.<script>alert(1)</script><i onclick=alert(1)>Or ants.</i>")
    maas_jupyter.publish("digits/1")


def open_lab(page, url, token, reset=""):
    page.goto(f"{url}lab?token={token}{reset}")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")


def test_a_models_page_opens_from_a_row_and_comes_back(model, lab, page, artifacts):
    url, token = lab
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    open_lab(page, url, token, "&reset")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    page.locator("[data-model='digits'] .maas-model-row").click()
    page.get_by_role("button", name="Open the page of 'digits/2'").focus()
    page.keyboard.press("Enter")

    shown = page.locator(".maas-model-page[data-page='digits']")
    fact = shown.locator
    heads = shown.locator(".maas-side-by-side thead th")
    expect(heads).to_have_count(2)
    assert heads.evaluate_all("all => all.map(each => each.dataset.version)") == ["1", "2"]
    expect(fact("[data-fact='method'] td").nth(1)).to_have_text("dynamic-int8")
    expect(fact("[data-fact='registered.accuracy'] td").nth(1)).to_contain_text("+0.13 better")
    expect(fact("[data-fact='measured.p50_ms'] td").nth(1)).to_have_text("0.04 ms")
    expect(fact("[data-fact='gates'] td").nth(0)).to_contain_text("not passed")
    expect(fact("[data-fact='served'] td").nth(0)).to_contain_text("on local 100%")
    expect(fact("[data-fact='served'] td").nth(1)).to_have_text("nowhere")
    matrix = shown.locator(".maas-confusion[data-reference='digits/1']")
    cells = matrix.locator("tbody td:not(.maas-aside)").all_inner_texts()
    assert sum(int(cell) for cell in cells) == 60
    expect(matrix.locator("tbody th").nth(2)).to_have_text("<b>cat</b>")
    card = shown.locator(".maas-card")
    expect(card.get_by_role("heading", name="digits/2")).to_be_visible()
    expect(card.locator("strong", has_text="bees")).to_be_visible()
    expect(card.locator("i")).to_have_text("Or ants.")
    expect(card.locator("script, [onclick]")).to_have_count(0)
    page.screenshot(path=artifacts / "model_page_light.png")

    # A version's own menu is that of its row in the panel.
    heads.nth(1).get_by_role("button", name="Actions for digits/2").press("Enter")
    expect(page.locator(".lm-Menu-item", has_text="Publish…")).to_be_visible()
    page.keyboard.press("Escape")
    shown.get_by_role("button", name="Do not show digits/1").press("Enter")
    expect(heads).to_have_count(1)

    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    expect(page.locator("body[data-jp-theme-light='false']")).to_be_attached()
    page.screenshot(path=artifacts / "model_page_dark.png")
    with page.expect_response(lambda response: "/api/workspaces/" in response.url and response.request.method == "PUT"):
        page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    open_lab(page, url, token)
    expect(heads).to_have_count(1)
    expect(heads.first).to_contain_text("v2")

    # What is evaluated meanwhile is there after a look, and a version that goes is no longer shown.
    maas_jupyter.alias("digits/2", "best")
    expect(heads.first.locator("[data-alias='best']")).to_be_visible()
    maas_jupyter.delete("digits/2", confirm="digits/2")
    expect(heads).to_have_text(["v1champion"])
    assert not complaints
