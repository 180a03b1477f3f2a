"""Goals: bounds of a candidate's size and speed, written as ``p95<5ms`` or ``size<10MB``."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from math import isfinite

from maas_jupyter.errors import UsageError, nearest
from maas_jupyter.optimization.measurement import Measurement

_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_TIMES = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SIZES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
#: What can be bounded: the units that it is written in, by their size.
_UNITS = {"p50": _TIMES, "p95": _TIMES, "size": _SIZES, "memory": _SIZES, "rows/s": {"": 1.0}}
_SHAPE = re.compile(r"\s*([A-Za-z0-9/]+)\s*(<=|>=|<|>)\s*((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ]*)\s*")
#: What there should be much of; of everything else there should be little.
_MORE_IS_BETTER = "rows/s"
_EXAMPLE = "Write it as p95<5ms, size<10MB, memory<200MB or rows/s>1000."


@dataclass(frozen=True)
class Goal:
    """A bound.

    Attributes
    ----------
    quantity : {'p50', 'p95', 'size', 'memory', 'rows/s'}
    comparison : {'<', '<=', '>', '>='}
    bound : float
        In milliseconds, bytes, or rows per second.
    text : str
        As it was written.
    """

    quantity: str
    comparison: str
    bound: float
    text: str

    def __str__(self) -> str:
        return self.text

    def met(self, measured: Measurement) -> bool:
        """Say whether a candidate keeps it; a speed that was not measured does not."""
        value = self.value(measured)
        return value is not None and bool(_OPERATORS[self.comparison](value, self.bound))

    def value(self, measured: Measurement) -> float | None:
        """Return the bounded quantity of a candidate."""
        if self.quantity == "size":
            return float(measured.size)
        if self.quantity == "memory":
            return float(measured.memory)
        if measured.speed is None:
            return None
        return {
            "p50": measured.speed.p50_ms,
            "p95": measured.speed.p95_ms,
            "rows/s": measured.speed.rows_per_second,
        }[self.quantity]

    def miss(self, measured: Measurement) -> float:
        """Return by what factor a candidate misses it; 1 where it is kept."""
        value = self.value(measured)
        if value is None:
            return float("inf")
        factor = value / self.bound if self.comparison.startswith("<") else self.bound / max(value, 1e-12)
        return max(factor, 1.0)


def parse_goal(text: str) -> Goal:
    """Read a goal: ``QUANTITY<NUMBER UNIT``; spaces do not matter.

    Raises
    ------
    UsageError
        If it does not parse; the hint shows how, or offers the nearest quantities or units.
    """
    found = _SHAPE.fullmatch(text)
    if found is None:
        raise UsageError(f"The target '{text}' cannot be read.", hint=_EXAMPLE)
    quantity, comparison, number, unit = found.groups()
    if quantity not in _UNITS:
        raise UsageError(
            f"'{quantity}' of the target '{text}' is not measured.",
            hint=nearest(quantity, _UNITS, what="quantities", otherwise=_EXAMPLE),
        )
    units = {name.lower(): size for name, size in _UNITS[quantity].items()}
    # Both of Unicode's letters for a millionth.
    unit = re.sub("[µμ]", "u", unit)
    if unit.lower() not in units:
        allowed = ", ".join(name for name in _UNITS[quantity] if name)
        problem = f"has the unit '{unit}'" if unit else "has no unit"
        raise UsageError(
            f"The target '{text}' {problem}.",
            hint=f"{quantity} is written in {allowed}." if allowed else f"{quantity} has none.",
        )
    bound = float(number) * units[unit.lower()]
    if not bound > 0:
        raise UsageError(f"The target '{text}' has the bound 0, which nothing can reach.", hint=_EXAMPLE)
    if not isfinite(bound):
        raise UsageError(f"The target '{text}' has an infinite bound.", hint=_EXAMPLE)
    if comparison.startswith(">") != (quantity == _MORE_IS_BETTER):
        turned = comparison.translate(str.maketrans("<>", "><"))
        raise UsageError(
            f"The target '{text}' asks for {'few' if quantity == _MORE_IS_BETTER else 'much'} {quantity}.",
            hint=f"Did you mean {quantity}{turned}{number}{unit}?",
        )
    return Goal(quantity, comparison, bound, re.sub(r"\s+", "", text))
