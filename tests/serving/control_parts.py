"""What the tests of the control plane build on."""

from __future__ import annotations

import shutil
import sys

from bundles import Bundles

from maas_jupyter import plugins, schema
from maas_jupyter.schema import ProbeRecord
from maas_jupyter.serving.control import quarantine

RUNTIME = """
import os, signal, subprocess, sys, time
from pathlib import Path

import numpy as np

from maas_jupyter.errors import BundleError

FOLDER = Path(__file__).parent
PROBED = sys.modules["__main__"].__spec__ is not None and "probe" in sys.modules["__main__"].__spec__.name


class Moody:
    def load(self, folder, manifest, threads=1):
        self.mood = (FOLDER / "mood").read_text()
        self.signature = manifest.signature
        with (FOLDER / "loads").open("a") as file:
            file.write(f"{'probe' if PROBED else 'server'} {self.mood}\\n")
        if self.mood == "abort" or (self.mood == "abort in the server" and not PROBED):
            os.abort()
        if self.mood == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.mood == "abort once in the server" and not PROBED and (FOLDER / "once").exists():
            (FOLDER / "once").unlink()
            os.abort()
        if self.mood == "refuse once in the server" and not PROBED and (FOLDER / "once").exists():
            (FOLDER / "once").unlink()
            raise BundleError("It refuses: short of memory.")
        if self.mood == "hang in the server" and not PROBED:
            time.sleep(1000)
        if self.mood == "exit":
            os._exit(3)
        if self.mood == "exit well":
            os._exit(0)
        if self.mood == "raise":
            raise ValueError("I am in no mood")
        if self.mood == "refuse" or (self.mood == "refuse in the server" and not PROBED):
            raise BundleError("It refuses: not today.", hint="Try tomorrow.")
        if self.mood == "hang":
            child = subprocess.Popen(["sleep", "1000"])
            (FOLDER / "pids").write_text(f"{os.getpid()} {child.pid}")
            time.sleep(1000)
        if self.mood == "tell":
            links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) > 2
                     and os.path.exists(f"/proc/self/fd/{name}")]
            raise BundleError(f"{links} {[f'{key}={value}' for key, value in os.environ.items()]}")
        if self.mood == "print":
            print("{}")
            os.write(1, b"noise")
            os.write(2, b"more noise" * 100_000)

    def warm_up(self):
        time.sleep(0.005)  # slow enough not to be run on the event loop

    def run(self, inputs):
        if self.mood == "slow":
            (FOLDER / "runs").open("a").close()
            time.sleep(1000)
        if self.mood.endswith("once in the server"):
            rows = len(inputs["x"])
            return {"label": np.zeros(rows, np.int64), "scores": np.zeros((rows, 3), np.float32)}
        raise BundleError("It only loads.")

    def unload(self):
        if self.mood == "abort in unload" and PROBED:
            os.abort()
"""


class Moods:
    """An installed package with a runtime, ``moody``, that behaves as it is told while it loads."""

    def __init__(self, folder, monkeypatch):
        self._folder = folder
        info = folder / "maas_moody-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: maas-moody\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[maas_jupyter.runtime]\nmoody = maas_moody_runtime:Moody\n")
        (folder / "maas_moody_runtime.py").write_text(RUNTIME)
        self.are("fine")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "maas_moody_runtime", raising=False)
        plugins.available.cache_clear()
        quarantine.versions.cache_clear()

    def are(self, mood):
        (self._folder / "mood").write_text(mood)

    def will_once(self):
        """Let the next server that loads it in the mood for that abort or refuse."""
        (self._folder / "once").touch()

    def runs(self):
        """Say whether a run began in the mood for slow ones."""
        return (self._folder / "runs").exists()

    def pids(self):
        path = self._folder / "pids"
        return list(map(int, path.read_text().split())) if path.exists() else []

    def loads(self):
        """Return where it was loaded, and in which mood, since the last call."""
        path = self._folder / "loads"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return [line.split()[0] for line in lines]


def place(home, folder):
    """Put a bundle into a server's store, as an upload does; returns its digest."""
    digest = Bundles.digest(folder)
    shutil.copytree(folder, home / "bundles" / digest, dirs_exist_ok=True)
    return digest


def quarantined(home, digest):
    """Return the reason that is on record."""
    path = home / "probes" / f"{digest}.json"
    return schema.decode(path.read_bytes(), ProbeRecord, where=str(path)).reason
