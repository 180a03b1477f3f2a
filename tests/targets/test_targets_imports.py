from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import maas_jupyter
from maas_jupyter import targets
from maas_jupyter.plugins import Displayed


def test_targets_cost_nothing_until_they_are_used():
    program = (
        "import sys, maas_jupyter.targets, maas_jupyter.serving; "
        "print({'numpy', 'httpx', 'starlette'} & set(sys.modules))"
    )
    root = Path(maas_jupyter.__file__).parent.parent
    out = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"


def test_a_client_never_loads_the_server():
    program = (
        "import sys, maas_jupyter.targets.local; "
        "print({'uvicorn', 'starlette', 'onnxruntime', 'torch', 'mlflow'} & set(sys.modules))"
    )
    root = Path(maas_jupyter.__file__).parent.parent
    out = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"


def test_the_nouns_show_themselves():
    for noun in (targets.Endpoint, targets.EndpointList, targets.Prediction):
        assert issubclass(noun, Displayed)
