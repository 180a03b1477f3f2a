from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from maas_jupyter import plugins
from maas_jupyter.errors import MissingDependency, NotFound
from maas_jupyter.plugins import Plugin


@pytest.mark.parametrize("kind", plugins.BUILTIN)
def test_everything_in_the_table_can_be_imported(kind):
    for name in plugins.BUILTIN[kind]:
        assert callable(plugins.load(kind, name))


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(NotFound, match="no runtime called 'onxn'") as caught:
        plugins.load("runtime", "onxn")
    assert "'onnx'" in caught.value.hint


def test_what_is_not_installed_is_a_sentence(monkeypatch, tmp_path):
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_there")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(plugins.BUILTIN["runtime"], "more", Plugin("needs_more:Runtime", "pip install more"))
    with pytest.raises(MissingDependency, match="'more' needs the package 'a_package_that_is_not_there'") as caught:
        plugins.load("runtime", "more")
    assert caught.value.hint == "pip install more"


def test_a_package_adds_parts_by_entry_points(monkeypatch):
    found = EntryPoint("theirs", "json:dumps", "maas_jupyter.optimizer")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [found] if group == found.group else [])
    plugins.available.cache_clear()
    try:
        assert plugins.load("optimizer", "theirs")({}) == "{}"
        assert "dynamic-int8" in plugins.available("optimizer")
    finally:
        plugins.available.cache_clear()
