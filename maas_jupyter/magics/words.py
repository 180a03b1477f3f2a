"""The words of a line, as a person would split it: expressions of Python stay whole."""

from __future__ import annotations

from maas_jupyter.arguments import Quoted
from maas_jupyter.errors import UsageError

_CLOSING = {"(": ")", "[": "]", "{": "}"}


def split(line: str) -> list[str]:
    """Split a line at the white space that is outside of brackets and quotes.

    Quotes around a whole word are taken away; quotes inside a word belong to the expression that it is.

    Raises
    ------
    UsageError
        If a bracket or a quotation is not closed.
    """
    words: list[str] = []
    word, quote = "", ""
    expected: list[str] = []
    for character in line:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _CLOSING:
            expected.append(_CLOSING[character])
        elif expected and character == expected[-1]:
            expected.pop()
        elif character.isspace() and not expected:
            words += [word] if word else []
            word = ""
            continue
        word += character
    if quote or expected:
        raise UsageError(
            f"The line ends inside {'a quotation' if quote else 'brackets'}: {word}",
            hint=f"Close it with {quote or expected[-1]}",
        )
    return [_unquoted(each) for each in [*words, *([word] if word else [])]]


def _unquoted(word: str) -> str:
    quoted = len(word) >= 2 and word[0] in "\"'" and word[-1] == word[0] and word[0] not in word[1:-1]
    return Quoted(word[1:-1]) if quoted else word
