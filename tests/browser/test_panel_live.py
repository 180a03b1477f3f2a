"""A person's journey in a real browser: open the notebook, run it, watch the panel."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

KERNEL_IS_IDLE = """() => {
    const kernel = window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel;
    return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def run_cell(page):
    """Run the active cell, wait for it, and go to the next; fails with the cell's error."""
    error = page.evaluate(
        """async () => {
            const { content } = window.jupyterapp.shell.currentWidget;
            const cell = content.activeCell;
            await window.jupyterapp.commands.execute('notebook:run-cell-and-select-next');
            const outputs = cell.model.outputs?.toJSON() ?? [];
            return outputs.find(output => output.output_type === 'error')?.traceback.join('\\n') ?? null;
        }"""
    )
    assert error is None, error


CODE_OF_ACTIVE_CELL = """() => {
    const { model } = window.jupyterapp.shell.currentWidget.content.activeCell;
    return model.type === 'code' ? model.sharedModel.getSource() : '';
}"""


def run_until(page, marker):
    """Run cells up to and including the one whose source has the marker."""
    for _ in range(60):
        source = page.evaluate(CODE_OF_ACTIVE_CELL)
        run_cell(page)
        if marker in source:
            return
    raise AssertionError(f"No cell has {marker}")


def test_the_quickstart_shows_up_in_the_panel(lab, page, artifacts):
    url, token = lab
    complaints = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
    panel = page.locator("#maas-panel")
    expect(panel.locator(".maas-panel[data-status='live']")).to_be_visible()
    expect(panel.get_by_text("No endpoints yet")).to_be_visible()
    expect(panel.get_by_text("No models yet")).to_be_visible()

    page.evaluate(
        """async () => {
            const given = { path: '01_quickstart.ipynb', factory: 'Notebook', kernel: { name: 'python3' } };
            await window.jupyterapp.commands.execute('docmanager:open', given);
        }"""
    )
    page.wait_for_function(KERNEL_IS_IDLE)
    page.evaluate("() => window.jupyterapp.shell.collapseRight?.()")

    curves = page.locator(".jp-Cell img[alt='Training curves of digits']")
    expect(curves).to_have_count(0)
    run_until(page, "%maas train")
    expect(curves).to_be_visible()
    model = panel.locator("[data-model='digits']")
    expect(model).to_be_visible()

    run_until(page, "%maas publish digits@champion")
    endpoint = panel.locator("[data-endpoint='digits']")
    expect(endpoint).to_have_attribute("data-state", "ready")
    expect(endpoint.locator(".maas-share[data-version='1']")).to_contain_text("100")

    run_until(page, "%maas predict digits")
    requests = endpoint.locator("[data-stat='requests_total']")
    expect(requests).to_have_attribute("data-value", "1")
    run_until(page, "%maas metrics digits")
    expect(requests).to_have_attribute("data-value", "51")
    expect(endpoint.locator("[data-stat='p50_ms']")).to_contain_text("ms")
    expect(endpoint.locator("[data-stat='errors_total']")).to_have_attribute("data-value", "0")

    model.get_by_role("button").first.click()
    expect(model.locator("[data-version='1'] [data-alias='champion']")).to_be_visible()
    page.screenshot(path=artifacts / "panel_live.png")

    newest = model.locator("[data-version]").first.get_attribute("data-version")
    run_until(page, "%maas publish digits")
    expect(endpoint.locator(f".maas-share[data-version='{newest}']")).to_contain_text("100")
    run_until(page, "%maas stop digits")
    expect(panel.get_by_text("No endpoints yet")).to_be_visible()
    assert complaints == []
