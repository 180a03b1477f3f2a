from __future__ import annotations

import subprocess
import sys

import click
import pytest
from models import mlp, wine

import maas_jupyter
from maas_jupyter import verbs
from maas_jupyter.arguments import Kind
from maas_jupyter.cli import as_typed


@pytest.fixture
def maas():
    """The command in a terminal, on the home in force."""

    def call(*words):
        code = "import sys; from maas_jupyter.cli import main; sys.argv[0] = 'maas'; main()"
        return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)

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
    assert "model terminal version 1 loaded" in maas("logs", "terminal").stdout
    assert "listening" in maas("logs", "--lines", "1000").stdout
    stopped = maas("stop", "terminal")
    assert stopped.returncode == 0
    assert "terminal is no longer published on local; its history stays: maas history terminal" in stopped.stdout


def test_verbs_that_need_a_notebook_are_not_offered(home, maas):
    offered = maas("--help").stdout
    assert "publish" in offered
    assert "quantize" not in offered
    assert maas("train", "--help").stdout.startswith("Usage: %maas train [OPTIONS] MODEL")
    refused = maas("train", "net")
    assert refused.returncode == 2
    assert "'train' needs a notebook" in refused.stderr
    assert "hint: In a cell: %maas train --help" in refused.stderr
    assert "\n  play " not in offered
    form = maas("play", "digits")
    assert form.returncode == 2
    assert "hint: In a cell: %maas play --help" in form.stderr


@pytest.mark.parametrize(
    ("words", "status", "error", "hint"),
    [
        (["publish", "nothing"], 1, "There is no model called 'nothing'.", ""),
        (["predict", "nothing", "[[1, 2"], 1, "is not JSON", "Write rows as"),
        (["predict", "nothing", "so dull"], 1, "is not JSON", """A text is a row of a list: '["so dull"]'"""),
        (["predict", "nothing", "it's dull"], 1, "is not JSON", "A text is a row of a list"),
        (["publish"], 2, "MODEL is missing", "See maas publish --help"),
        (["unpublish", "nothing"], 1, "no endpoint 'nothing'", ""),
        (["stop", "nothing"], 1, "no endpoint 'nothing'", ""),
        (["disconnect", "nothing"], 1, "No target called 'nothing'", "None is: maas connect NAME"),
        (["connect", "gpu", "https://gpu-box", "--token-env", "NOT_SET"], 2, "--token-env", "In a cell: import os"),
        (["serve", "--workers", "0"], 2, "--workers 0 cannot be", "Give a greater one"),
        (["serve", "--host", "192.0.2.1"], 2, "no address 192.0.2.1", "Use --host 0.0.0.0"),
        (["serve", "--home", "/dev/null/home"], 1, "in the place of a file", "Choose another folder: --home"),
        (["serve", "--port", "much"], 2, "'much' is not a valid integer", "See maas serve --help"),
    ],
)
def test_an_error_is_two_lines_and_says_by_its_status_whose_it_is(home, maas, words, status, error, hint):
    done = maas(*words)
    assert done.returncode == status
    # On a slow machine a word on what takes so long comes first.
    what, how = (line for line in done.stderr.strip().splitlines() if not line.startswith("opening the registry"))
    assert what.startswith("error: ")
    assert error in what
    assert how.startswith(f"hint: {hint}")
    assert "%maas" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("Start it: %maas publish NAME", "Start it: maas publish NAME"),
        ("see %maas endpoints and %maas history NAME.", "see maas endpoints and maas history NAME."),
        ("Train one: %maas train net --data train", "Train one: %maas train net --data train"),
        ("%maas --help, %%maas and maas publish", "%maas --help, %%maas and maas publish"),
        ("%maas logs\n```python\n%maas logs\n```\n%maas logs", "maas logs\n```python\n%maas logs\n```\nmaas logs"),
    ],
)
def test_verbs_are_named_as_they_are_typed(text, typed):
    assert as_typed(text) == typed


def test_help_and_results_name_verbs_as_they_are_typed(own_home, maas):
    assert "see maas targets" in maas("publish", "--help").stdout
    assert maas("endpoints").stdout.strip() == "No endpoints. Publish one: maas publish NAME"


def test_a_second_server_on_a_home_is_an_error_like_others(own_home, maas):
    maas_jupyter.register(mlp(13, 3), name="second", data=wine())
    assert maas("publish", "second").returncode == 0
    done = maas("serve")
    assert done.returncode == 1
    assert "error: A model server already runs for" in done.stderr
    assert maas("stop").stdout.startswith("The local server was stopped; second comes back with maas start, or with ")
    started = maas("start")
    assert started.stdout.startswith("The local server was started at http://127.0.0.1:")
    assert started.stdout.endswith("It serves second.\n")


def test_the_version(home, maas):
    assert maas("--version").stdout.strip() == f"maas-jupyter, version {maas_jupyter.__version__}"


def test_an_image_is_the_path_of_its_file(tmp_path):
    path = tmp_path / "103.png"
    terminal = click.Context(click.Command("predict"), obj=verbs.Session("maas"))
    assert verbs.Resolved(Kind.VALUE).convert(str(path), None, terminal) == path
