from __future__ import annotations

import subprocess
import sys

import pytest
from models import mlp, wine

import maas_jupyter


@pytest.fixture
def maas(child_environment):
    def call(*words):
        code = "import sys; from maas_jupyter.cli import main; sys.argv[0] = 'maas'; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, env=child_environment
        )

    return call


def test_a_model_is_published_asked_and_stopped_from_a_terminal(home, maas):
    maas_jupyter.register(mlp(13, 3), name="terminal", data=wine())
    models = maas("models", "terminal")
    assert models.stdout.startswith("terminal/1 @champion: classification, fp32")
    published = maas("publish", "terminal@champion")
    assert published.returncode == 0, published.stderr
    assert "http://127.0.0.1:" in published.stdout
    answer = maas("predict", "terminal", str(wine()[0][:2].tolist()))
    assert answer.returncode == 0, answer.stderr
    assert "version 1" in answer.stdout
    assert "2 requests" not in maas("metrics", "terminal").stdout
    row = str(wine()[0][:1].tolist())
    assert "version 1" in maas("predict", "terminal@champion", row).stdout
    assert "no version '2'" in maas("predict", "terminal/2", row).stderr
    assert "terminal" in maas("endpoints").stdout
    assert "listening" in maas("logs", "terminal").stdout
    assert maas("stop", "terminal").returncode == 0


def test_verbs_that_need_a_notebook_are_not_offered(maas):
    offered = maas("--help").stdout
    assert "publish" in offered
    assert "quantize" not in offered
    refused = maas("train", "net")
    assert refused.returncode == 1
    assert "'train' needs the objects of a notebook" in refused.stderr


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["publish", "nothing"], "error: There is no model called 'nothing'.", "hint: "),
        (["predict", "nothing", "[[1, 2"], "is not JSON", "hint: Write rows as"),
        (["publish"], "MODEL is missing", "hint: See maas publish --help"),
    ],
)
def test_an_error_is_two_lines_and_the_exit_status_1(home, maas, words, error, hint):
    done = maas(*words)
    assert done.returncode == 1
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 2
    assert error in lines[0]
    assert lines[1].startswith(hint)
    assert done.stdout == ""


def test_the_version(maas):
    assert maas("--version").stdout.strip() == f"maas-jupyter, version {maas_jupyter.__version__}"
