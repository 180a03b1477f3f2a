"""Makes the README's pictures of the panel, the dashboard and the playground from a real run, light and dark.

    python docs/pictures/make.py [FOLDER]

It needs the extras of the tests (Playwright and a Chromium), an installed package with its labextension, and about
three minutes: a model is trained, published and asked, and what the browser shows of it is photographed. Nothing is
left behind but the pictures.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import nbformat
import numpy as np
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}

#: CSS pixels of the window, and how many of the picture's pixels each of them gets.
WINDOW = {"width": 1360, "height": 860}
SCALE = 1.5
#: Colours of a picture: what a screen shows of a program needs no more, and the file is a third as large.
COLORS = 160

#: Seconds of traffic: the errors in the middle make an alert fire, and a minute later clear.
WELL, UNWELL, WELL_AGAIN = 40.0, 20.0, 90.0


def main(folder: Path) -> None:
    """Make all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="maas-pictures-", ignore_cleanup_errors=True) as scratch:
        os.environ["MAAS_HOME"] = str(Path(scratch) / "home")
        images = published()
        import maas_jupyter

        try:
            with lab(Path(scratch)) as (url, token), sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=CHROMIUM if CHROMIUM.exists() else None, args=FLAGS
                )
                with traffic(images):
                    photograph(browser, url, token, folder)
        finally:
            maas_jupyter.stop()


def published() -> np.ndarray:
    """Train two versions of a model, publish them, and return what they can be asked."""
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    import maas_jupyter

    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype("float32").reshape(-1, 1, 8, 8)
    train, test = (images[:1400], labels[:1400]), (images[1400:], labels[1400:])
    for width in (16, 64):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
        maas_jupyter.train(net, data=train, val=test, epochs=12, lr=5e-3, name="digits")
        maas_jupyter.evaluate("digits", data=test)
    wine = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2))
    maas_jupyter.train(wine, data=(train[0], train[1] % 2), epochs=4, name="odd-or-even")
    maas_jupyter.publish("digits/1", reason="first version")
    maas_jupyter.publish("digits/2", canary=25, reason="wider network")
    maas_jupyter.publish("odd-or-even")
    return images


@contextmanager
def lab(scratch: Path) -> Iterator[tuple[str, str]]:
    """Run a JupyterLab of its own; give its address and token."""
    work, runtime, settings = scratch / "work", scratch / "runtime", scratch / "settings"
    work.mkdir()
    nbformat.write(notebook(), work / "playground.ipynb")
    news = settings / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    news.parent.mkdir(parents=True)
    news.write_text(json.dumps({"fetchNews": "false"}))
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_TOKEN": token,
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(scratch / "workspaces"),
    }
    options = ["--no-browser", "--port=0", "--allow-root", "--LabApp.expose_app_in_browser=True"]
    log = scratch / "lab.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", *options, f"--ServerApp.root_dir={work}"],
            env=environment,
            stdout=output,
            stderr=output,
            cwd=work,
        )
    try:
        yield address(process, runtime, log), token
    finally:
        process.terminate()
        process.wait(timeout=30)


def notebook() -> Any:
    """Return the notebook whose last cell shows the playground."""
    cells = ["%load_ext maas_jupyter", "%maas play digits"]
    return nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )


