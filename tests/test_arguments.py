"""What is written of arguments is understood however it is written, and mistaken options are answered sensibly."""

from __future__ import annotations

import pytest
from models import mlp, wine

import maas_jupyter
from maas_jupyter import verbs
from maas_jupyter.api.candidates import Asked
from maas_jupyter.arguments import several
from maas_jupyter.errors import GateError, UsageError
from maas_jupyter.tuning.study import read_space


@pytest.mark.parametrize(
    ("given", "parts"),
    [("a>1", ["a>1"]), (("a", "b"), ["a", "b"]), (["a"], ["a"]), ((), []), (None, []), (0.5, [0.5])],
)
def test_one_stands_for_a_list_of_one(given, parts):
    assert several(given) == parts


def test_one_gate_is_one_gate():
    with pytest.raises(GateError, match="accuracy"):
        maas_jupyter.evaluate(mlp(13, 3), data=wine(), require="accuracy>0.9999")
    asked = Asked.read(wine(), "size<10MB", None, None, 0.01, "accuracy>0.9", None)
    assert [str(gate) for gate in asked.gates] == ["accuracy>0.9"]
    assert [str(goal) for goal in asked.goals] == ["size<10MB"]
    assert [str(each) for each in read_space("lr=1e-4..1e-2")] == [str(each) for each in read_space(("lr=1e-4..1e-2",))]


@pytest.mark.parametrize("verb", ["prune", "distil", "evaluate", "quantize", "optimize"])
@pytest.mark.parametrize("option", ["--val", "--test"])
def test_rows_by_another_name_are_told_theirs(verb, option):
    with pytest.raises(UsageError) as caught:
        verbs.run([verb, "run", option, "rows"], verbs.Session("%maas", namespace={"rows": 1}))
    assert caught.value.message == f"%maas {verb} has no option {option}."
    assert caught.value.hint == f"The rows that it takes are --data. See %maas {verb} --help"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["train", "net", "--epoch", "3"], "Did you mean --epochs? See %maas train --help"),
        (["publish", "digits", "--zebra", "3"], "See %maas publish --help"),
    ],
)
def test_an_option_that_there_is_not(words, hint):
    with pytest.raises(UsageError) as caught:
        verbs.run(words, verbs.Session("%maas", namespace={}))
    assert caught.value.hint == hint
