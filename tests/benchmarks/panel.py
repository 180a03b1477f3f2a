"""What the panel costs its server: ``.venv/bin/python tests/benchmarks/panel.py``.

A Jupyter server with the extension, a registry of 10,000 models and a model server with 100 endpoints under a light
load, asked as the panel asks. Prints times, sizes and the extension's share of a core.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
from perceptron import make_small_bundles
from server import ours

from maas_jupyter import schema
from maas_jupyter.bundle import Bundle
from maas_jupyter.config import MaasConfig
from maas_jupyter.registry import Registry
from maas_jupyter.schema import ServedModel, ServedVersion, ServerRecord
from maas_jupyter.serving.client import ServingClient

MODELS, ENDPOINTS, SECONDS = 10_000, 100, 30
ROW = np.ones((1, 4), np.float32)


def make_registry(home: Path, bundle: Bundle) -> None:
    """Register one model through MLflow, and write the others as copies of its rows."""
    registry = Registry(MaasConfig(home=str(home)))
    registry.register("model-00000", bundle, run_id=registry.start_run("model", {}, {}), metrics={"accuracy": 0.9})
    with closing(sqlite3.connect(home / "mlflow.db")) as database, database:
        for table in ("registered_models", "registered_model_aliases", "model_versions", "model_version_tags"):
            columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            rows = database.execute(f"SELECT * FROM {table}").fetchall()
            name = columns.index("name")
            copies = [
                (*row[:name], f"model-{number:05d}", *row[name + 1 :]) for number in range(1, MODELS) for row in rows
            ]
            marks = ", ".join("?" * len(columns))
            database.executemany(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", copies)


def make_endpoints(home: Path, digests: list[str]) -> None:
    """Write what the model server is to serve."""
    (home / "models").mkdir(parents=True)
    for number, digest in enumerate(digests):
        model = ServedModel(f"endpoint-{number:03d}", [ServedVersion("1", digest)])
        (home / "models" / f"{model.name}.json").write_bytes(schema.encode(model))


@contextmanager
def jupyter(home: Path) -> Iterator[tuple[int, httpx.Client]]:
    """Run a Jupyter server with the extension; gives its process and a client of its routes."""
    token, runtime = secrets.token_hex(8), home / "runtime"
    arguments = ["--ServerApp.jpserver_extensions={'maas_jupyter': True}", "--port=0", "--no-browser", "--allow-root"]
    environment = {**os.environ, "MAAS_HOME": str(home), "JUPYTER_RUNTIME_DIR": str(runtime), "JUPYTER_TOKEN": token}
    with (home / "jupyter.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyter_server", *arguments], env=environment, stdout=log, stderr=log, cwd=home
        )
    try:
        record = runtime / f"jpserver-{process.pid}.json"
        while not record.exists():
            time.sleep(0.05)
        url = json.loads(record.read_text())["url"] + "maas-jupyter/"
        with httpx.Client(base_url=url, headers={"Authorization": f"token {token}"}, timeout=60) as client:
            yield process.pid, client
    finally:
        process.terminate()
        process.wait()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(client: httpx.Client, cursor: str = "") -> tuple[float, int, dict]:
    """Ask for a snapshot; return milliseconds, bytes and the snapshot."""
    began = time.perf_counter()
    answer = client.get("snapshot", params={"since": cursor})
    return (time.perf_counter() - began) * 1e3, len(answer.content), answer.raise_for_status().json()


def look(pid: int, client: httpx.Client, server: ServerRecord) -> None:
    """Print the figures."""
    snapshot = ask(client)[2]
    while snapshot["models"] != MODELS or len(snapshot["endpoints"] or ()) != ENDPOINTS:
        snapshot = ask(client)[2]
    time.sleep(3)
    whole = [ask(client)[:2] for _ in range(9)]
    print(f"everything: {statistics.median(ms for ms, _ in whole):.1f} ms (100), {whole[-1][1] / 1000:.0f} kB")
    began = time.perf_counter()
    page = client.get("models", params={"search": "99", "sort": "name", "order": "asc"}).json()
    print(f"a page of a search, {page['total']} found: {(time.perf_counter() - began) * 1e3:.1f} ms")
    cursor = ask(client)[2]["cursor"]
    same = []
    for _ in range(9):
        ms, size, snapshot = ask(client, cursor)
        if not snapshot["samples"]:
            same.append((ms, size))
        cursor = snapshot["cursor"]
    print(f"nothing changed: {statistics.median(ms for ms, _ in same):.2f} ms (5), {same[-1][1]} bytes")
    used, began, sizes = cpu_seconds(pid), time.monotonic(), []
    with ServingClient(server.url, server.token) as model_server:
        while time.monotonic() < began + SECONDS:
            for number in range(ENDPOINTS):
                model_server.infer(f"endpoint-{number:03d}", {"input": ROW})
            time.sleep(2)
            ms, size, snapshot = ask(client, cursor)
            cursor = snapshot["cursor"]
            sizes.append((size, ms))
    share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
    size, ms = (statistics.median(each) for each in zip(*sizes, strict=True))
    print(f"a change of {ENDPOINTS} endpoints: {size / 1000:.1f} kB (50), {ms:.1f} ms")
    print(f"watching {ENDPOINTS} endpoints and {MODELS:,} models: {share:.1%} of a core (3 %)")


def main() -> None:
    """Run it."""
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as folder:
        home = Path(folder)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        digests = make_small_bundles(home / "server" / "bundles", ENDPOINTS)
        make_endpoints(home / "server", digests)
        make_registry(home, Bundle.open(home / "server" / "bundles" / digests[0]))
        with ours(home / "server", "--workers", "1") as record, jupyter(home) as (pid, client):
            look(pid, client, record)


if __name__ == "__main__":
    main()
