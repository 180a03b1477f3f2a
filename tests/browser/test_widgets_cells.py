"""The widgets in the cells of JupyterLab: a digit is drawn, a version published, a candidate picked, and what stays."""

from __future__ import annotations

import httpx
import nbformat
import pytest
import torch
from models import cnn, digits
from nbconvert import HTMLExporter
from playwright.sync_api import expect
from test_panel_accessibility import complaints as what_axe_finds
from test_panel_live import KERNEL_IS_IDLE

import maas_jupyter

pytestmark = pytest.mark.browser

COMPARISON = """
import pathlib, tempfile
from dataclasses import replace

from maas_jupyter.api.picking import registering
from maas_jupyter.api.subjects import open_registry
from maas_jupyter.bundle import Bundle
from maas_jupyter.optimization import Candidate, Comparison, KeptCandidates, Measurement, Quality, Speed

def measured(metric, p50, size):
    quality = Quality(metric, None, metric - 0.97, None, 0.1, 0.01, 0.99)
    return Measurement(size, 4 * size, quality, Speed(p50, 1.4 * p50, 0.02, 1000 / p50, 8))

version = maas_jupyter.models("digits")[0].versions[0]
comparison = Comparison("digits/1", "accuracy", 0.01, [], [], 400, 2, [
    Candidate("original", "as it is", "fp32", measured(0.970, 0.08, 290_000), "original", ""),
    Candidate("dynamic-int8", "weights as int8", "int8", measured(0.968, 0.06, 90_000), "winner", "25 % faster"),
    Candidate("static-int8", "all as int8", "int8", measured(0.940, 0.05, 80_000), "worse", "accuracy falls by 0.0300"),
    Candidate("weight-int4", "", "", None, "failed", "It has no layer that this method could change."),
], command="%maas quantize digits --data val", version=version)
registry = open_registry()
made = pathlib.Path(tempfile.mkdtemp()) / "static-int8"
made.mkdir()
registry.fetch(version).copy_to(made)
registering_it = registering(comparison, registry.resolve("digits/1"), registry)
comparison = replace(comparison, kept=KeptCandidates({"static-int8": Bundle.open(made)}, registering_it))
picking = comparison.view()
picking
"""
CELLS = (
    "%load_ext maas_jupyter\nimport maas_jupyter\nendpoint = maas_jupyter.publish('digits/1')\nendpoint",
    "playground = %maas play digits\nplayground",
    "form = maas_jupyter.PublishForm('digits')\nform",
    "view = maas_jupyter.endpoints()[0].view()\nview",
    COMPARISON,
)


@pytest.fixture
def registered(own_home):
    X, y = digits(1797)
    images, classes = torch.from_numpy(X.reshape(-1, 1, 8, 8)), torch.from_numpy(y)
    net = cnn()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), classes).backward()
        optimizer.step()
    for _ in range(2):
        maas_jupyter.register(net.eval(), name="digits", data=(images[:200].numpy(), y[:200]))


@pytest.fixture
def complaints(page):
    found = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: found.append(f"{error}\n{error.stack}"))
    return found


def put(url, token, cells):
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell.strip()) for cell in cells],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    answer = httpx.put(
        f"{url}api/contents/widgets.ipynb",
        json={"type": "notebook", "content": notebook},
        headers={"Authorization": f"token {token}"},
    )
    assert answer.status_code == 201, answer.text


def open_lab(page, url, token, cells=CELLS):
    put(url, token, cells)
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate(
        """async () => { await window.jupyterapp.commands.execute('docmanager:open', {
            path: 'widgets.ipynb', factory: 'Notebook', kernel: { name: 'python3' }
        }); }"""
    )
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")


def widget(page, label):
    return page.get_by_role("group", name=label)


def draw_a_one(page, canvas):
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 20
    page.mouse.move(x - 20, y + 25)
    page.mouse.down()
    page.mouse.move(x, y, steps=4)
    page.mouse.move(x, y + box["height"] - 45, steps=10)
    page.mouse.up()


