"""Gates: what a model has to reach, written as ``accuracy>=0.97`` or ``recall[malignant]>=0.95``."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from maas_jupyter.errors import GateError, UsageError, nearest
from maas_jupyter.evaluation.intervals import Interval
from maas_jupyter.evaluation.metrics import METRICS
from maas_jupyter.plugins import Displayed
from maas_jupyter.registry import VersionVerdict

if TYPE_CHECKING:
    from maas_jupyter.evaluation.paired import PairedComparison
    from maas_jupyter.evaluation.report import Evaluation

_OPERATORS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_BY_CLASS = ("precision", "recall", "f1")
_EXAMPLE = "Write it as accuracy>=0.97, recall[CLASS]>=0.95 or accuracy[COLUMN=GROUP]>=0.9."


@dataclass(frozen=True)
class Gate:
    """A bound that a number has to keep.

    Attributes
    ----------
    metric : str
        A headline number, or with ``key`` one of a class or of a slice.
    key : str
        A class, or ``COLUMN=GROUP``; empty for the number of all rows.
    comparison : {'>=', '<=', '>', '<'}
    bound : float
    """

    metric: str
    key: str
    comparison: str
    bound: float

    def __str__(self) -> str:
        return f"{self.metric}{f'[{self.key}]' if self.key else ''}{self.comparison}{self.bound:g}"


@dataclass(frozen=True)
class GateResult:
    """What came of one gate.

    Attributes
    ----------
    text : str
        The gate.
    value : float or None
        What was measured; None where it could not be.
    interval : Interval or None
        Its 95 % interval.
    passed : bool
    note : str
        Why, where the numbers do not say it.
    """

    text: str
    value: float | None
    interval: Interval | None
    passed: bool
    note: str = ""

    def __str__(self) -> str:
        measured = "not measured" if self.value is None else f"{self.value:.4g} {self.interval or ''}".rstrip()
        return f"{'✓' if self.passed else '✗'} {self.text}: {measured}" + (f" ({self.note})" if self.note else "")


@dataclass(frozen=True, repr=False)
class Verdict(Displayed):
    """Whether a model meets all that was required of it."""

    gates: list[GateResult]

    @property
    def passed(self) -> bool:
        """Whether every gate was passed."""
        return all(gate.passed for gate in self.gates)

    def __repr__(self) -> str:
        return "\n".join([f"verdict: {'passed' if self.passed else 'not passed'}", *map(str, self.gates)])

    def require(self, subject: str) -> None:
        """Do nothing where every gate was passed.

        Raises
        ------
        GateError
            Names the gates that were not.
        """
        failed = [gate for gate in self.gates if not gate.passed]
        if failed:
            raise GateError(
                f"{subject} does not meet {'; '.join(str(gate).removeprefix('✗ ') for gate in failed)}.",
                hint="The evaluation was kept. Look at it without stopping: --report-only.",
            )


def parse_gate(text: str) -> Gate:
    """Read a gate: ``METRIC[KEY] >= NUMBER``; the key is optional, spaces do not matter.

    Raises
    ------
    UsageError
        If it does not parse; shows the character. For an unknown metric the hint offers the nearest ones.
    """
    rest = _Reader(text)
    metric = rest.take(r"[A-Za-z_]\w*", "the name of a metric")
    key = ""
    if rest.follows(r"\["):
        # A label may hold brackets itself: the key ends at the last one before the comparison.
        key = rest.take(r"\[(.*)\](?=\s*(?:[<>]|$))", "a class or COLUMN=GROUP, and ]", group=1).strip()
        if not key:
            raise rest.error("a class or COLUMN=GROUP", at=text.index("[") + 1)
    comparison = rest.take(r">=|<=|>(?!\s*=)|<(?!\s*=)", "one of >=, <=, >, <")
    start = rest.position
    number = rest.take(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", "a number")
    rest.end()
    bound = float(number)
    if not isfinite(bound):
        raise rest.error("a number that is not infinite", at=start)
    if not any(metric in names for names in METRICS.values()):
        # Of one task: near ones of another are of no use to a model.
        hints = [nearest(metric, names, what="metrics", otherwise="") for names in METRICS.values()]
        hint = next((hint for hint in hints if hint.startswith("Did you mean")), hints[0])
        raise UsageError(f"There is no metric '{metric}' to require.", hint=hint)
    return Gate(metric, key, comparison, bound)


class _Reader:
    """Takes a text apart from the left and points at what it cannot read."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0
        self._skip()

    def follows(self, pattern: str) -> bool:
        return re.compile(pattern).match(self._text, self.position) is not None

    def take(self, pattern: str, what: str, *, group: int = 0) -> str:
        match = re.compile(pattern, re.S).match(self._text, self.position)
        if match is None:
            raise self.error(what)
        self.position = match.end()
        self._skip()
        return match[group]

    def end(self) -> None:
        if self.position < len(self._text):
            raise self.error("the end")

    def error(self, what: str, *, at: int | None = None) -> UsageError:
        place = self.position if at is None else at
        # On one line, so that the pointer stands below its character.
        shown = re.sub(r"\s", " ", self._text)
        return UsageError(
            f"The gate '{shown}' cannot be read at character {place + 1}: expected {what}.\n"
            f"  {shown}\n  {' ' * place}^",
            hint=_EXAMPLE,
        )

    def _skip(self) -> None:
        while self.position < len(self._text) and self._text[self.position].isspace():
            self.position += 1


