from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from maas_jupyter import __version__

ROOT = Path(__file__).parents[2]
LABEXTENSION = "share/jupyter/labextensions/maas-jupyter/"
SERVER_CONFIG = "etc/jupyter/jupyter_server_config.d/maas_jupyter.json"
MAX_BUNDLE = 400_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this tree: path of every file below the environment's prefix -> its bytes."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = folder.glob("*.whl")
    data = f"maas_jupyter-{__version__}.data/data/"
    with zipfile.ZipFile(path) as archive:
        return {name.removeprefix(data): archive.read(name) for name in archive.namelist()}


def test_has_the_panel_with_the_package_version(wheel):
    package = json.loads(wheel[LABEXTENSION + "package.json"])
    assert package["name"] == "maas-jupyter"
    assert package["version"] == __version__
    assert LABEXTENSION + package["jupyterlab"]["_build"]["load"] in wheel


def test_has_the_schema_of_the_settings(wheel):
    schema = json.loads(wheel[LABEXTENSION + "schemas/maas-jupyter/panel.json"])
    assert schema["title"] == "MaaS"


def test_says_who_installed_the_panel(wheel):
    install = json.loads(wheel[LABEXTENSION + "install.json"])
    assert install["packageManager"] == "python"
    assert install["packageName"] == "maas-jupyter"


def test_enables_the_server_extension(wheel):
    assert json.loads(wheel[SERVER_CONFIG]) == {"ServerApp": {"jpserver_extensions": {"maas_jupyter": True}}}


def test_panel_is_small(wheel):
    sizes = {
        name: len(content)
        for name, content in wheel.items()
        if name.startswith(LABEXTENSION) and name.endswith((".js", ".css"))
    }
    assert sum(sizes.values()) <= MAX_BUNDLE, sizes


def test_ships_nothing_that_only_building_needs(wheel):
    for name in wheel:
        parts = name.split("/")
        assert not {"node_modules", "tests", "labextension", "notebooks"} & set(parts), name
        assert not name.endswith((".ts", ".tsx", ".map", ".sha256")), name


def test_lock_file_names_no_registry():
    lock = json.loads((ROOT / "labextension" / "package-lock.json").read_text(encoding="utf-8"))
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []


def test_the_version_stands_in_one_place():
    assert json.loads((ROOT / "labextension" / "package.json").read_text(encoding="utf-8"))["version"] == "0.0.0"
