"""Candidates and what came of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from maas_jupyter.errors import InvalidInput, NotFound, nearest
from maas_jupyter.optimization.measurement import Measurement
from maas_jupyter.plugins import Displayed, load
from maas_jupyter.registry import ModelVersion

if TYPE_CHECKING:
    from maas_jupyter.optimization.kept import KeptCandidates

#: ``worse``: it loses more of the metric than allowed, or fails a gate. ``misses``: it does not reach a target.
#: ``skipped``: the time was used up before it was done.
Verdict = Literal["original", "winner", "good", "slower", "worse", "misses", "no gain", "failed", "skipped"]


@dataclass(frozen=True)
class Candidate:
    """One row of a comparison.

    Attributes
    ----------
    method : str
        Name of the method, or of several joined with ``+``.
    description : str
        What was done, in words.
    precision : str
        Of the variant; empty where there is none.
    measured : Measurement or None
        None where it failed or was not tried.
    verdict : Verdict
    reason : str
        Why.
    shortfall : float
        By what its metrics miss the gates, in all.
    """

    method: str
    description: str
    precision: str
    measured: Measurement | None
    verdict: Verdict
    reason: str
    shortfall: float = 0.0


@dataclass(frozen=True, repr=False)
class Comparison(Displayed):
    """The original and its candidates, measured side by side.

    Attributes
    ----------
    subject : str
        Reference of the original.
    metric_name : str
        ``accuracy`` or ``r2``.
    max_drop : float
        How much of the metric a candidate may lose.
    targets : list of str
        What size and speed a candidate has to reach.
    gates : list of str
        What its metrics have to reach.
    rows : int
        Rows that the metric was measured on.
    threads : int
        Threads of one run.
    candidates : list of Candidate
        The original first.
    closest : str
        The candidate that came nearest to what was asked for, where none reached it.
    interrupted : bool
        Whether it was stopped; the rows that were finished are kept.
    notes : list of str
        What else is worth knowing.
    command : str
        What repeats it.
    version : ModelVersion or None
        The registered winner.
    kept : KeptCandidates or None
        The files of those that were measured, as long as this kernel lives.
    """

    subject: str
    metric_name: str
    max_drop: float
    targets: list[str]
    gates: list[str]
    rows: int
    threads: int
    candidates: list[Candidate] = field(default_factory=list)
    closest: str = ""
    interrupted: bool = False
    notes: list[str] = field(default_factory=list)
    command: str = ""
    version: ModelVersion | None = None
    kept: KeptCandidates | None = field(default=None, compare=False)

    @property
    def original(self) -> Measurement:
        """What was measured of the original."""
        measured = self.candidates[0].measured
        assert measured is not None
        return measured

    @property
    def winner(self) -> Candidate | None:
        """The candidate to take, if any is better than the original."""
        return next((candidate for candidate in self.candidates if candidate.verdict == "winner"), None)

    @property
    def drawn(self) -> list[Candidate]:
        """Those with a time and a metric that is a number."""
        measured = [each for each in self.candidates if each.measured is not None and each.measured.speed is not None]
        return [each for each in measured if isfinite(_metric(each))]

    @property
    def front(self) -> list[Candidate]:
        """The Pareto front: those that no other one beats in both the metric and p50, the fastest first."""
        timed = self.drawn
        timed.sort(key=lambda each: (_p50(each), -_metric(each)))
        front: list[Candidate] = []
        for candidate in timed:
            if not front or _metric(candidate) > _metric(front[-1]):
                front.append(candidate)
        return front

    @property
    def conclusion(self) -> str:
        """One sentence: what came out and what to do."""
        if self.version is not None and self.winner is not None:
            return f"{self.winner.method} is registered as {self.version.reference}: {self.winner.reason}."
        if self.interrupted:
            return "Interrupted: what was finished is shown, and nothing was registered."
        if len(self.candidates) == 1:
            return f"{self.subject} has nothing that these methods could do."
        if self.winner is not None:
            return f"{self.winner.method} is the best one: {self.winner.reason}."
        if all(each.measured is None for each in self.candidates[1:]):
            return "No candidate could be measured; nothing was registered."
        closest = f" The closest is {self.closest}." if self.closest else ""
        asked = " and keeps all that was asked for" if self.targets or self.gates else ""
        return f"No candidate is better than {self.subject}{asked}; nothing was registered.{closest}"

    def __repr__(self) -> str:
        width = max(len(candidate.method) for candidate in self.candidates)
        header = (
            f"{'':<{width}}{'size kB':>10}{'mem MB':>8}{'p50 ms':>9}{'p95 ms':>9}{'±':>5}{'rows/s':>10}{'at':>4}"
            f"{self.metric_name:>10}{'change':>9}{'max diff':>10}{'agree':>8}"
        )
        lines = [f"{header}  verdict"]
        for candidate in self.candidates:
            verdict = f"{candidate.verdict}: {candidate.reason}" if candidate.reason else candidate.verdict
            lines.append(f"{candidate.method:<{width}}{_numbers(candidate.measured)}  {verdict}")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes), self.conclusion])

    def view(self) -> Any:
        """Return a table to sort and to pick a candidate from, for a cell: a `ComparisonView`."""
        return load("widget", "comparison")(self)

    def candidate(self, method: str) -> Candidate:
        """Return the candidate of a method.

        Raises
        ------
        NotFound
            If there is none of that name.
        """
        methods = [each.method for each in self.candidates]
        if method not in methods:
            hint = nearest(method, methods, what="candidates", otherwise="")
            raise NotFound(f"There is no candidate '{method}'.", hint=hint)
        return self.candidates[methods.index(method)]

    def reference_of(self, method: str) -> str:
        """Return the registered version that a candidate is; empty where it was not registered."""
        candidate = self.candidate(method)
        if candidate.verdict == "original":
            return self.subject
        if candidate.verdict == "winner" and self.version is not None:
            return self.version.reference
        picked = self.kept.versions.get(method) if self.kept is not None else None
        return "" if picked is None else picked.reference

    def can_pick(self, method: str) -> bool:
        """Say whether a candidate is not registered and can be."""
        return self.kept is not None and method in self.kept and not self.reference_of(method)

    def pick(self, method: str, *, name: str | None = None) -> ModelVersion:
        """Register a candidate that was measured, whatever its verdict.

        Parameters
        ----------
        method : str
            As it is called in the table.
        name : str, optional
            Of the model; the original's by default, whose next version it becomes.

        Returns
        -------
        ModelVersion

        Raises
        ------
        NotFound
            If there is no such candidate, or its files are gone.
        InvalidInput
            If it could not be measured, or is registered already.
        """
        candidate = self.candidate(method)
        reference = self.reference_of(method)
        name = None if name == self.subject.partition("/")[0] else name
        if reference and name is None:
            raise InvalidInput(f"'{method}' is {reference} already.", hint=f"%maas publish {reference}")
        if candidate.verdict == "original":
            raise InvalidInput(f"'{method}' is no candidate, but {reference}, which they were made from.")
        if candidate.measured is None or candidate.verdict == "failed":
            raise InvalidInput(f"'{method}' cannot be registered: it is {candidate.verdict}.", hint=candidate.reason)
        if self.kept is None:
            raise NotFound(
                f"The files of '{method}' are not there: this comparison was not made by this kernel.",
                hint="Make it again: the comparison's .command is what was typed.",
            )
        return self.kept.register(candidate, name)

    def registered(self, version: ModelVersion) -> Comparison:
        """Return the comparison with the version that its winner became."""
        return replace(self, version=version)


def _p50(candidate: Candidate) -> float:
    assert candidate.measured is not None
    assert candidate.measured.speed is not None
    return candidate.measured.speed.p50_ms


def _metric(candidate: Candidate) -> float:
    assert candidate.measured is not None
    return candidate.measured.quality.metric


def _numbers(measured: Measurement | None) -> str:
    if measured is None:
        return " " * 92
    quality, speed = measured.quality, measured.speed
    timed = " " * 37
    if speed is not None:
        timed = (
            f"{speed.p50_ms:9.3f}{speed.p95_ms:9.3f}{speed.spread:5.0%}{speed.rows_per_second:10,.0f}"
            f"{speed.batch_size:4d}"
        )
    return (
        f"{measured.size / 1000:10,.1f}{measured.memory / 1e6:8,.1f}{timed} {quality.metric:9.4f}"
        f" {quality.change:+8.4f}{quality.max_difference:10.2g}{quality.agreement:8.1%}"
    )
