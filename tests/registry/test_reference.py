from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import InvalidInput
from maas_jupyter.registry import ModelReference

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
aliases = st.from_regex(r"[A-Za-z_][A-Za-z0-9._-]{0,10}", fullmatch=True).filter(
    lambda text: text != "latest" and not (text[0] == "v" and text[1:].isdigit())
)


@given(names, st.integers(1, 10_000), st.booleans())
def test_version_references_survive_being_written_and_read(name, version, prefixed):
    text = f"{'models:/' if prefixed else ''}{name}/{version}"
    parsed = ModelReference.parse(text)
    assert parsed == ModelReference(name, version=str(version))
    assert ModelReference.parse(str(parsed)) == parsed


@given(names, aliases)
def test_alias_references_survive_being_written_and_read(name, alias):
    parsed = ModelReference.parse(f"{name}@{alias}")
    assert parsed == ModelReference(name, alias=alias)
    assert ModelReference.parse(str(parsed)) == parsed


@given(st.text(max_size=30))
def test_any_text_is_a_reference_or_is_refused_in_words(text):
    try:
        parsed = ModelReference.parse(text)
    except InvalidInput as error:
        assert error.hint
    else:
        assert ModelReference.parse(str(parsed)) == parsed


def test_latest_is_the_model_itself():
    assert ModelReference.parse("models:/digits/latest") == ModelReference.parse("digits")


@pytest.mark.parametrize(
    "text", ["", "digits/", "digits/x", "digits/0", "digits/-1", "digits@", "../x", "a/b/c", "d@v1"]
)
def test_what_is_not_a_reference_is_refused(text):
    with pytest.raises(InvalidInput):
        ModelReference.parse(text)
