from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import maas_jupyter
from maas_jupyter.plugins import Displayed
from maas_jupyter.targets import Endpoint, EndpointList, Prediction


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        # Targets cost nothing until they are used, and a client never loads the server.
        ("maas_jupyter.targets, maas_jupyter.serving", {"numpy", "httpx", "starlette"}),
        ("maas_jupyter.targets.local", {"uvicorn", "starlette", "onnxruntime", "torch", "mlflow"}),
    ],
)
def test_what_importing_does_not_load(modules, heavy):
    program = f"import sys, {modules}; print({heavy} & set(sys.modules))"
    root = Path(maas_jupyter.__file__).parent.parent
    out = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True).stdout
    assert out == "set()\n"


def test_the_nouns_show_themselves():
    for noun in (Endpoint, EndpointList, Prediction):
        assert issubclass(noun, Displayed)
