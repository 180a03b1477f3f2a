"""``%maas watch`` and ``%maas unwatch``: servers that were not started here, in the panel."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

import maas_jupyter
from maas_jupyter import verbs
from maas_jupyter.errors import Conflict, InvalidInput, NotFound, UsageError
from maas_jupyter.monitoring.foreign import AttachedServers

sys.path.insert(0, str(Path(__file__).parents[1] / "monitoring"))

from foreign_servers import VLLM, Triton


@pytest.fixture
def triton():
    server = Triton()
    yield server
    server.stop()


@pytest.fixture
def run(own_home):
    """Run one line, as a terminal does."""
    return lambda line: verbs.run(shlex.split(line), verbs.Session(program="maas"))


def test_a_server_is_watched_and_no_longer(run, own_home, triton):
    done = run(f"watch {triton.url} --name gpu")
    assert repr(done) == f"gpu is watched: Triton at {triton.url}. The panel shows it; %maas unwatch gpu"
    assert "gpu is watched" in done._repr_mimebundle_()["text/html"]
    assert list(AttachedServers(own_home).read()) == ["gpu"]
    assert repr(run("unwatch gpu")) == f"gpu is no longer watched; Triton at {triton.url} goes on."
    assert AttachedServers(own_home).read() == {}
    with pytest.raises(NotFound, match="No endpoint called 'gpu'") as caught:
        run("unwatch gpu")
    assert "%maas watch URL" in caught.value.hint


def test_the_same_from_python(own_home):
    server = VLLM()
    try:
        assert "vllm is watched: vLLM" in repr(maas_jupyter.watch(server.url))
    finally:
        server.stop()
    maas_jupyter.unwatch("vllm")


def test_a_name_means_one_thing(run, triton, monkeypatch):
    with pytest.raises(Conflict, match="name of a target"):
        run(f"watch {triton.url} --name local")
    run(f"watch {triton.url} --name gpu")
    monkeypatch.setenv("GPU_TOKEN", "t0ken")
    with pytest.raises(UsageError, match="watched as 'gpu'") as caught:
        run("connect gpu https://gpu-box --token-env GPU_TOKEN")
    assert "%maas unwatch gpu" in caught.value.hint


def test_what_is_no_address_is_said(run):
    with pytest.raises(InvalidInput, match="not an address") as caught:
        run("watch gpu-box:8000")
    assert caught.value.hint.endswith("such as http://gpu-box:8000")


def test_the_help_names_what_is_recognised(run, capsys):
    assert run("watch --help") is None
    shown = capsys.readouterr().out
    assert "Usage: maas watch [OPTIONS] URL" in shown
    assert "Triton, KServe, MLServer, vLLM, TF Serving or BentoML" in " ".join(shown.split())
    assert "--token-env" in shown
