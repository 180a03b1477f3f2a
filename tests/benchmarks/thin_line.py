"""Figures of the thin line, by hand: ``.venv/bin/python tests/benchmarks/thin_line.py``.

Prints what loading the extension costs beyond IPython, the time from publish to the first answer (cold: no server runs;
warm: it serves another version), the server's memory with the digits model, and the size of the panel's files.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPEATS = 5


def load_ext_milliseconds() -> list[float]:
    """Cumulative import time of ``maas_jupyter``'s own modules, by ``-X importtime``, and the call that registers."""
    code = """
import time
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
began = time.perf_counter()
shell.run_line_magic("load_ext", "maas_jupyter")
print((time.perf_counter() - began) * 1000)
"""
    return [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(REPEATS)
    ]


def import_milliseconds() -> float:
    """What ``-X importtime`` counts for the package and the magics, IPython already imported."""
    code = "import IPython.core.completer, IPython.core.interactiveshell, traitlets.config; import maas_jupyter.magics"
    done = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    rows = [line.split("|") for line in done.stderr.splitlines() if "maas_jupyter" in line]
    return max(int(row[1]) for row in rows) / 1000


def publish_figures(home: Path) -> None:
    """Publish to first answer, cold and warm, and the server's memory."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    import maas_jupyter
    from maas_jupyter.schema import ServerRecord, decode

    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype("float32").reshape(-1, 1, 8, 8)
    nets = []
    for seed in range(2):
        torch.manual_seed(seed)
        nets.append(
            nn.Sequential(
                nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10),
            )
        )  # fmt: skip
        maas_jupyter.register(nets[-1], name="digits", data=(X, y))

    def to_first_answer(reference: str) -> float:
        began = time.perf_counter()
        maas_jupyter.publish(reference).predict(X[:1])
        return time.perf_counter() - began

    cold = []
    for _ in range(REPEATS):
        maas_jupyter.stop()
        cold.append(to_first_answer("digits/1"))
    warm = [to_first_answer(f"digits/{1 + turn % 2}") for turn in range(1, 2 * REPEATS + 1)]
    print(f"publish to first answer, cold: median {statistics.median(cold):.2f} s of {[round(t, 2) for t in cold]}")
    print(f"publish to first answer, warm: median {statistics.median(warm):.3f} s of {[round(t, 3) for t in warm]}")
    maas_jupyter.stop()
    endpoint = maas_jupyter.publish("digits/1")
    path = home / "server" / "server.json"
    pid = decode(path.read_bytes(), ServerRecord, where=str(path)).pid
    before = memory_mb(pid)
    for start in range(300):
        endpoint.predict(np.roll(X, start, axis=0)[:8])
    print(f"server memory with the digits model: {before:.1f} MB, {memory_mb(pid):.1f} MB after 300 requests")
    maas_jupyter.stop()


def fresh_kernel_cold_publish() -> float:
    """Seconds of the same in a process that has imported nothing yet: MLflow's import included."""
    code = """
import time
began = time.perf_counter()
import numpy as np, maas_jupyter
maas_jupyter.publish("digits/1").predict(np.zeros((1, 1, 8, 8), "float32"))
print(time.perf_counter() - began)
maas_jupyter.stop()
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) / 1024


def panel_kilobytes() -> float:
    """Size of the installed panel's scripts and styles."""
    folder = Path(sys.prefix) / "share" / "jupyter" / "labextensions" / "maas-jupyter"
    return sum(path.stat().st_size for path in folder.rglob("*") if path.suffix in (".js", ".css")) / 1000


def main() -> None:
    """Print all figures."""
    times = load_ext_milliseconds()
    print(f"%load_ext maas_jupyter: median {statistics.median(times):.1f} ms of {[round(t, 1) for t in times]}")
    print(f"imports of the package and its magics by -X importtime: {import_milliseconds():.1f} ms")
    with tempfile.TemporaryDirectory(prefix="maas-benchmark-") as folder:
        home = Path(folder) / "home"
        os.environ["MAAS_HOME"] = str(home)
        os.environ.pop("MLFLOW_TRACKING_URI", None)
        publish_figures(home)
        print(f"publish to first answer, cold, in a fresh process: {fresh_kernel_cold_publish():.2f} s")
    print(f"panel: {panel_kilobytes():.1f} kB of scripts and styles")


if __name__ == "__main__":
    main()
