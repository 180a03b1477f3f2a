"""The thin line through real kernels, a real registry and a real server."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from urllib.parse import urlparse

import httpx
import pytest
from kernels import kernel
from models import mlp, wine

import maas_jupyter
from maas_jupyter.schema import ServerRecord, decode

SETUP = """
import sys; sys.path.insert(0, {tests!r})
from models import mlp, wine
net, data = mlp(13, 3), wine()
"""


@pytest.fixture
def setup():
    return SETUP.format(tests=str(Path(__file__).parents[1]))


def record(home):
    path = home / "server" / "server.json"
    return decode(path.read_bytes(), ServerRecord, where=str(path))


def test_a_training_is_drawn_while_it_runs_and_stays_in_the_notebook(own_home, setup):
    with kernel() as notebook:
        notebook.run(setup)
        began = time.monotonic()
        shown = notebook.run("run = %maas train net --data data --val data --epochs 400 --batch-size 16")
        seconds = time.monotonic() - began
        assert shown.status == "ok", shown.error
        assert len(shown.updates) > 2
        assert len(shown.updates) <= 10 * seconds + 1
        last = shown.updates[-1]
        assert "finished · epoch 400 of 400" in last["text/plain"]
        assert "data:image/svg+xml;base64," in last["text/html"]
        assert "<script" not in last["text/html"]
        assert len(last["text/html"]) < 60_000


def test_the_stop_button_keeps_a_checkpoint_and_returns_the_run(own_home, setup):
    with kernel() as notebook:
        notebook.run(setup)
        pressed = threading.Event()

        def press(text):
            if "epoch" in text and not pressed.is_set():
                pressed.set()
                notebook.manager.interrupt_kernel()

        shown = notebook.run("run = %maas train net --data data --epochs 100000 --name long", on_update=press)
        assert shown.status == "ok", shown.error
        assert notebook.value("run.status") == "interrupted"
        assert notebook.value("run.checkpoint.exists()") == "True"
        assert int(notebook.value("len(run.history)")) < 100000
        assert "interrupted" in shown.updates[-1]["text/plain"]


def test_two_notebooks_publish_at_once_and_a_third_finds_both(own_home, setup):
    with kernel() as one, kernel() as two, kernel() as three:
        for notebook, name in ((one, "first"), (two, "second")):
            notebook.run(setup)
            made = notebook.run(f"%maas register net --name {name} --data data")
            assert made.status == "ok", made.error
        results = {}

        def publish(notebook, name):
            results[name] = notebook.run(f"endpoint = %maas publish {name}")

        threads = [
            threading.Thread(target=publish, args=(notebook, name))
            for notebook, name in ((one, "first"), (two, "second"))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {name: shown.status for name, shown in results.items()} == {"first": "ok", "second": "ok"}, results
        pids = {notebook.value("endpoint.url.split('/v2')[0]") for notebook in (one, two)}
        assert len(pids) == 1
        three.run(setup)
        for name in ("first", "second"):
            assert three.run(f"answer = %maas predict {name} data[0][:2]").status == "ok"
        assert three.value("[e.name + ' ' + e.state for e in get_ipython().run_line_magic('maas', 'endpoints')]") == (
            "['first ready', 'second ready']"
        )


def test_a_killed_server_shows_as_unavailable_and_comes_back_with_its_models(own_home, setup):
    with kernel() as notebook:
        notebook.run(setup)
        for name in ("kept", "other"):
            assert notebook.run(f"%maas register net --name {name} --data data").status == "ok"
            assert notebook.run(f"%maas publish {name}").status == "ok"
        os.kill(record(own_home).pid, signal.SIGKILL)
        states = notebook.value("[e.state for e in get_ipython().run_line_magic('maas', 'endpoints')]")
        assert states == "['unavailable', 'unavailable']"
        failed = notebook.run("%maas predict kept data[0][:2]")
        assert failed.status == "error"
        assert "Unavailable" in failed.error
        assert "%maas start" in failed.error
        assert notebook.run("%maas start").status == "ok"
        assert notebook.run("%maas predict kept data[0][:2]").status == "ok"


def test_the_server_outlives_the_notebook_and_stop_ends_it(own_home, setup):
    with kernel() as notebook:
        notebook.run(setup)
        notebook.run("%maas register net --name lasting --data data")
        assert notebook.run("%maas publish lasting").status == "ok"
    url = record(own_home).url
    assert httpx.get(f"{url}/v2/health/live").status_code == 200
    with kernel() as later:
        later.run(setup)
        assert later.run("%maas predict lasting data[0][:2]").status == "ok"
        assert later.run("%maas stop").status == "ok"
        assert later.value("[e.state for e in get_ipython().run_line_magic('maas', 'endpoints')]") == "['stopped']"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/v2/health/live")


def test_a_bundle_that_is_cut_on_its_way_is_refused_while_the_old_version_serves(own_home, setup):
    data = wine()
    maas_jupyter.register(mlp(13, 3), name="cut", data=data)
    endpoint = maas_jupyter.publish("cut")
    second = maas_jupyter.register(mlp(13, 3, hidden=32), name="cut", data=data)
    path = Path(urlparse(second.source).path) / "model.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        maas_jupyter.MaasError, match=r"model\.onnx is not the one that its manifest names: it has \d+ bytes"
    ):
        maas_jupyter.publish("cut/2")
    assert endpoint.predict(data[0][:2]).version == "1"
