"""The view of a run in JupyterLab: its Stop works while the kernel is busy, and what stays is a picture."""

from __future__ import annotations

import httpx
import nbformat
import pytest
from playwright.sync_api import expect
from test_panel_live import KERNEL_IS_IDLE

pytestmark = pytest.mark.browser

CELL = """
import os, socket, time
from maas_jupyter import config
from maas_jupyter.runs import Curve, RunFolder, RunState
from maas_jupyter.widgets.training import TrainingView

folder, view = RunFolder(config.current().home_path, "busy"), TrainingView("digits")
state = RunState(run_id="busy", name="digits", epochs=10_000, pid=os.getpid(), host=socket.gethostname())
loss = state.curves["loss"] = Curve()
while not folder.stop_requested():
    state.epoch += 1
    loss.add(state.epoch, 1 / state.epoch)
    view.update(state)
    if state.epoch % 50 == 1:
        folder.write(state)
    time.sleep(0.01)
state.status = "interrupted"
folder.write(state)
view.update(state, final=True)
"""


def open_notebook(page, url, token):
    """Open a notebook with the cell in JupyterLab."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    answer = httpx.put(
        f"{url}api/contents/live.ipynb",
        json={"type": "notebook", "content": notebook},
        headers={"Authorization": f"token {token}"},
    )
    assert answer.status_code == 201, answer.text
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate(
        """async () => {
            const given = { path: 'live.ipynb', factory: 'Notebook', kernel: { name: 'python3' } };
            await window.jupyterapp.commands.execute('docmanager:open', given);
        }"""
    )
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-cell'); }")


def saved_outputs(page):
    """Save the notebook and return what its cell holds on disk."""
    page.evaluate("async () => { await window.jupyterapp.commands.execute('docmanager:save'); }")
    return page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[0].model.outputs.toJSON().map(each => each.data)"
    )


def test_stop_works_while_the_kernel_is_busy_and_leaves_a_picture(lab, page, artifacts):
    url, token = lab
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_notebook(page, url, token)
    expect(page.locator("button", has_text="■ Stop")).to_be_visible()
    curves = page.locator(".jp-Cell img[alt='Training curves of digits']")
    expect(curves).to_be_visible()
    page.screenshot(path=artifacts / "live_view.png")
    page.locator("button", has_text="■ Stop").click()
    expect(page.locator("button", has_text="■ Stop")).to_have_count(0)
    expect(page.get_by_text("interrupted", exact=True)).to_be_visible()
    expect(curves).to_be_visible()
    first, last = saved_outputs(page)
    assert first["text/plain"] == "%maas attach busy"
    assert "<button" not in first["text/html"]
    assert "digits interrupted" in last["text/plain"]
    assert "<button" not in last["text/html"]
    assert complaints == []


def test_stop_works_in_a_page_that_was_loaded_anew(lab, page):
    url, token = lab
    open_notebook(page, url, token)
    expect(page.locator("button", has_text="■ Stop")).to_be_visible()
    expect(page.locator(".jp-Cell img[alt='Training curves of digits']")).to_be_visible()
    saved_outputs(page)
    page.reload()
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate("() => void window.jupyterapp.commands.execute('docmanager:open', {path: 'live.ipynb'})")
    expect(page.locator(".jp-Cell img[alt='Training curves of digits']")).to_be_visible()
    page.locator("button", has_text="■ Stop").click()
    expect(page.get_by_text("asked to stop; it keeps a checkpoint")).to_be_visible()
    page.wait_for_function(KERNEL_IS_IDLE)
