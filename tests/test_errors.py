from __future__ import annotations

import difflib

import pytest

from maas_jupyter.errors import nearest


def test_what_is_near_is_offered():
    assert nearest("digit", ["digits", "words"], what="models", otherwise="") == "Did you mean 'digits'?"
    assert nearest("x", ["b", "a", "b"], what="models", otherwise="") == "There are these models: a, b."
    assert nearest("x", [], what="models", otherwise="Nothing.") == "Nothing."


def test_names_that_are_mere_numbers_come_last_and_case_does_not_matter():
    columns = ["Label", *map(str, range(64))]
    assert nearest("LABEL", columns, what="columns", otherwise="") == "Did you mean 'Label'?"
    assert nearest("target", columns, what="columns", otherwise="").startswith("There are these columns: Label, 0, 1,")


def test_among_very_many_names_none_is_compared(monkeypatch):
    def compare(*_, **__):
        pytest.fail("compared")

    monkeypatch.setattr(difflib, "get_close_matches", compare)
    names = {f"model-{number:05}": None for number in range(10_000)}
    hint = nearest("model-00001x", names, what="models", otherwise="")
    assert hint.startswith("There are these models: model-00000, ")
    assert hint.endswith(" and 9992 more.")
