"""What the panel costs the browser, and the start of the server: ``.venv/bin/python tests/benchmarks/panel_page.py``.

JupyterLab with a registry of 10,000 models in Chromium: the time of a frame while they are scrolled through, the
memory of a dashboard that is open for a day (its clock runs faster), the size of the bundle, and how much later a
Jupyter server is up with the extension. An argument names one of them: ``scroll``, ``day``, ``bundle``, ``start``.
"""

from __future__ import annotations

import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from panel import cpu_seconds, make_registry
from perceptron import make_small_bundles
from playwright.sync_api import Page, sync_playwright

from maas_jupyter.bundle import Bundle

CHROMIUM = Path("/usr/bin/chromium")
STATIC = Path(__file__).parents[2] / "labextension" / "dist" / "static"
STARTS = 9
#: Of the day, when memory is looked at; the charts hold six hours.
HOURS = (7, 12, 18, 24)

#: Scrolls by two rows a frame, forth and back; gives the milliseconds between frames.
SCROLL = """async frames => {
    const panel = document.querySelector('#maas-panel');
    const times = [];
    let top = panel.scrollTop;
    await new Promise(resolve => {
        const step = time => {
            times.push(time);
            top += times.length <= frames / 2 ? 88 : -88;
            panel.scrollTop = top;
            times.length > frames ? resolve() : requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
    });
    return times.slice(1).map((time, place) => time - times[place]);
}"""

#: Once `day.on`, lets an interval of two seconds pass in a moment, and answers in place of the server.
FASTER = """(() => {
    const real = { setTimeout: window.setTimeout.bind(window), fetch: window.fetch.bind(window), now: Date.now };
    const start = real.now();
    const day = { on: false, ticks: 0, until: Infinity };
    window.day = day;
    Date.now = () => start + day.ticks * 2000;
    window.setTimeout = (work, delay, ...rest) => real.setTimeout(work, day.on && delay === 2000 ? 0 : delay, ...rest);
    const sample = () => {
        const wave = 10 + 5 * Math.sin(day.ticks / 300) + Math.random();
        const codes = { 200: wave, 500: day.ticks % 97 === 0 ? 1 : 0 };
        return [Date.now() / 1000, wave, codes[500], 1, 2 + Math.random(), 3, 0, 4, 1e8, 0.2, { 1: wave }, codes, 1];
    };
    const endpoint = {
        name: 'digits', target: 'local', url: 'http://localhost/', state: 'ready', reason: '', errors_total: 0,
        traffic: [{ version: '1', weight: 1, state: 'ready', shadow: null }], kind: '', untold: []
    };
    window.fetch = async (input, init) => {
        const url = input.url ?? String(input);
        if (!day.on || !url.includes('/maas-jupyter/')) {
            return real.fetch(input, init);
        }
        if (url.includes('/samples')) {
            return new Response('[]');
        }
        while (day.ticks >= day.until) {
            await new Promise(resolve => real.setTimeout(resolve, 20));
        }
        day.ticks += 1;
        return new Response(JSON.stringify({
            cursor: String(day.ticks), models: 0, models_number: 1, runs: [], registry_error: null, runs_error: null,
            alerts: [], alerts_error: null, endpoints: [{ ...endpoint, requests_total: day.ticks }],
            samples: { 'local/digits': [sample()] }
        }));
    };
})()"""


@contextmanager
def lab(home: Path) -> Iterator[str]:
    """Run a JupyterLab on a maas home; gives its address, which lets in whoever has it."""
    token, runtime = secrets.token_hex(8), home / "runtime"
    environment = {
        **os.environ,
        "MAAS_HOME": str(home),
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "JUPYTER_TOKEN": token,
    }
    options = ["--port=0", "--no-browser", "--allow-root", "--LabApp.expose_app_in_browser=True"]
    with (home / "lab.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options], env=environment, stdout=log, stderr=log, cwd=home
        )
    try:
        yield f"{wait_for(process, runtime)}lab?token={token}&reset"
    finally:
        process.terminate()
        process.wait()


def wait_for(process: subprocess.Popen[bytes], runtime: Path) -> str:
    """Return the address of a server once it answers."""
    record = runtime / f"jpserver-{process.pid}.json"
    while True:
        try:
            url = str(json.loads(record.read_text())["url"])
            httpx.get(f"{url}api")
            return url
        except (OSError, ValueError, httpx.TransportError):
            if process.poll() is not None:
                raise RuntimeError(f"The Jupyter server ended with {process.returncode}.") from None
            time.sleep(0.01)


@contextmanager
def opened(url: str) -> Iterator[Page]:
    """Open the panel in Chromium."""
    flags = ["--no-sandbox", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM if CHROMIUM.exists() else None, args=flags)
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(60_000)
        # JupyterLab takes hold of what it asks with while it loads.
        page.add_init_script(FASTER)
        page.goto(url)
        page.wait_for_function("() => window.jupyterapp?.restored")
        page.evaluate("async () => { await window.jupyterapp.restored; }")
        page.evaluate("() => window.jupyterapp.commands.execute('maas:show-panel')")
        yield page
        browser.close()


