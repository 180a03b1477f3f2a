from __future__ import annotations

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from models import mlp, wine

import maas_jupyter
from maas_jupyter import api, verbs
from maas_jupyter.errors import InvalidInput, NotFound, UsageError


@pytest.fixture
def shell(home):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    shell.run_line_magic("load_ext", "maas_jupyter")
    X, y = wine()
    shell.user_ns.update(net=mlp(13, 3), mlp=mlp, data=(X, y), X=X, np=np)
    yield shell
    InteractiveShell.clear_instance()


def error_of(shell, code, capsys):
    """Run a cell that must fail; return the error and what the cell showed."""
    result = shell.run_cell(code)
    assert not result.success
    return result.error_in_exec, capsys.readouterr().out


def test_a_result_can_be_assigned(shell):
    result = shell.run_cell("run = %maas train net --data data --epochs 2 --lr 0.01")
    assert result.success
    run = shell.user_ns["run"]
    assert run.status == "finished"
    assert len(run.history) == 2
    assert run.model is shell.user_ns["net"]


def test_arguments_are_expressions_of_the_notebook(shell):
    shell.run_cell("run = %maas train net --data (X,data[1]) --val '(X[:50], data[1][:50])' --epochs 1")
    assert "val_accuracy" in shell.user_ns["run"].metrics


def test_a_variable_of_the_notebook_can_be_the_optimizer(shell):
    shell.run_cell("import torch\nadam = torch.optim.Adam(net.parameters(), lr=0.5)")
    shell.run_cell("run = %maas train net --data data --epochs 1 --optimizer adam")
    record = maas_jupyter.runs(limit=1)[0]
    assert record.params["lr"] == "0.5"


def test_the_words_of_python_expand_as_in_every_magic(shell):
    shell.run_cell("n = 3\nrun = %maas train net --data data --epochs {n}")
    assert len(shell.user_ns["run"].history) == 3


def test_a_name_is_looked_up_in_the_notebook_first_and_a_namesake_does_not_count(shell):
    shell.run_cell("%maas train net --data data --epochs 1 --name namesake")
    shell.user_ns["namesake"] = {"not": "a model"}
    shell.run_cell("first = %maas evaluate namesake --data data")
    assert shell.user_ns["first"].subject == "namesake/1"
    shell.user_ns["namesake"] = shell.user_ns["net"]
    shell.run_cell("second = %maas evaluate namesake --data data")
    assert shell.user_ns["second"].subject == "Sequential"


def test_a_namesake_of_an_endpoint_or_a_version_does_not_hide_it(shell):
    shell.run_cell("%maas train net --data data --epochs 1 --name shadowed")
    assert shell.run_cell("%maas publish shadowed").success
    for value in ("net", "%maas train net --data data --epochs 1", "%maas endpoints", "(1, 2)"):
        shell.run_cell(f"shadowed = {value}")
        for line in (
            "publish shadowed",
            "predict shadowed X[:2]",
            "metrics shadowed",
            "logs shadowed",
            "models shadowed",
        ):
            if line.startswith(("publish", "models")) and "train" in value:
                continue  # a run of the notebook is a subject of its own there
            assert shell.run_cell(f"%maas {line}").success, (value, line)
    assert shell.run_cell("%maas models shadowed/1").success
    assert shell.run_cell("%maas stop shadowed").success


def test_a_cell_trains_the_model_that_it_makes_whatever_has_its_name(shell):
    shell.run_cell("old = %maas train net --data data --epochs 1")
    shell.run_cell_magic("maas", "train old --epochs 1", "model = mlp(13, 3)\ndata = data\n")
    assert maas_jupyter.models("old")[0].versions[0].version == "1"
    assert maas_jupyter.runs(limit=1)[0].name == "old"


def test_expressions_need_no_quotes_of_their_own(shell):
    assert shell.run_cell(
        "run = %maas train net --data (X, data[1]) --val (X[:50], data[1][:50].astype('int64')) --epochs 1"
    ).success
    assert "val_accuracy" in shell.user_ns["run"].metrics


def test_a_model_may_be_an_expression(shell):
    shell.run_cell("import torch\nmodels = {'small': net}")
    assert shell.run_cell("%maas train torch.nn.Linear(13, 3) --data data --epochs 1 --name expressed").success
    assert shell.run_cell("run = %maas train models['small'] --data data --epochs 1").success
    assert shell.user_ns["run"].model is shell.user_ns["net"]
    assert shell.run_cell("found = %maas evaluate run.model --data data").success
    assert shell.user_ns["found"].subject == "Sequential"


