from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from models import mlp, wine

import maas_jupyter


@pytest.fixture(scope="module")
def shell(shared_home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAAS_HOME", str(shared_home))
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        maas_jupyter.register(mlp(13, 3), name="completed", data=wine())
        shell = InteractiveShell()
        InteractiveShell._instance = shell
        shell.run_line_magic("load_ext", "maas_jupyter")
        shell.run_cell(
            "import numpy as np\nfrom models import mlp, wine\nnet = mlp()\nrows = wine()\ndef helper(): pass"
        )
        yield shell
        InteractiveShell.clear_instance()


def completed(shell, text):
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


@pytest.mark.parametrize("start", ["%maas ", "x = %maas ", "a, b = %maas ", "%%maas ", "import os\n%maas "])
def test_verbs(shell, start):
    assert {"train", "evaluate", "publish", "stop", "--help"} <= set(completed(shell, start))
    assert completed(shell, f"{start}pub") == ["publish"]


def test_options_that_are_not_there_yet(shell):
    found = completed(shell, "%maas train net --epochs 3 --")
    assert "--batch-size" in found
    assert "--epochs" not in found
    assert completed(shell, "%%maas train net --ep") == ["--epochs"]


def test_variables_where_data_goes(shell):
    found = completed(shell, "%maas train net --data ")
    assert "rows" in found
    assert not {"np", "helper", "In", "Out", "get_ipython"} & set(found)


def test_modules_where_a_module_goes_and_after_them_what_may_make_one(shell):
    assert completed(shell, "%maas train ") == ["net", "helper", "mlp", "wine"]


@pytest.mark.parametrize("verb", ["publish", "evaluate", "quantize", "models", "alias"])
def test_references_where_a_model_goes(shell, verb):
    found = completed(shell, f"%maas {verb} compl")
    assert found == ["completed", "completed@champion", "completed/1"]


def test_nothing_of_ours_elsewhere(shell):
    assert "train" not in completed(shell, "maas ")