def sort_and_pick(page):
    comparison = widget(page, "digits/1 and its candidates")
    expect(comparison).to_be_visible(timeout=120_000)
    comparison.scroll_into_view_if_needed()
    rows = comparison.locator("tbody tr")
    comparison.get_by_role("button", name="rows/s").click()
    expect(rows.first).to_have_attribute("data-method", "static-int8")
    comparison.get_by_role("button", name="rows/s").click()
    expect(rows.first).to_have_attribute("data-method", "original")
    rows.filter(has_text="weight-int4").click()
    expect(comparison.get_by_text("not registered")).to_be_visible()
    comparison.locator("circle.maas-cell-dot-winner").click()
    comparison.get_by_role("button", name="Make digits/2 the champion").click()
    expect(comparison.get_by_text("digits/2 is the champion now.")).to_be_visible(timeout=60_000)
    return comparison


def publish_a_canary(page):
    form = widget(page, "publish digits")
    form.scroll_into_view_if_needed()
    expect(form.get_by_text("never judged")).to_be_visible()
    form.get_by_label("version").select_option("2")
    form.get_by_label("a share, as canary").check()
    form.get_by_label("share of the canary in percent").fill("25")
    form.get_by_role("button", name="Publish").click()
    expect(form.locator(".maas-cell-done")).to_contain_text("canary version 2 25%", timeout=60_000)
    return form


def see_the_canary(page):
    live = widget(page, "digits on local, live")
    live.scroll_into_view_if_needed()
    expect(live.get_by_role("row", name="version 2 canary 25 %")).to_be_visible(timeout=60_000)
    return live


def test_a_digit_is_drawn_a_version_published_and_a_candidate_picked(registered, lab, page, complaints, artifacts):
    url, token = lab
    open_lab(page, url, token)
    page.evaluate("() => { window.jupyterapp.commands.execute('application:toggle-left-area'); }")

    playground = widget(page, "playground of digits on local")
    expect(playground).to_be_visible(timeout=120_000)
    draw_a_one(page, playground.locator("canvas.maas-cell-canvas"))
    expect(playground.locator(".maas-cell-label")).to_have_text("1", timeout=60_000)
    expect(playground.get_by_role("list", name="scores").get_by_role("listitem")).to_have_count(10)
    expect(playground.locator(".maas-cell-answer-head")).to_contain_text("ms · version 1")
    playground.get_by_text("Tries (1)").click()
    expect(playground.get_by_text("a drawing → 1")).to_be_visible()
    playground.get_by_role("button", name="Copy as code").click()
    expect(playground.locator("pre")).to_contain_text("maas_jupyter.predict('digits', inputs)")

    comparison = sort_and_pick(page)
    form = publish_a_canary(page)
    live = see_the_canary(page)
    draw_a_one(page, playground.locator("canvas.maas-cell-canvas"))
    live.scroll_into_view_if_needed()
    expect(live.get_by_text("2 requests, 0 errors")).to_be_visible(timeout=20_000)

    for theme in ("Light", "Dark"):
        page.evaluate(
            "theme => { window.jupyterapp.commands.execute('apputils:change-theme', {theme}); }", f"JupyterLab {theme}"
        )
        page.wait_for_function(f"() => document.body.dataset.jpThemeName === 'JupyterLab {theme}'")
        expect(page.locator("#jupyterlab-splash")).to_have_count(0)
        for name, shown in (("play", playground), ("form", form), ("live", live), ("compare", comparison)):
            shown.scroll_into_view_if_needed()
            shown.screenshot(path=artifacts / f"widget_{name}_{theme.lower()}.png")
        assert what_axe_finds(page, ".maas-cell-widget") == []
    assert complaints == []


def test_what_was_tried_stays_when_the_kernel_is_gone(registered, lab, page, artifacts):
    url, token = lab
    open_lab(page, url, token, CELLS[:2])
    playground = widget(page, "playground of digits on local")
    expect(playground).to_be_visible(timeout=120_000)
    draw_a_one(page, playground.locator("canvas.maas-cell-canvas"))
    expect(playground.locator(".maas-cell-label")).to_have_text("1", timeout=60_000)
    twin = page.locator(".maas-cell-static")
    expect(twin).to_be_hidden()
    expect(twin).to_contain_text("a drawing")

    page.evaluate(
        """async () => {
            await window.jupyterapp.commands.execute('docmanager:save');
            await window.jupyterapp.shell.currentWidget.sessionContext.shutdown();
        }"""
    )
    page.reload()
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    expect(twin).to_be_visible()
    expect(twin).to_contain_text("a drawing")
    page.wait_for_function(KERNEL_IS_IDLE)
    expect(page.get_by_text("Error displaying widget")).to_have_count(1)
    expect(page.get_by_text("Error displaying widget")).to_be_hidden()
    page.screenshot(path=artifacts / "widget_static.png")

    answer = httpx.get(f"{url}api/contents/widgets.ipynb", headers={"Authorization": f"token {token}"}).json()
    exported, _ = HTMLExporter().from_notebook_node(nbformat.from_dict(answer["content"]))
    assert "a drawing" in exported
    assert "model_id" not in exported


