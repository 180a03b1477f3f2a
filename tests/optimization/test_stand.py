"""The process of a candidate: what is loud, hangs, eats memory or outlives its notebook."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest
import torch
from models import mlp
from msgspec import structs

from maas_jupyter import plugins
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import BundleError
from maas_jupyter.optimization.measure import Stand
from maas_jupyter.packaging import package

RUNTIMES = """
import sys, time
from maas_jupyter.serving.runtimes.onnx import OnnxRuntime

class Loud(OnnxRuntime):
    def run(self, inputs):
        sys.stderr.write("a warning of a runtime\\n" * 20_000)
        return super().run(inputs)

class Hanging(OnnxRuntime):
    def warm_up(self):
        pass
    def run(self, inputs):
        print("hangs", file=sys.stderr, flush=True)
        while True:
            time.sleep(3600)
"""


@pytest.fixture
def bundle_of(tmp_path, monkeypatch):
    """Return a function that makes a bundle of one of the runtimes."""
    place = tmp_path / "site"
    (place / "loud-1.0.dist-info").mkdir(parents=True)
    (place / "loud_runtimes.py").write_text(textwrap.dedent(RUNTIMES))
    (place / "loud-1.0.dist-info" / "METADATA").write_text("Name: loud\nVersion: 1.0\n")
    (place / "loud-1.0.dist-info" / "entry_points.txt").write_text(
        "[maas_jupyter.runtime]\nloud = loud_runtimes:Loud\nhanging = loud_runtimes:Hanging\n"
    )
    monkeypatch.syspath_prepend(place)
    monkeypatch.setenv("PYTHONPATH", str(place), prepend=os.pathsep)
    plugins.available.cache_clear()

    def made(runtime):
        bundle = package(mlp(), (torch.rand(4, 64),), tmp_path / "bundle", task="classification").bundle
        return Bundle.seal(bundle.folder, structs.replace(bundle.manifest, runtime=runtime), bundle.manifest.files)

    yield made
    plugins.available.cache_clear()


def rows(count=1):
    return {"input": torch.rand(count, 64).numpy()}


def test_a_runtime_that_says_much_is_not_held_up(bundle_of):
    with Stand(bundle_of("loud"), 1, patience=60) as stand:
        assert stand.run(rows(), "scores").shape == (1, 10)


def test_a_candidate_that_hangs_is_ended_at_once(bundle_of):
    with Stand(bundle_of("hanging"), 1, patience=60) as stand:
        stand._patience = 0.1
        with pytest.raises(BundleError, match=r"did not answer within 0 s and was ended"):
            stand.run(rows(), "scores")
        assert stand._process.wait(60) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own means")
def test_a_candidate_ends_with_its_notebook_even_where_it_hangs(bundle_of):
    bundle = bundle_of("hanging")
    script = f"""
import sys, threading
from pathlib import Path
import numpy as np
from maas_jupyter.bundle import Bundle
from maas_jupyter.optimization.measure import Stand
stand = Stand(Bundle.open(Path({str(bundle.folder)!r})), 1)
print(stand._process.pid, flush=True)
stand.run({{"input": np.zeros((1, 64), dtype="float32")}}, "scores")
"""
    notebook = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    candidate = psutil.Process(int(notebook.stdout.readline()))
    notebook.kill()
    notebook.wait()
    notebook.stdout.close()
    assert psutil.wait_procs([candidate], timeout=30)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="the system's own means")
def test_where_memory_is_short_the_candidate_goes_before_the_notebook(bundle_of):
    with Stand(bundle_of("loud"), 1) as stand:
        assert Path(f"/proc/{stand._process.pid}/oom_score_adj").read_text().strip() == "1000"


def test_a_stand_leaves_no_file_behind(bundle_of, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with Stand(bundle_of("loud"), 1) as stand:
        stand.run(rows(), "scores")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_restarted_stand_holds_the_same_rows_in_another_process(bundle_of):
    with Stand(bundle_of("loud"), 1) as stand:
        stand.hold(rows(4))
        first = stand._process.pid
        stand.restart()
        stand.reload()
        assert stand._process.pid != first
        assert len(stand.time(4, 0.0)) >= 3
