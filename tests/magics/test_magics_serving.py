"""The verbs of serving in a notebook: traffic, history, and servers elsewhere."""

from __future__ import annotations

import json
import os
import pydoc
import re
import signal
import sys
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from models import mlp, wine

import maas_jupyter
from maas_jupyter.errors import Conflict, NotFound, Unauthorized, Unavailable, UsageError
from maas_jupyter.serving.record import read_record

sys.path.insert(0, str(Path(__file__).parents[1] / "targets"))

from remote_server import ADMIN, RemoteServer


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = RemoteServer(tmp_path_factory.mktemp("remote"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def models(shared_home):
    """A registered model with two versions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for _ in range(2):
            maas_jupyter.register(mlp(13, 3), name="served", data=wine())


@pytest.fixture
def shell(home, models, server, monkeypatch):
    monkeypatch.setenv("GPU_TOKEN", ADMIN)
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    shell.run_line_magic("load_ext", "maas_jupyter")
    X, _ = wine()
    shell.user_ns.update(X=X)
    yield shell
    InteractiveShell.clear_instance()
    (home / "targets.json").unlink(missing_ok=True)


@pytest.fixture
def run(shell):
    """Run one line; return what it gives."""

    def run(line):
        result = shell.run_cell(f"_found = %maas {line}")
        assert result.success, result.error_in_exec
        return shell.user_ns["_found"]

    return run


@pytest.fixture
def fail(shell, capsys):
    """Run one line that must fail; return its error."""

    def fail(line):
        result = shell.run_cell(f"%maas {line}")
        assert not result.success
        assert "Traceback" not in capsys.readouterr().out
        return result.error_in_exec

    return fail


@pytest.fixture
def connected(run, server):
    return run(f"connect gpu {server.url} --token-env GPU_TOKEN --ca-file {server.ca_file}")


def test_a_canary_is_promoted_and_taken_back(run, fail):
    run("publish served/1 --reason 'the first'")
    assert isinstance(fail("promote served"), Conflict)
    assert isinstance(fail("rollback served"), Conflict)
    canary = run("publish served/2 --canary 25")
    assert [(row.version, row.weight) for row in canary.traffic] == [("1", 75), ("2", 25)]
    assert [row.weight for row in run("promote served --reason 'it is better'").traffic] == [100]
    assert run("predict served X[:2]").version == "2"
    assert {row.version for row in run("rollback served").traffic} == {"1", "2"}
    history = run("history served")
    assert [entry.action for entry in history] == ["publish", "canary", "promote", "rollback"]
    assert [entry.reason for entry in history] == ["the first", "", "it is better", ""]
    shadow = run("publish served/2 --shadow")
    assert [row.version for row in shadow.traffic if row.shadow] == ["2"]
    assert run("unload served --reason 'for the night'").state == "stopped"
    assert isinstance(fail("predict served X[:2]"), Unavailable)
    assert run("load served").state == "ready"
    assert [entry.reason for entry in run("history served")[-2:]] == ["for the night", ""]
    done = run("unpublish served --reason 'no more'")
    assert "served is no longer published on local; its history stays: %maas history served" in repr(done)
    assert done._repr_mimebundle_()["text/plain"] == repr(done)
    assert run("history served")[-1].reason == "no more"
    assert isinstance(fail("unpublish served"), NotFound)


@pytest.mark.parametrize("options", ["--canary 0", "--canary 100", "--canary -3", "--canary 10 --shadow", "--canary x"])
def test_shares_that_cannot_be(fail, options):
    assert isinstance(fail(f"publish served {options}"), UsageError)


def test_a_canary_of_nothing(fail):
    assert isinstance(fail("publish served --canary 10"), Conflict)


def test_a_server_elsewhere(run, fail, connected, server):
    assert (connected.name, connected.state, connected.role) == ("gpu", "ready", "admin")
    assert [each.name for each in run("targets")] == ["local", "gpu"]
    assert run("publish served@champion --to gpu").target == "gpu"
    assert [(each.target, each.name, each.state) for each in run("endpoints")] == [("gpu", "served", "ready")]
    assert run("predict served X[:2] --on gpu").outputs["label"].shape == (2,)
    assert run("metrics served --on gpu").requests_total >= 1
    assert run("logs served --on gpu --lines 3")
    assert run("publish served/2 --to gpu --canary 10 --reason canary").traffic[1].weight == 10
    assert len(run("promote served --on gpu").traffic) == 1
    assert len(run("rollback served --on gpu").traffic) == 2
    assert [entry.by for entry in run("history served --on gpu")] == ["ann"] * 4
    for line in ("predict served X[:2]", "metrics served", "logs served", "stop served", "promote served"):
        error = fail(line)  # not on this machine
        assert isinstance(error, NotFound)
        assert error.hint == "It is published on gpu: add --on gpu"
    assert "--on gpu" in fail("stop --on gpu").hint
    assert "%maas start --on local" in fail("start --on gpu").hint
    assert "%maas history served --on gpu" in repr(run("unpublish served --on gpu"))
    done = run("disconnect gpu")
    assert repr(done) == f"gpu is no longer connected; what it serves at {server.url} goes on."
    assert [each.name for each in run("targets")] == ["local"]
    error = fail("disconnect gpu")
    assert isinstance(error, NotFound)
    assert "%maas connect" in error.hint


def test_a_model_that_is_published_here_and_asked_for_elsewhere(run, fail, connected):
    run("publish served/1")
    assert fail("predict served X[:2] --on gpu").hint == "It is published on local: add --on local"
    run("publish served/1 --to gpu")
    assert run("predict served X[:2] --on gpu").version == "1"
    assert "add --on" not in fail("predict served/9 X[:2]").hint
    run("unpublish served --on gpu")
    run("stop served")


def test_the_log_is_readable(run, connected):
    run("publish served/1")
    run("publish served/1 --to gpu")
    for line in ("logs served", "logs served --on gpu", "logs", "logs --on gpu"):
        shown = repr(run(line))
        assert "model served version 1 loaded in" in shown
        assert '{"' not in shown
    assert "listening on" in repr(run("logs --lines 1000"))
    assert "listening on" not in repr(run("logs served --lines 1000"))
    assert len(run("logs --lines 2")) == 2
    run("unpublish served --on gpu")
    run("stop served")


@pytest.mark.parametrize("lines", ["0", "-1"])
def test_no_lines_of_the_log(fail, lines):
    assert isinstance(fail(f"logs --lines={lines}"), UsageError)


def test_what_is_gone_says_how_it_comes_back(run, fail, connected, home):
    run("publish served/1")
    run("publish served/2 --to gpu")
    run("unpublish served")
    run("unpublish served --on gpu")
    for line in ("rollback served", "promote served", "predict served X[:2]", "metrics served", "unpublish served"):
        assert "Serve it again: %maas publish served/1" in fail(line).hint
        assert "Serve it again: %maas publish served/2 --to gpu" in fail(f"{line} --on gpu").hint
    run("publish served/2")
    os.kill(read_record(home / "server").pid, signal.SIGKILL)
    for line in ("predict served X[:2]", "metrics served"):
        error = fail(line)
        assert "'served' is published, but the local model server does not run" in error.message
        assert error.hint == "Start it with all that it serves: %maas start"
    (endpoint,) = (each for each in run("endpoints") if (each.name, each.target) == ("served", "local"))
    assert endpoint.state == "unavailable"
    assert endpoint.reason.endswith(error.hint)
    assert re.search(r"It serves .*\bserved\b", repr(run(error.hint.partition("%maas ")[2])))
    assert run("predict served X[:2]").version == "2"
    run("stop served")


def test_an_endpoint_object_knows_its_target(shell, run, connected):
    shell.run_cell("held = %maas publish served --to gpu")
    assert run("predict held X[:2]").endpoint == "served"
    assert run("metrics held").requests_total >= 1
    assert run("history held").target == "gpu"
    assert "no longer published on gpu" in repr(run("stop held"))


def test_one_server_that_does_not_answer_hides_no_other(run, home, connected, server):
    run("publish served")
    path = home / "targets.json"
    targets = json.loads(path.read_text())["targets"]
    targets += [{**targets[0], "name": "dead", "url": "https://127.0.0.1:1"}]
    targets += [{**targets[0], "name": "unset", "token_env": "NOT_SET_ANYWHERE"}]
    path.write_text(json.dumps({"targets": targets}))
    found = run("endpoints")
    assert [(each.target, each.name, each.state) for each in found] == [
        ("local", "served", "ready"),
        ("dead", "*", "unavailable"),
        ("unset", "*", "unavailable"),
    ]
    assert "does not answer" in found[1].reason
    assert "NOT_SET_ANYWHERE" in found[2].reason
    assert "dead is unavailable" in repr(found)
    assert "*" not in repr(found)
    for shown in (found, found[1]):
        assert "<b>*</b>" not in shown._repr_mimebundle_()["text/html"]
    for text in found._repr_mimebundle_().values():
        assert "does not answer" in text
    states = {each.name: each.state for each in run("targets")}
    assert states == {"local": "ready", "gpu": "ready", "dead": "unavailable", "unset": "unavailable"}
    run("stop served")


@pytest.mark.parametrize(
    ("line", "kind", "said", "hint"),
    [
        ("publish served --to moon", NotFound, "no target called 'moon'", "%maas connect moon"),
        ("predict served X --on moon", NotFound, "no target called 'moon'", "%maas connect moon"),
        ("connect gpu URL", UsageError, "--token-env is missing", "%maas connect --help"),
        ("connect gpu URL --token-env NOT_SET", UsageError, "--token-env", "NOT_SET"),
        ("connect local URL --token-env GPU_TOKEN", UsageError, "'local'", "another name"),
        (
            "connect gpu https://127.0.0.1:1 --token-env GPU_TOKEN",
            Unavailable,
            "connection was refused",
            "Nothing listens",
        ),
        ("connect gpu URL --token-env WRONG --ca-file CA", Unauthorized, "the token that WRONG holds", "WRONG"),
        ("serve --port 8443 --insecure", UsageError, "in a cell", "maas serve --port=8443 --insecure"),
        ("serve", UsageError, "in a cell", "maas serve"),
        ("promote nothing_here", NotFound, "nothing_here", ""),
        ("history nothing_here", NotFound, "nothing_here", ""),
    ],
)
def test_an_error_names_the_next_step(fail, home, server, monkeypatch, line, kind, said, hint):
    monkeypatch.setenv("WRONG", "a-token-that-nobody-knows")
    error = fail(line.replace("URL", server.url).replace("CA", str(server.ca_file)) if "GPU" not in line else line)
    assert type(error) is kind or (kind is Unavailable and isinstance(error, kind))
    assert said in error.message
    assert hint in error.hint
    assert not (home / "targets.json").exists()


def test_displays_are_html_with_a_text_twin(run, connected):
    endpoint = run("publish served/1")
    endpoint = run("publish served/2 --canary 25")
    shown = {
        "endpoint": endpoint,
        "endpoints": run("endpoints"),
        "history": run("history served"),
        "targets": run("targets"),
        "target": connected,
    }
    for name, noun in shown.items():
        bundle = noun._repr_mimebundle_()
        assert set(bundle) == {"text/html", "text/plain"}, name
        assert bundle["text/plain"] == repr(noun)
    markup = endpoint._repr_mimebundle_()["text/html"]
    assert "75%" in markup
    assert "width:25%" in markup
    assert "canary" in markup
    assert "publish" in shown["history"]._repr_mimebundle_()["text/html"]
    assert "GPU_TOKEN" in shown["targets"]._repr_mimebundle_()["text/html"]
    assert ADMIN not in "".join(text for noun in shown.values() for text in noun._repr_mimebundle_().values())
    run("stop served")


def test_what_a_user_writes_is_escaped(run):
    run("publish served/1 --reason '<script>alert(1)</script>'")
    markup = run("history served")._repr_mimebundle_()["text/html"]
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup
    run("stop served")


def test_targets_and_endpoints_are_completed(shell, connected):
    from IPython.core.completer import provisionalcompleter

    def completed(text):
        with provisionalcompleter():
            return [found.text for found in shell.Completer.completions(text, len(text))]

    assert completed("%maas publish served --to ") == ["local", "gpu"]
    assert completed("%maas predict served X --on g") == ["gpu"]
    assert {"promote", "predict", "publish"} <= set(completed("%maas p"))


def test_the_verb_and_the_package_share_their_name(home, models, server, monkeypatch, shell, connected):
    import maas_jupyter.targets
    from maas_jupyter.targets import Endpoint

    assert [each.name for each in maas_jupyter.targets()] == ["local", "gpu"]
    assert Endpoint is maas_jupyter.Endpoint
    assert "List where models can be published" in pydoc.render_doc(maas_jupyter.targets)
