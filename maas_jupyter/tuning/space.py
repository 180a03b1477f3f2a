"""The language of search spaces: ``lr=1e-4..1e-1:log batch_size=16,32,64 layers=1..4``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import log

from maas_jupyter.errors import UsageError

Value = int | float | bool | str | None

_NAME = re.compile(r"[A-Za-z_]\w*")
_NUMBER = re.compile(r"[+-]?(\d+(\.(?!\.)\d*)?|\.\d+)([eE][+-]?\d+)?")
_WORD = re.compile(r"[^\s,;:=]+")
_INTEGER = re.compile(r"[+-]?\d+")
_WHOLE = re.compile(r"[+-]?\d+[eE]\+?\d")
_WORDS: dict[str, Value] = {"true": True, "false": False, "none": None}


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both are written so.

    Attributes
    ----------
    log : bool
        Orders of magnitude are equally likely.
    step : int or float or None
        Only these multiples above ``low``.
    """

    name: str
    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    @property
    def integer(self) -> bool:
        """Whether only whole numbers are meant."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def grid(self, points: int) -> list[Value]:
        """Return up to ``points`` values, evenly spread (by magnitude for ``log``)."""
        if self.step is not None:
            count = int((self.high - self.low) / self.step + 1e-9) + 1
            return [self.low + index * self.step for index in range(count)]
        if self.integer and not self.log and self.high - self.low < points:
            return list(range(int(self.low), int(self.high) + 1))
        shares = [index / (points - 1) for index in range(points)]
        values = [
            # Rounding may lead beyond the end.
            min(
                self.low * (self.high / self.low) ** share if self.log else self.low + (self.high - self.low) * share,
                self.high,
            )
            for share in shares
        ]
        return sorted({round(value) for value in values}) if self.integer else values

    def __str__(self) -> str:
        suffix = ":log" if self.log else f":{self.step}" if self.step is not None else ""
        return f"{self.name}={self.low}..{self.high}{suffix}"


@dataclass(frozen=True)
class Choice:
    """One of a few values."""

    name: str
    options: tuple[Value, ...]

    def grid(self, points: int) -> list[Value]:
        """Return all of them."""
        return list(self.options)

    def __str__(self) -> str:
        return f"{self.name}={','.join(_written(option) for option in self.options)}"


Dimension = Range | Choice


def parse_space(text: str) -> list[Dimension]:
    """Read a search space.

    Parameters
    ----------
    text : str
        Dimensions separated by spaces or semicolons: ``name=low..high``, with ``:log`` or a step such as ``:0.1``
        behind it, or ``name=a,b,c``. ``true``, ``false`` and ``none`` are values, other words texts.

    Returns
    -------
    list of Range or Choice
        In the order in which they are written.

    Raises
    ------
    UsageError
        If it does not parse; the message points at the character.
    """
    return _Parser(text).space()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def space(self) -> list[Dimension]:
        found: list[Dimension] = []
        self._skip()
        while self._at < len(self._text):
            start = self._at
            dimension = self._dimension()
            if any(other.name == dimension.name for other in found):
                raise self._wrong(f"'{dimension.name}' is there twice", start)
            found.append(dimension)
            if self._at < len(self._text) and self._text[self._at] not in " \t\n;":
                raise self._wrong("a space before the next name is expected")
            self._skip()
        if not found:
            raise self._wrong("there is nothing to search")
        return found

    def _dimension(self) -> Dimension:
        name = self._match(_NAME, "a name is expected")
        self._expect("=", "'=' is expected")
        if self._is_range():
            return self._range(name)
        options = [self._option()]
        while self._text[self._at : self._at + 1] == ",":
            self._at += 1
            options.append(self._option())
        return Choice(name, tuple(options))

    def _is_range(self) -> bool:
        number = _NUMBER.match(self._text, self._at)
        return number is not None and self._text.startswith("..", number.end())

    def _range(self, name: str) -> Range:
        low = self._number()
        self._at += 2
        start = self._at
        high = self._number()
        if not low < high:
            raise self._wrong(f"a number above {low} is expected", start)
        if not (isinstance(low, int) and isinstance(high, int)):
            low, high = float(low), float(high)
        is_log, step = False, None
        if self._text[self._at : self._at + 1] == ":":
            self._at += 1
            if self._text.startswith("log", self._at):
                if low <= 0:
                    raise self._wrong("only numbers above 0 have orders of magnitude")
                self._at += 3
                is_log = True
            else:
                start = self._at
                step = self._number("'log' or a step is expected")
                if not 0 < step <= high - low:
                    raise self._wrong(f"a step above 0 and at most {high - low:g} is expected", start)
                if isinstance(low, int) and not isinstance(step, int):
                    low, high = float(low), float(high)
        return Range(name, low, high, is_log, step)

    def _option(self) -> Value:
        start = self._at
        word = self._match(_WORD, "a value is expected")
        number = _NUMBER.match(word)
        if number is not None and word[number.end() : number.end() + 1] == ".":
            raise self._wrong("'..' between two numbers is expected", start + number.end())
        if number is None or number.end() != len(word):
            return _WORDS.get(word.lower(), word)
        if _WHOLE.fullmatch(word):
            # 1e2 of batch=1e2,64; a range of such numbers is one of all numbers between them.
            return int(float(word))
        return int(word) if _INTEGER.fullmatch(word) else float(word)

    def _number(self, otherwise: str = "a number is expected") -> int | float:
        word = self._match(_NUMBER, otherwise)
        return int(word) if _INTEGER.fullmatch(word) else float(word)

    def _match(self, pattern: re.Pattern[str], otherwise: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._wrong(otherwise)
        self._at = found.end()
        return found[0]

    def _expect(self, character: str, otherwise: str) -> None:
        if self._text[self._at : self._at + 1] != character:
            raise self._wrong(otherwise)
        self._at += 1

    def _skip(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t\n;":
            self._at += 1

    def _wrong(self, what: str, at: int | None = None) -> UsageError:
        place = self._at if at is None else at
        # A long space is cut around the place, so that the mark stands under it.
        start = max(0, place - 40)
        shown = self._text[start : place + 40].replace("\n", " ")
        return UsageError(
            f"The search space does not parse at character {place + 1}: {what}.\n  {shown}\n  {' ' * (place - start)}^",
            hint="Write it as lr=1e-4..1e-1:log batch_size=16,32,64 layers=1..4",
        )


def _written(option: Value) -> str:
    return str(option).lower() if option is None or isinstance(option, bool) else str(option)


def whole(dimension: Dimension) -> Dimension:
    """Return a dimension in whole numbers, for what counts something.

    Raises
    ------
    UsageError
        If there is another number in it.
    """

    def counted(value: Value) -> Value:
        if isinstance(value, float):
            if not value.is_integer():
                raise UsageError(
                    f"'{dimension.name}' takes whole numbers, not {value:g}.",
                    hint=f"Write it as {dimension.name}=1..8 or {dimension.name}=16,32,64",
                )
            return int(value)
        return value

    if isinstance(dimension, Choice):
        return replace(dimension, options=tuple(map(counted, dimension.options)))
    low, high, step = map(counted, (dimension.low, dimension.high, dimension.step))
    return replace(dimension, low=low, high=high, step=step)  # type: ignore[arg-type]  # numbers stay numbers


def combinations(space: list[Dimension], points: int) -> int:
    """Return how many points a grid has."""
    count = 1
    for dimension in space:
        count *= len(dimension.grid(points))
    return count


def magnitude(dimension: Range, value: float) -> float:
    """Return where a value lies between the ends of its range, from 0 to 1."""
    if dimension.log:
        return log(value / dimension.low) / log(dimension.high / dimension.low)
    return (value - dimension.low) / (dimension.high - dimension.low)
