from __future__ import annotations

import os
import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "mlflow", "onnxruntime", "onnx", "matplotlib", "pandas", "sklearn", "numpy")


def imported_by(code: str) -> set[str]:
    script = f"import sys\n{code}\nprint('imported:', *[name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("imported:").split())


@pytest.mark.parametrize(
    "code",
    [
        "import maas_jupyter",
        "import maas_jupyter.api",
        "import maas_jupyter.verbs; maas_jupyter.verbs.group(terminal=False)",
        "import maas_jupyter.cli",
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'maas_jupyter')\n"
        "assert 'maas' in shell.magics_manager.magics['line']",
        "from IPython.core.interactiveshell import InteractiveShell\n"
        "shell = InteractiveShell.instance()\n"
        "shell.run_line_magic('load_ext', 'maas_jupyter')\n"
        "shell.run_line_magic('maas', 'train --help')",
    ],
)
def test_nothing_heavy_is_imported(code):
    assert imported_by(code) == set()


@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_onnxruntime_reports_to_nobody_unless_it_is_asked_to(before, after):
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if before is not None:
        environment["ORT_DISABLE_TELEMETRY"] = before
    script = "import os, maas_jupyter; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == after


def test_every_public_name_exists():
    import maas_jupyter

    for name in maas_jupyter.__all__:
        assert getattr(maas_jupyter, name) is not None


def test_the_public_verbs_are_the_verbs():
    import maas_jupyter
    from maas_jupyter import api

    assert set(maas_jupyter._VERBS) == {verb.__name__ for verb in api.VERBS}


def test_an_unknown_name_is_an_attribute_error():
    import maas_jupyter

    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        maas_jupyter.trian  # noqa: B018


def test_the_version_has_one_source():
    from importlib.metadata import version

    import maas_jupyter

    assert maas_jupyter.__version__ == version("maas-jupyter")
