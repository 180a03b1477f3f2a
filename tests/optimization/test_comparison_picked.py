"""Candidates that did not win: their files are kept beside the comparison, and any of them can be registered."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from models import digits, mlp
from msgspec import structs

import maas_jupyter
from maas_jupyter import config
from maas_jupyter.bundle import Bundle
from maas_jupyter.errors import InvalidInput, MaasError, NotFound, UsageError
from maas_jupyter.optimization import KeptCandidates, kept
from maas_jupyter.packaging import package
from maas_jupyter.registry import Registry


class Smaller:
    """A smaller variant, whose numbers are others."""

    name, description, family, seconds, hidden = "smaller", "for tests", "other", 0.1, 2

    def applies_to(self, original):
        return True

    def run(self, original, folder):
        net = mlp(hidden=self.hidden)
        made = package(net, (torch.rand(4, 64),), folder, task="classification").bundle
        return Bundle.seal(folder, structs.replace(made.manifest, parent=original.bundle.digest), made.manifest.files)


class Small(Smaller):
    name, hidden = "small", 16


class Broken(Smaller):
    name = "broken"

    def run(self, original, folder):
        raise MaasError("It cannot.")


class Same(Smaller):
    """Gives back what it was given."""

    name = "same"

    def run(self, original, folder):
        return original.bundle


@pytest.fixture(scope="module")
def compared(shared_home):
    """A comparison that no candidate has won."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        maas_jupyter.register(mlp(hidden=64), name="picked-from", data=digits(60))
        methods = (Smaller, Small, Broken, Same)
        yield maas_jupyter.optimize("picked-from", data=digits(60), method=methods, target=("size<1kB",))


def test_a_candidate_that_did_not_win_is_registered_with_what_was_measured(compared, home):
    assert compared.winner is None
    assert compared.can_pick("smaller")
    version = compared.pick("smaller")
    assert (version.name, version.parent) == ("picked-from", "picked-from/1")
    assert compared.reference_of("smaller") == version.reference
    assert not compared.can_pick("smaller")
    registry = Registry(config.current())
    bundle = registry.fetch(version)
    assert bundle.manifest.parent == maas_jupyter.models("picked-from")[0].versions[-1].digest
    assert bundle.manifest.measurements["accuracy"] == compared.candidate("smaller").measured.quality.metric
    record = registry.run(version.run_id)
    assert record.params["method"] == "smaller"
    assert record.params["verdict"].startswith(compared.candidate("smaller").verdict)


def test_under_another_name_it_is_a_model_of_its_own_however_often(compared, home):
    for number in ("1", "2"):
        assert compared.pick("small", name="picked-alone").reference == f"picked-alone/{number}"
    assert compared.can_pick("small")


def test_the_verb_takes_the_notebooks_comparison(compared, home):
    shell = InteractiveShell()
    InteractiveShell._instance = shell
    try:
        shell.run_line_magic("load_ext", "maas_jupyter")
        shell.user_ns["found"] = compared
        version = shell.run_cell("%maas pick found small --name picked-typed").result
    finally:
        InteractiveShell.clear_instance()
    assert version.reference == "picked-typed/1"


def test_the_view_registers_and_then_offers_the_champion(compared, home):
    view = compared.view()
    view.selected = "small"
    assert next(each for each in view.rows if each["method"] == "small")["free"]
    line = view.register()["line"]
    assert line == f"small is registered as {view.reference}."
    assert not next(each for each in view.rows if each["method"] == "small")["free"]
    assert view.make_champion()["line"] == f"{view.reference} is the champion now."
    assert "already" in view.register()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "kind", "words"),
    [
        ("smallest", NotFound, "There is no candidate 'smallest'"),
        ("broken", InvalidInput, "it is failed"),
        ("original", InvalidInput, "picked-from/1"),
        ("same", NotFound, "are not kept"),
    ],
)
def test_what_cannot_be_registered_says_why(compared, home, method, kind, words):
    with pytest.raises(kind, match=words):
        compared.pick(method)


def test_something_else_is_no_comparison(home):
    with pytest.raises(UsageError, match="is no comparison"):
        maas_jupyter.pick("digits", "smaller")


def test_the_winner_has_its_version_already(compared, home):
    found = maas_jupyter.optimize("picked-from/1", data=digits(60), method=Smaller, target=("size<1GB",), max_drop=1)
    with pytest.raises(InvalidInput, match=f"{found.version.reference} already"):
        found.pick("smaller")
    assert found.pick("smaller", name="picked-winner").reference == "picked-winner/1"


def bundle_in(folder, hidden):
    folder.mkdir()
    return package(mlp(hidden=hidden), (torch.rand(4, 64),), folder, task="classification").bundle


def test_the_files_are_gone_with_the_comparison(tmp_path):
    held = KeptCandidates({"a": bundle_in(tmp_path / "a", 4)}, lambda *_: None)
    folder = held._folder
    assert not (tmp_path / "a").exists()
    assert pickle.loads(pickle.dumps(held)) is None
    assert list(folder.iterdir())
    del held
    gc.collect()
    assert not folder.exists()


def test_the_files_are_gone_with_the_process(tmp_path):
    script = "from maas_jupyter.optimization import KeptCandidates as K; k = K({}, None); print(k._folder)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert not Path(done.stdout.strip()).exists()


def test_a_new_comparison_takes_the_room_of_the_oldest(tmp_path, monkeypatch):
    bundles = [bundle_in(tmp_path / str(number), 64) for number in range(3)]
    monkeypatch.setattr(kept, "_holding", [])
    monkeypatch.setattr(kept, "MOST_BYTES", 2.5 * bundles[0].manifest.size)
    first, second, third = (KeptCandidates({"a": bundle}, lambda *_: None) for bundle in bundles)
    assert ["a" in each for each in (first, second, third)] == [False, True, True]
    larger = {"a": bundle_in(tmp_path / "x", 16), "b": bundle_in(tmp_path / "y", 1024)}
    held = KeptCandidates(larger, lambda *_: None)
    assert ("a" in held, "b" in held) == (True, False)