def test_a_reference_that_reads_as_an_expression_is_a_reference(shell):
    shell.run_cell("%maas train net --data data --epochs 1 --name dotted.name")
    shell.run_cell("dotted = 4")
    assert shell.run_cell("found = %maas evaluate dotted.name --data data").success
    assert shell.user_ns["found"].subject == "dotted.name/1"


def test_a_number_of_the_notebook_is_no_loss(shell):
    shell.user_ns["mse"] = 0.3
    shell.run_cell("import torch\nreg = torch.nn.Linear(13, 1)")
    assert shell.run_cell("%maas train reg --data (X, X[:, :1]) --loss mse --epochs 1").success


def test_the_body_of_a_cell_gives_the_arguments_and_is_kept_with_the_run(shell, home):
    body = "model = net\ndata = (X, data[1])\nlearning = 0.01\nloss = 'cross_entropy'\nval = data\n"
    shell.run_cell_magic("maas", "train celled --epochs 2", body)
    record = maas_jupyter.runs(limit=1)[0]
    assert record.name == "celled"
    assert maas_jupyter.models("celled")[0].versions[0].version == "1"
    assert shell.user_ns["learning"] == 0.01
    assert (home / "runs" / record.run_id / "source.py").read_text() == body


def test_what_is_typed_wins_over_the_body(shell):
    shell.run_cell_magic("maas", "train --epochs 1", "model = net\ndata = data\nepochs = 5\n")
    assert maas_jupyter.runs(limit=1)[0].params["epochs"] == "1"


def test_an_error_in_the_body_is_the_notebooks_own(shell, capsys):
    error, shown = error_of(shell, "%%maas train body\nmodel = undefined_name", capsys)
    assert isinstance(error, NameError)
    assert "undefined_name" in shown


@pytest.mark.parametrize(
    ("line", "kind", "said", "hint"),
    [
        ("%maas trian net", UsageError, "No such command 'trian'. Did you mean 'train'?", "%maas --help"),
        ("%maas train net --data data --epoch 3", UsageError, "no option --epoch", "Did you mean --epochs? See"),
        ("%maas train net --data data --epochs many", UsageError, "'many' is not a valid int", "%maas train --help"),
        ("%maas train net", UsageError, "--data is missing", "%maas train --help"),
        ("%maas train", UsageError, "MODEL and --data are missing", "%maas train --help"),
        ("%maas train ned --data data", UsageError, "'ned' is not a torch module", "variable"),
        ("%maas train nett() --data data", UsageError, "no variable called 'nett'", "Did you mean 'net'"),
        ("%maas train dict() --data data", UsageError, "'dict()' is a dict, not a torch module", "variable"),
        ("%maas train net[9] --data data", InvalidInput, "'net[9]' fails: index 9 is out of range", "cell"),
        ("%maas train net --data data --val 1.5", UsageError, "--val is 1.5", "0.2"),
        ("%maas train net --data dat/train.csv", NotFound, "no file dat/train.csv", ""),
        ("%maas train net --data data/train.csv", NotFound, "no file data/train.csv", ""),
        ("%maas train net --data dta", UsageError, "no variable called 'dta'", "'data'"),
        ("%maas train net --data 'X['", UsageError, "is not an expression", "as in a cell"),
        ("%maas train net --data X[", UsageError, "ends inside brackets: X[", "]"),
        ("%maas train net --data 'X", UsageError, "ends inside a quotation", "Close it"),
        ("%maas predict nothing_here X", NotFound, "nothing_here", "%maas publish"),
        ("%maas publish nothing_here", NotFound, "no model called 'nothing_here'", ""),
        ("%maas train net --data X", InvalidInput, "no targets", "(X, y)"),
        ("%maas publish digits --to moon", NotFound, "no target called 'moon'", "local"),
    ],
)
def test_an_error_is_two_lines_with_the_next_step_and_fails_the_cell(shell, capsys, line, kind, said, hint):
    error, shown = error_of(shell, line, capsys)
    assert type(error) is kind
    assert said in error.message
    assert hint in error.hint
    lines = shown.strip().splitlines()
    assert len(lines) == (2 if error.hint else 1)
    assert kind.__name__ in lines[0]
    assert "Traceback" not in shown


def test_a_failed_verb_stops_the_lines_after_it(shell, capsys):
    error_of(shell, "%maas publish nothing_here\nafter = 1", capsys)
    assert "after" not in shell.user_ns


def test_help_shows_every_option_and_returns_nothing(shell, capsys):
    shell.run_cell("shown = %maas quantize --help")
    out = capsys.readouterr().out
    assert shell.user_ns["shown"] is None
    for word in ("--data", "--max-drop", "--method", "[default: 0.01]"):
        assert word in out


