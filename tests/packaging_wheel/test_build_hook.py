from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-ins for node and npm are shell scripts")

NPM = """#!/bin/sh
echo "$@" >> calls
if [ "$1" = run ]; then
  /bin/mkdir -p dist
  echo '{"name": "maas-jupyter", "version": "0.0.0"}' > dist/package.json
fi
"""
FAILING_NPM = """#!/bin/sh
echo "$@" >> calls
if [ "$1" = run ]; then
  /bin/mkdir -p dist
  echo "src/index.ts(1,1): error TS1005"
  exit 2
fi
"""


@pytest.fixture(scope="module")
def hatch_build():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tree(tmp_path):
    """A small source tree."""
    folder = tmp_path / "labextension"
    files = (".npmrc", "package.json", "package-lock.json", "tsconfig.json")
    for name in (*files, "schema/panel.json", "src/index.ts", "style/index.css"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return tmp_path


@pytest.fixture
def on_path(tmp_path, monkeypatch):
    """Puts stand-ins on an otherwise empty PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(**scripts):
        for name, script in scripts.items():
            (folder / name).write_text(script)
            (folder / name).chmod(0o755)

    return put


def node(version):
    return f"#!/bin/sh\necho {version}\n"


def calls(tree):
    path = tree / "labextension" / "calls"
    return path.read_text().splitlines() if path.exists() else []


def hook(hatch_build, tree):
    return hatch_build.LabextensionBuildHook(str(tree), {}, None, None, str(tree), "wheel")


def test_builds_only_when_the_sources_changed(hatch_build, tree, on_path):
    on_path(node=node("v22.12.0"), npm=NPM)
    labextension = hatch_build.Labextension(tree)
    assert not labextension.is_current()
    labextension.build()
    assert [call.split()[0] for call in calls(tree)] == ["ci", "run"]
    assert labextension.is_current()

    (tree / "labextension" / "src" / "index.ts").write_text("changed")
    assert not labextension.is_current()
    labextension.build()
    assert labextension.is_current()

    (tree / "labextension" / "src" / "more.ts").write_text("")
    assert not labextension.is_current()


def test_stamps_the_version(hatch_build, tree, on_path):
    on_path(node=node("v22.12.0"), npm=NPM)
    labextension = hatch_build.Labextension(tree)
    labextension.build()
    labextension.stamp_version("1.2.3")
    package = json.loads((tree / "labextension" / "dist" / "package.json").read_text())
    assert package == {"name": "maas-jupyter", "version": "1.2.3"}
    assert labextension.is_current()


def test_a_failed_build_says_what_failed_and_is_not_taken_for_a_finished_one(hatch_build, tree, on_path):
    on_path(node=node("v22.12.0"), npm=FAILING_NPM)
    labextension = hatch_build.Labextension(tree)
    with pytest.raises(hatch_build.LabextensionError, match=r"`npm run build` .* exit status 2") as caught:
        labextension.build()
    assert "src/index.ts(1,1): error TS1005" in str(caught.value)
    assert not labextension.is_current()


@pytest.mark.parametrize("scripts", [{}, {"node": node("v22.12.0")}, {"node": node("v20.18.3"), "npm": NPM}])
def test_without_a_node_that_is_new_enough(hatch_build, tree, on_path, scripts):
    on_path(**scripts)
    assert hook(hatch_build, tree).dependencies() == [hatch_build.NODE_REQUIREMENT]
    with pytest.raises(hatch_build.LabextensionError, match=r"needs Node\.js 20\.19 or newer"):
        hatch_build.Labextension(tree).build()
    assert calls(tree) == []


@pytest.mark.parametrize("version", ["v20.19.0", "v24.1.0"])
def test_asks_for_no_node_where_one_is(hatch_build, tree, on_path, version):
    on_path(node=node(version), npm=NPM)
    assert hook(hatch_build, tree).dependencies() == []


def test_asks_for_no_node_where_nothing_is_to_build(hatch_build, tree, on_path):
    on_path(node=node("v22.12.0"), npm=NPM)
    hatch_build.Labextension(tree).build()
    on_path(node=node("v12.0.0"))
    assert hook(hatch_build, tree).dependencies() == []
