from __future__ import annotations

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from judged import fitted
from models import mlp, wine

import maas_jupyter
from maas_jupyter.errors import GateError, UsageError


@pytest.fixture
def shell(home):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    shell.run_line_magic("load_ext", "maas_jupyter")
    X, y = wine()
    shell.user_ns.update(data=(X, y), X=X, np=np)
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture(scope="module")
def tasted(shared_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        for steps in (3, 25):
            maas_jupyter.register(fitted(mlp(13, 3), *wine(), steps=steps), name="tasted", data=wine())


def test_gates_and_slices_are_words(shell, tasted):
    shell.run_cell("def strong(rows):\n    return rows[:, 0] > 0")
    line = 'result = %maas evaluate tasted --data data --slice strong --require "accuracy>=0.5" --require f1>=.5'
    assert shell.run_cell(line).success
    result = shell.user_ns["result"]
    assert [gate.text for gate in result.verdict.gates] == ["accuracy>=0.5", "f1>=0.5"]
    assert result.slices[0].column == "strong"


def test_a_gate_that_is_not_passed_fails_the_cell_after_showing_the_result(shell, tasted, capsys):
    result = shell.run_cell('%maas evaluate tasted/1 --data data --require "accuracy>=0.999"')
    assert isinstance(result.error_in_exec, GateError)
    shown = capsys.readouterr()
    assert "Evaluation of tasted/1" in shown.err
    assert "GateError" in shown.out
    assert "Traceback" not in shown.out
    assert shell.run_cell("%maas evaluate tasted/1 --data data --require accuracy>=0.999 --report-only").success


def test_a_champion_is_named_by_its_alias(shell, tasted):
    assert shell.run_cell("result = %maas evaluate tasted/2 --data data --no-worse-than champion").success
    assert shell.user_ns["result"].verdict.gates[0].text == "no worse than tasted/1 (change in accuracy)"


def test_a_gate_that_cannot_be_read_shows_its_character(shell, tasted, capsys):
    result = shell.run_cell('%maas evaluate tasted --data data --require "accuracy=>0.9"')
    assert isinstance(result.error_in_exec, UsageError)
    assert "accuracy=>0.9\n          ^" in capsys.readouterr().out


def test_several_models_are_compared(shell, tasted):
    shell.user_ns["net"] = mlp(13, 3)
    assert shell.run_cell("result = %maas compare tasted/1 tasted/2 net --data data --metric f1").success
    assert [pair.other for pair in shell.user_ns["result"].pairs] == ["tasted/2", "Sequential"]


def test_rows_that_one_of_the_models_does_not_take_name_it(shell, tasted, capsys):
    result = shell.run_cell("%maas evaluate tasted/1 --data (data[0][:, :5], data[1])")
    said = result.error_in_exec.message
    assert said.startswith("tasted/1 does not take these rows, here the first one: Input 'input' expects the shape")
    assert said.endswith("(rows, 13), given is (1, 5).")


def test_one_model_is_not_enough(shell, tasted):
    result = shell.run_cell("%maas compare tasted/1 --data data")
    assert "OTHER is missing" in str(result.error_in_exec)