def judge(evaluation: Evaluation, gates: list[Gate], comparison: PairedComparison | None = None) -> Verdict:
    """Hold an evaluation against gates.

    Parameters
    ----------
    evaluation : Evaluation
    gates : list of Gate
    comparison : PairedComparison, optional
        Of a model that the evaluated one must not be worse than (first) with the evaluated one.

    Raises
    ------
    UsageError
        If a gate asks for a class or a slice that was not evaluated, or for a metric of another task; the hint offers
        the nearest ones.
    """
    results = [_judge(evaluation, gate) for gate in gates]
    if comparison is not None:
        (pair,) = comparison.pairs
        difference = pair.differences[0]
        results.append(
            GateResult(
                f"no worse than {comparison.first} (change in {difference.metric})",
                difference.change,
                difference.interval,
                pair.outcome != "worse",
                comparison.sentence(pair),
            )
        )
    return Verdict(results)


def _judge(evaluation: Evaluation, gate: Gate) -> GateResult:
    if gate.metric not in METRICS[evaluation.task]:
        raise UsageError(
            f"{evaluation.subject} has no {gate.metric}: it was evaluated as {evaluation.task}.",
            hint=nearest(gate.metric, METRICS[evaluation.task], what="metrics", otherwise=""),
        )
    value, interval, note = _measured(evaluation, gate)
    if value is None:
        return GateResult(str(gate), None, None, False, note)
    passed = bool(_OPERATORS[gate.comparison](value, gate.bound))
    if passed and interval is not None:
        nearest_bound = interval.low if gate.comparison.startswith(">") else interval.high
        if not _OPERATORS[gate.comparison](nearest_bound, gate.bound):
            note = "its interval reaches beyond the bound"
    return GateResult(str(gate), value, interval, passed, note)


def _measured(evaluation: Evaluation, gate: Gate) -> tuple[float | None, Interval | None, str]:
    if not gate.key:
        value = evaluation.metrics.get(gate.metric)
        note = next((note for note in evaluation.notes if gate.metric in note), "") if value is None else ""
        return value, evaluation.intervals.get(gate.metric), note
    for report in evaluation.classes:
        if report.label == gate.key and gate.metric in _BY_CLASS:
            if not report.support:
                return None, None, f"no row belongs to '{gate.key}'"
            return getattr(report, gate.metric), report.intervals.get(gate.metric), ""
    for table in evaluation.slices:
        for group in table.groups:
            if f"{table.column}={group.name}" == gate.key:
                return group.metrics.get(gate.metric), group.intervals.get(gate.metric), ""
    known = [report.label for report in evaluation.classes] if gate.metric in _BY_CLASS else []
    known += [f"{table.column}={group.name}" for table in evaluation.slices for group in table.groups]
    raise UsageError(
        f"There is no {gate.metric} of '{gate.key}'.",
        hint=nearest(
            gate.key,
            known,
            what="classes and slices",
            otherwise="Ask for precision, recall or f1 of a class, or add --slice COLUMN.",
        ),
    )


def stored(evaluation: Evaluation, time: float) -> VersionVerdict:
    """Return what is kept of a verdict with a registered version; ``time`` in epoch seconds."""
    assert evaluation.verdict is not None
    # What was not passed comes first, so that it is among what is kept.
    ranked = sorted(evaluation.verdict.gates, key=lambda gate: gate.passed)
    gates = [str(gate)[:200] for gate in ranked[:20]]
    return VersionVerdict(passed=evaluation.verdict.passed, gates=gates, rows=evaluation.rows, time=time)
