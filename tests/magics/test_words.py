from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import UsageError
from maas_jupyter.magics.words import split


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("predict digits X[:3, 0]", ["predict", "digits", "X[:3, 0]"]),
        ("predict digits X.astype('float 64')", ["predict", "digits", "X.astype('float 64')"]),
        ("train net --data (X, y) --val frame['x y']", ["train", "net", "--data", "(X, y)", "--val", "frame['x y']"]),
        ("train --data '(X, y)'", ["train", "--data", "(X, y)"]),
        ('train --labels "a,b"', ["train", "--labels", "a,b"]),
        ("f({'a': [1, 2]}, (3,))", ["f({'a': [1, 2]}, (3,))"]),
        ("a ')' b", ["a", ")", "b"]),
        ("", []),
    ],
)
def test_expressions_stay_whole(line, words):
    assert split(line) == words


@given(st.lists(st.from_regex(r"[A-Za-z0-9_.=@/:-]+", fullmatch=True)))
def test_plain_words_are_split_at_white_space(words):
    assert split("  ".join(words)) == words


@given(st.text())
def test_any_line_is_split_or_refused_in_words(line):
    try:
        assert all(isinstance(word, str) for word in split(line))
    except UsageError as error:
        assert error.hint


@pytest.mark.parametrize("line", ["X[", "f('a", '"', "(]"])
def test_what_is_not_closed_is_refused(line):
    with pytest.raises(UsageError, match="ends inside"):
        split(line)