def test_a_candidate_that_did_not_win_is_registered_with_the_keyboard_alone(registered, lab, page, complaints):
    url, token = lab
    open_lab(page, url, token, ("import maas_jupyter", COMPARISON))
    comparison = widget(page, "digits/1 and its candidates")
    expect(comparison).to_be_visible(timeout=120_000)
    comparison.get_by_role("radio", name="pick dynamic-int8").focus()
    page.keyboard.press("ArrowDown")
    register = comparison.get_by_role("button", name="Register static-int8")
    for _ in range(10):
        if register.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    registered_as = comparison.get_by_role("status").get_by_text("static-int8 is registered as digits/3.")
    expect(registered_as).to_be_visible(timeout=60_000)
    expect(comparison.get_by_role("button", name="Make digits/3 the champion")).to_be_focused()
    page.keyboard.press("Enter")
    expect(comparison.get_by_text("digits/3 is the champion now.")).to_be_visible(timeout=60_000)
    assert maas_jupyter.models("digits")[0].versions[0].parent == "digits/1"
    assert complaints == []


def test_what_cannot_be_answered_is_said_in_the_form(registered, lab, page, complaints, artifacts):
    url, token = lab
    open_lab(page, url, token, CELLS[:2])
    playground = widget(page, "playground of digits on local")
    expect(playground).to_be_visible(timeout=120_000)
    playground.get_by_label("how to give input").select_option("file")
    broken = {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"}
    playground.get_by_label("file for input").set_input_files(broken)
    playground.get_by_role("button", name="Predict").click()
    expect(playground.get_by_role("alert")).to_contain_text("is no image", timeout=60_000)
    playground.get_by_text("Tries (1)").click()
    expect(playground.get_by_role("button", name="Copy as code")).to_be_hidden()
    playground.get_by_label("how to give input").select_option("json")
    playground.get_by_label("input as JSON").fill(f"[{[[float('nan')] * 8] * 8}]".replace("nan", "NaN"))
    page.keyboard.press("Control+Enter")
    expect(playground.get_by_role("listitem").first).to_contain_text("no number", timeout=60_000)
    maas_jupyter.unpublish("digits")
    playground.get_by_role("button", name="Predict").click()
    expect(playground.get_by_role("alert")).to_contain_text("%maas publish digits", timeout=60_000)
    page.screenshot(path=artifacts / "widget_errors.png")
    assert complaints == []


def test_all_of_them_in_notebook_7(registered, notebook, page, complaints, artifacts):
    url, token = notebook
    put(url, token, CELLS)
    page.goto(f"{url}notebooks/widgets.ipynb?token={token}")
    expect(page.get_by_role("button", name="Python 3 (ipykernel)")).to_be_visible()
    complaints.clear()  # Notebook 7.6 has one of its own when it opens, without any extension
    page.get_by_role("menuitem", name="Run").click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    playground = widget(page, "playground of digits on local")
    expect(playground).to_be_visible(timeout=120_000)
    draw_a_one(page, playground.locator("canvas.maas-cell-canvas"))
    expect(playground.locator(".maas-cell-label")).to_have_text("1", timeout=60_000)
    shown = {"play": playground, "compare": sort_and_pick(page), "form": publish_a_canary(page)}
    shown["live"] = see_the_canary(page)
    shown["live"].get_by_role("button", name="Pause").click()
    expect(shown["live"].get_by_role("button", name="Go on")).to_be_visible()
    for name, each in shown.items():
        each.scroll_into_view_if_needed()
        each.screenshot(path=artifacts / f"notebook7_{name}.png")
    assert what_axe_finds(page, ".maas-cell-widget") == []
    assert complaints == []