def scroll(frames: int = 600) -> None:
    """Scroll through 10,000 models."""
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as folder:
        home = Path(folder)
        (digest,) = make_small_bundles(home / "bundles", 1)
        make_registry(home, Bundle.open(home / "bundles" / digest))
        with lab(home) as url, opened(url) as page:
            page.wait_for_selector("#maas-panel [data-model]")
            page.wait_for_timeout(3_000)
            page.evaluate(SCROLL, 60)
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable")
            before = metrics(session)
            times = page.evaluate(SCROLL, frames)
            after = metrics(session)
    work = (after["TaskDuration"] - before["TaskDuration"]) / frames * 1e3
    parts = {name: (after[name] - before[name]) / frames * 1e3 for name in before if name.endswith("Duration")}
    print(f"scrolling 10,000 models: {work:.1f} ms of work a frame (16), of which", end=" ")
    print(", ".join(f"{name.removesuffix('Duration')} {ms:.1f}" for name, ms in parts.items()))
    median, late = statistics.median(times), statistics.quantiles(times, n=20)[-1]
    print(f"  from frame to frame {median:.1f} ms, 95 % under {late:.1f} ms, the longest {max(times):.0f} ms")


def metrics(session: object) -> dict[str, float]:
    """Chromium's counters of a page."""
    answer = session.send("Performance.getMetrics")["metrics"]  # type: ignore[attr-defined]
    wanted = ("TaskDuration", "ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "Nodes", "JSEventListeners")
    return {each["name"]: each["value"] for each in answer if each["name"] in wanted}


def day() -> None:
    """Leave a dashboard open for a day, whose clock runs faster."""
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as folder, lab(Path(folder)) as url, opened(url) as page:
        page.evaluate("() => { window.day.on = true; }")
        page.evaluate(
            "() => window.jupyterapp.commands.execute('maas:open-dashboard', { target: 'local', name: 'digits' })"
        )
        page.get_by_role("button", name="6 h").click()
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        for hour in HOURS:
            page.evaluate("ticks => { window.day.until = ticks; }", hour * 1800)
            page.wait_for_function("() => window.day.ticks >= window.day.until", timeout=1_800_000)
            page.wait_for_timeout(1_000)
            for _ in range(2):
                session.send("HeapProfiler.collectGarbage")
            heap, counts = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6, metrics(session)
            nodes, listeners = counts["Nodes"], counts["JSEventListeners"]
            print(f"a dashboard after {hour} h: {heap:.1f} MB, {nodes:.0f} nodes, {listeners:.0f} listeners")


def bundle() -> None:
    """Sum up what the browser loads."""
    sizes = [path.stat().st_size for path in STATIC.iterdir() if path.suffix in (".js", ".css")]
    print(f"bundle: {sum(sizes) / 1000:.0f} kB (400)")


def start() -> None:
    """Start a Jupyter server with and without the extension, by turns.

    A server's start makes Python's collector go through everything a few times. A little more of anything can bring one
    of these turns from after the start to before it, so the extension's own share is measured without the collector.
    """
    for words, prelude in (("", ""), (", without turns of the collector", "import gc; gc.disable(); ")):
        found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for turn in range(2 * STARTS):
            with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as folder:
                found[turn % 2 == 0].append(start_once(Path(folder), turn % 2 == 0, prelude))
        for place, what in enumerate(("by the clock", "of the processor")):
            # What else the machine does only ever adds.
            with_it, without = (min(each[place] for each in found[on]) * 1e3 for on in (True, False))
            print(f"a server's start, {what}{words}: {with_it:.0f} ms, {with_it - without:+.0f} ms by us (50)")


def start_once(home: Path, enabled: bool, prelude: str) -> tuple[float, float]:
    """Return the seconds, by the clock and of the processor, until a server answers."""
    arguments = [f"--ServerApp.jpserver_extensions={{'maas_jupyter': {enabled}}}", "--port=0", "--no-browser"]
    environment = {**os.environ, "MAAS_HOME": str(home), "JUPYTER_RUNTIME_DIR": str(home / "runtime")}
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{prelude}from jupyter_server.serverapp import main; main()",
            "--allow-root",
            *arguments,
        ],
        env={**environment, "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_TOKEN": "t"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=home,
    )
    try:
        wait_for(process, home / "runtime")
        return time.perf_counter() - began, cpu_seconds(process.pid)
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Run those that are named, or all."""
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    wanted = sys.argv[1:] or ["bundle", "start", "scroll", "day"]
    for name in wanted:
        {"bundle": bundle, "start": start, "scroll": scroll, "day": day}[name]()


if __name__ == "__main__":
    main()
