from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

import httpx
import nbformat
import pytest

CHROMIUM = Path("/usr/bin/chromium")
ROOT = Path(__file__).parents[2]
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


# pytest-jupyter's own versions run an event loop in this thread, where Playwright's synchronous API wants none.


@pytest.fixture(autouse=True)
def jp_asyncio_loop():
    return None


@pytest.fixture(autouse=True)
def jp_server_cleanup():
    return None


@pytest.fixture
def lab(own_home, tmp_path):
    """A JupyterLab as a user has it after ``pip install``, under a base URL; gives its address and token."""
    with _jupyter("lab", tmp_path, "--LabApp.expose_app_in_browser=True") as found:
        yield found


@pytest.fixture
def notebook(own_home, tmp_path):
    """A Jupyter Notebook 7, under a base URL; gives its address and token."""
    with _jupyter("notebook", tmp_path, "--JupyterNotebookApp.expose_app_in_browser=True") as found:
        yield found


@contextlib.contextmanager
def _jupyter(application, tmp_path, *options):
    work, config, settings = tmp_path / "work", tmp_path / "config", tmp_path / "settings"
    work.mkdir()
    _copy_without_outputs(ROOT / "notebooks" / "01_quickstart.ipynb", work)
    news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false"}))
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    log = tmp_path / f"{application}.log"
    options = [*options, "--no-browser", "--port=0", "--ServerApp.base_url=/user/tester/", "--allow-root"]
    command = [sys.executable, "-m", "jupyter", application, *options, f"--ServerApp.root_dir={work}"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=work)
    try:
        yield _address(process, tmp_path / "runtime", log), token
    finally:
        process.terminate()
        process.wait(timeout=30)


def _copy_without_outputs(notebook, folder):
    """Copy a notebook without its saved outputs: whatever is seen was drawn in the test."""
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.write(content, folder / notebook.name)


def _address(process, runtime, log):
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        for found in runtime.glob("jpserver-*.json"):
            # The file may be seen before it is written whole.
            with contextlib.suppress(ValueError, httpx.TransportError):
                url = json.loads(found.read_text())["url"]
                if httpx.get(f"{url}api", timeout=5).status_code == 200:
                    return url
        time.sleep(0.1)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture
def artifacts():
    """The folder of what the tests leave to be looked at; git ignores it."""
    folder = ROOT / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def page(request, artifacts):
    """A page of Debian's Chromium, or of Playwright's own where that is installed.

    A screenshot is kept when the test ends, whatever came of it.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM if CHROMIUM.exists() else None, args=FLAGS)
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(60_000)
        try:
            yield page
        finally:
            page.screenshot(path=artifacts / f"{request.node.name}.png")
            browser.close()