def test_help_folds_what_is_said_of_arguments_as_it_does_of_options(shell, capsys):
    shell.run_cell("%maas train --help")
    out = capsys.readouterr().out
    assert "\nArguments:\n  MODEL  A module" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("verb", api.VERBS, ids=lambda verb: verb.__name__)
def test_every_argument_of_every_verb_has_a_help_text(verb):
    for argument in verbs.arguments_of(verb):
        assert argument.help, f"{verb.__name__}: {argument.name} is not in the docstring"


@pytest.mark.parametrize("verb", api.VERBS, ids=lambda verb: verb.__name__)
def test_every_verb_has_help(shell, capsys, verb):
    assert shell.run_cell(f"%maas {verb.__name__} --help").success
    assert "Usage: %maas" in capsys.readouterr().out


def test_loading_twice_and_unloading_leaves_no_trace(shell):
    before = len(shell.Completer.custom_matchers)
    shell.run_line_magic("reload_ext", "maas_jupyter")
    assert len(shell.Completer.custom_matchers) == before
    shell.run_line_magic("unload_ext", "maas_jupyter")
    assert len(shell.Completer.custom_matchers) == before - 1
    assert "maas" not in shell.magics_manager.magics["line"]


def test_a_file_beside_a_variable_of_its_name_is_the_file(shell, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    error, _ = error_of(shell, "%maas train mlp --data data.csv --target y", capsys)
    assert isinstance(error, InvalidInput)
    assert error.message == "There is no file 'data.csv', and 'data' has no attribute csv."
    (tmp_path / "data.csv").write_text("a,y\n" + "1,0\n2,1\n" * 20)
    shell.run_cell("def tiny(features, classes):\n    import torch\n    return torch.nn.Linear(features, classes)")
    assert shell.run_cell("%maas train tiny --data data.csv --target y --epochs 1").success


@pytest.mark.parametrize(
    ("line", "kind", "message", "hint"),
    [
        ("%maas train net --data data[7]", InvalidInput, "'data[7]' fails: tuple index", "Run it in a cell"),
        ("%maas predict nothing X[:2] * np.nan", UsageError, "unexpected extra argument", 'quotes or brackets: "X[:2]'),
        ("%maas train 5 --data data", UsageError, "'5' is not a torch module", "Name the variable"),
        ("%maas tune net --data data --space lr=1e-4.1e-1", UsageError, "character 8", ".."),
    ],
)
def test_what_is_meant_otherwise_is_told(shell, capsys, line, kind, message, hint):
    error, _ = error_of(shell, line, capsys)
    assert type(error) is kind
    assert message in error.message
    assert hint in error.hint


def test_a_quoted_text_is_a_text_and_a_quoted_expression_an_expression(shell, monkeypatch):
    asked = []
    endpoint = type("E", (), {"predict": lambda self, rows, version: asked.append(rows)})()
    monkeypatch.setattr(api.serving, "to_endpoint", lambda *_: endpoint)
    shell.run_cell('%maas predict kinds "The return statement leaves a function"')
    shell.run_cell('%maas predict kinds "hello"')
    shell.run_cell('%maas predict kinds "X[:2] * 2"')
    assert asked[:2] == ["The return statement leaves a function", "hello"]
    np.testing.assert_array_equal(asked[2], wine()[0][:2] * 2)


def test_a_run_that_is_resumed_without_its_model_says_what_else_is_needed(shell, capsys):
    shell.run_cell("run = %maas train net --data data --epochs 2")
    error, _ = error_of(shell, "%maas train --resume last", capsys)
    assert "MODEL and --data are missing" in error.message
    run_id = shell.user_ns["run"].run_id[:8]
    assert error.hint.endswith(f"%maas train net --data data --epochs 2 --resume {run_id}")


@pytest.mark.parametrize("line", ["%maas train?", "  %maas train ?", "%maas train??", "%%maas train?"])
def test_a_question_mark_behind_a_verb_shows_its_help(shell, capsys, line):
    shell.user_ns["train"] = ("rows", "of the user's")
    assert shell.run_cell(line).success
    assert "--checkpoint-seconds" in capsys.readouterr().out


def test_question_marks_elsewhere_are_left_alone(shell, capsys):
    assert shell.run_cell("text = 'what is %maas train?'").success
    assert shell.user_ns["text"] == "what is %maas train?"
    shell.run_line_magic("unload_ext", "maas_jupyter")
    assert not [each for each in shell.input_transformers_cleanup if each.__module__.startswith("maas_jupyter")]
