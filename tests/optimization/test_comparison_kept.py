"""What is kept of a comparison: the command that repeats it, and what is left when the registry or the user ends it."""

from __future__ import annotations

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from models import digits, mlp
from msgspec import structs

import maas_jupyter
from maas_jupyter import api, config
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import Unavailable, UsageError
from maas_jupyter.optimization import Comparison
from maas_jupyter.packaging import package
from maas_jupyter.registry import Registry


class Smaller:
    """A smaller variant."""

    name, description, family, seconds = "smaller", "for tests", "other", 0.1

    def applies_to(self, original):
        return True

    def run(self, original, folder):
        made = package(mlp(hidden=2), (torch.rand(4, 64),), folder, task="classification").bundle
        return Bundle.seal(folder, structs.replace(made.manifest, parent=original.bundle.digest), made.manifest.files)


@pytest.fixture
def shell(home):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    shell.run_line_magic("load_ext", "maas_jupyter")
    X, y = digits(60)
    shell.user_ns.update(net=mlp(), X=X, y=y, rows=(X, y), Smaller=Smaller)
    yield shell
    InteractiveShell.clear_instance()


def registered(name):
    maas_jupyter.register(mlp(hidden=256), name=name, data=digits(60))
    return name


@pytest.mark.parametrize(
    ("name", "typed", "kept"),
    [
        (
            "spaces",
            "%maas optimize line --data (X,  y) --method Smaller --max-drop 1 --target 'size < 1GB'",
            "%maas optimize line/1 --data (X,  y) --method Smaller --max-drop 1 --target 'size < 1GB'",
        ),
        (
            "cell",
            "%%maas quantize line --method Smaller --max-drop=1 --target size<1GB\ndata = (X, y)\n",
            "%%maas quantize line/1 --method Smaller --max-drop=1 --target size<1GB\ndata = (X, y)\n",
        ),
        (
            "hidden",
            "%maas optimize --data line 'line'  --method Smaller --max-drop 1 --target size<1GB",
            "%maas optimize --data line line/1  --method Smaller --max-drop 1 --target size<1GB",
        ),
    ],
)
def test_the_command_repeats_the_comparison_where_it_is_pasted(shell, name, typed, kept):
    registered(name)
    typed, kept = typed.replace("line", name), kept.replace("line", name)
    shell.user_ns[name] = shell.user_ns["rows"]
    first = shell.run_cell(typed).result
    assert first.version.reference == f"{name}/2"
    assert first.command == kept
    again = shell.run_cell(first.command).result
    assert (again.subject, again.rows) == (f"{name}/1", 60)
    assert again.winner.measured.size == first.winner.measured.size
    record = Registry(config.current()).run(first.version.run_id)
    assert (record.params["method"], record.params["command"]) == ("smaller", kept)


def test_a_call_from_python_does_not_take_the_line_before_for_its_own(shell):
    name = registered("python")
    shell.run_cell(f"first = %maas optimize {name} --data rows --method Smaller --max-drop 1")
    shell.run_cell(
        f"import maas_jupyter\nsecond = maas_jupyter.optimize('{name}/1', data=rows, method=Smaller, max_drop=1)"
    )
    assert shell.user_ns["first"].command
    assert shell.user_ns["second"].command == ""


def compare(name, **options):
    # A target of size: on a busy machine, either may be the slower one.
    return maas_jupyter.optimize(name, data=digits(60), method=Smaller, max_drop=1, target=("size<1GB",), **options)


def test_what_was_measured_is_there_although_the_registry_went_away(home, monkeypatch):
    name = registered("away")

    def away(*_, **__):
        raise Unavailable("MLflow does not answer.")

    monkeypatch.setattr(Registry, "start_run", away)
    comparison = compare(name)
    assert comparison.winner.method == "smaller"
    assert comparison.version is None
    assert comparison.notes[-1] == "it could not be kept: MLflow does not answer."
    assert "smaller is the best one" in comparison.conclusion


def test_an_interrupt_while_the_winner_is_registered_keeps_the_rows_and_registers_nothing(home, monkeypatch):
    name = registered("late")

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "register", interrupted)
    comparison = compare(name)
    assert comparison.interrupted
    assert comparison.winner.method == "smaller"
    assert "nothing was registered" in comparison.conclusion
    assert [version.reference for version in maas_jupyter.models(name)[0].versions] == [f"{name}/1"]
    assert maas_jupyter.runs(limit=1)[0].status == "interrupted"


@pytest.mark.parametrize("word", ["p95=5ms", "size≤10MB", "p95=<5ms"])
def test_a_mistake_in_a_target_is_not_taken_for_a_column(word):
    with pytest.raises(UsageError, match="cannot be read"):
        api.candidates.Asked.read(digits(), (word,), None, None, 0.01, (), None)


def test_a_comparison_without_a_winner_names_its_original():
    comparison = Comparison("digits/1", "accuracy", 0.01, [], [], 10, 1)
    with pytest.raises(UsageError, match="Nothing of this comparison was registered") as caught:
        api.subjects.to_version(comparison, None)
    assert "digits/1" in caught.value.hint