def address(process: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server answers."""
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit(f"JupyterLab ended:\n{log.read_text()}")
        for found in runtime.glob("jpserver-*.json"):
            # The file may be seen before it is written whole.
            with suppress(ValueError, httpx.TransportError):
                url = str(json.loads(found.read_text())["url"])
                if httpx.get(f"{url}api", timeout=5).status_code == 200:
                    return url
        time.sleep(0.1)
    raise SystemExit(f"JupyterLab did not start:\n{log.read_text()}")


@contextmanager
def traffic(images: np.ndarray) -> Iterator[None]:
    """Ask both endpoints all the time, and nonsense for a while."""
    import maas_jupyter

    ended = threading.Event()
    begun = time.monotonic()
    record = json.loads((Path(os.environ["MAAS_HOME"]) / "server" / "server.json").read_text())
    headers = {"Authorization": f"Bearer {record['token']}"}

    def client(name: str, pause: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        endpoint = next(each for each in maas_jupyter.endpoints() if each.name == name)
        for number in itertools.count():
            if ended.wait(random.exponential(pause * (1 + 0.6 * np.sin(number / 60)))):
                return
            row = int(random.integers(len(images)))
            since = time.monotonic() - begun
            if name == "digits" and WELL < since < WELL + UNWELL and random.random() < 0.25:
                httpx.post(endpoint.url, json={"inputs": []}, headers=headers)
            endpoint.predict(images[row : row + 1 + number % 3])

    clients = [
        threading.Thread(target=client, args=(name, pause, seed))
        for seed, (name, pause) in enumerate([("digits", 0.02)] * 3 + [("odd-or-even", 0.08)])
    ]
    for each in clients:
        each.start()
    try:
        yield
    finally:
        ended.set()
        for each in clients:
            each.join()


def photograph(browser: Browser, url: str, token: str, folder: Path) -> None:
    """Open everything, wait until it has something to show, and take the pictures."""
    rule = f"{url}maas-jupyter/alerts/rules/local/digits"
    for kind, body in (("error_rate_above", {"threshold": 0.05}), ("p95_above", {"threshold": 250, "for_seconds": 30})):
        httpx.put(f"{rule}/{kind}", json=body, headers={"Authorization": f"token {token}"}).raise_for_status()
    page = browser.new_page(viewport=WINDOW, device_scale_factor=SCALE)
    page.set_default_timeout(60_000)
    page.goto(f"{url}lab?token={token}&reset")
    page.wait_for_function("() => window.jupyterapp?.restored")
    page.evaluate("async () => { await window.jupyterapp.restored; }")
    run(page, "maas:show-panel")
    run(page, "maas:open-dashboard", target="local", name="digits")
    dashboard = page.locator(".maas-dashboard")
    expect(dashboard.locator("canvas")).to_have_count(7)
    page.locator(".maas-panel .maas-model").first.click()
    page.wait_for_timeout((WELL + UNWELL + WELL_AGAIN) * 1e3)
    for theme in THEMES:
        in_theme(page, theme)
        plot = dashboard.locator("[data-chart='latency'] .u-over").bounding_box()
        assert plot is not None
        page.mouse.move(plot["x"] + plot["width"] * 0.72, plot["y"] + plot["height"] * 0.4)
        shoot(page, folder / f"dashboard-{theme}.png")
        page.mouse.move(0, 0)
        shoot(page, folder / f"panel-{theme}.png", of="#jp-left-stack")
    playground(page, folder)


def playground(page: Page, folder: Path) -> None:
    """Draw a digit in a notebook's playground."""
    run(page, "docmanager:open", path="playground.ipynb", factory="Notebook", kernel={"name": "python3"})
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
    )
    run(page, "notebook:run-all-cells")
    canvas = page.locator(".jp-OutputArea .maas-cell-canvas").first
    canvas.wait_for()
    canvas.evaluate("node => node.scrollIntoView({ block: 'center' })")
    page.wait_for_timeout(1_000)
    box = canvas.bounding_box()
    assert box is not None
    strokes = [(0.35, 0.25), (0.65, 0.25), (0.55, 0.5), (0.45, 0.8)]  # a seven
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in strokes]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=12)
    page.mouse.up()
    page.wait_for_timeout(2_000)
    for theme in THEMES:
        in_theme(page, theme)
        shoot(page, folder / f"playground-{theme}.png", of=".jp-OutputArea-output:has(.maas-cell-canvas)")


def run(page: Page, command: str, **args: Any) -> None:
    """Execute a command of JupyterLab."""
    # What the command returns may be a widget, which cannot be sent.
    page.evaluate(
        "async ([command, args]) => { await window.jupyterapp.commands.execute(command, args); }", [command, args]
    )


def in_theme(page: Page, theme: str) -> None:
    """Change the theme and wait until it is there."""
    run(page, "apputils:change-theme", theme=THEMES[theme])
    expect(page.locator(f"body[data-jp-theme-light='{str(theme == 'light').lower()}']")).to_be_attached()
    page.wait_for_timeout(1_500)


def shoot(page: Page, path: Path, of: str = "") -> None:
    """Take a picture of the page or of an element, with few colours."""
    data = page.locator(of).first.screenshot() if of else page.screenshot()
    picture = Image.open(io.BytesIO(data)).convert("RGB")
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    sys.stdout.write(f"{path.name}: {path.stat().st_size / 1024:.0f} kB\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
