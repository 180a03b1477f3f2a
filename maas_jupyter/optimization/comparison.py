"""Candidates, what was measured of them, and the verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from maas_jupyter.plugins import Displayed
from maas_jupyter.registry import ModelVersion

Verdict = Literal["original", "winner", "good", "slower", "worse", "no gain", "failed"]

#: Medians nearer than this share are the same speed: what repeats of one model differ by on a busy machine.
NOISE = 0.05


@dataclass(frozen=True)
class Measurement:
    """What was measured of one candidate.

    Attributes
    ----------
    size : int
        Bytes of the bundle.
    p50_ms, p95_ms : float
        Milliseconds for one row.
    rows_per_second : float
        At the batch size of the comparison.
    metric : float
        The comparison's metric, on all its rows.
    max_difference : float
        Largest absolute difference of an output number from the original's, on the same rows.
    agreement : float
        Share of the rows with the same predicted class; for regression, of outputs within tolerance.
    """

    size: int
    p50_ms: float
    p95_ms: float
    rows_per_second: float
    metric: float
    max_difference: float
    agreement: float

    def as_metrics(self, metric_name: str) -> dict[str, float]:
        """Return the numbers that are kept with a registered version."""
        return {
            metric_name: self.metric,
            "p50_ms": self.p50_ms,
            "rows_per_second": self.rows_per_second,
            "max_difference": self.max_difference,
            "agreement": self.agreement,
        }


@dataclass(frozen=True)
class Candidate:
    """One row of a comparison: a method, its measurement (None if it failed), its verdict and why."""

    method: str
    description: str
    precision: str
    measured: Measurement | None
    verdict: Verdict
    reason: str


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
    rows, batch_size : int
        Rows that the metric was measured on; batch size for rows per second.
    candidates : list of Candidate
        The original first.
    version : ModelVersion or None
        The registered winner.
    """

    subject: str
    metric_name: str
    max_drop: float
    rows: int
    batch_size: int
    candidates: list[Candidate] = field(default_factory=list)
    version: ModelVersion | None = None

    @property
    def winner(self) -> Candidate | None:
        """The candidate to take, if any is better than the original."""
        return next((candidate for candidate in self.candidates if candidate.verdict == "winner"), None)

    @property
    def conclusion(self) -> str:
        """One sentence: what came out and what to do."""
        if self.version is not None:
            return (
                f"{self.winner.method if self.winner else 'The candidate'} is registered as {self.version.reference}."
            )
        if len(self.candidates) == 1:
            return f"{self.subject} has nothing that these methods could quantize."
        return f"No candidate is better than {self.subject}; nothing was registered."

    def __repr__(self) -> str:
        header = f"{'':20}{'size kB':>9}{'p50 ms':>9}{'rows/s':>10}{self.metric_name:>10}{'change':>9}{'max diff':>10}"
        lines = [f"{header}  verdict"]
        for candidate in self.candidates:
            measured = candidate.measured
            verdict = f"{candidate.verdict}: {candidate.reason}" if candidate.reason else candidate.verdict
            if measured is None:
                lines.append(f"{candidate.method:<20}{'':57}  {verdict}")
                continue
            numbers = (
                f"{measured.size / 1000:9,.1f}{measured.p50_ms:9.3f}{measured.rows_per_second:10,.0f}"
                f"{measured.metric:10.4f}{self.change(candidate):+9.4f}{measured.max_difference:10.2g}"
            )
            lines.append(f"{candidate.method:<20}{numbers}  {verdict}")
        return "\n".join([*lines, self.conclusion])

    def change(self, candidate: Candidate) -> float:
        """Return the candidate's metric less the original's."""
        original = self.candidates[0].measured
        assert original is not None
        return candidate.measured.metric - original.metric if candidate.measured else float("nan")


def judge(original: Measurement, measured: Measurement, *, metric_name: str, max_drop: float) -> tuple[Verdict, str]:
    """Decide what a candidate is worth, in words.

    Returns
    -------
    verdict : {'good', 'slower', 'worse', 'no gain'}
        ``worse``: it loses more of the metric than ``max_drop``. ``slower``: its p50 is above the original's by more
        than the noise. ``good``: it is smaller or faster. ``no gain``: it is neither.
    reason : str
    """
    drop = original.metric - measured.metric
    speed = original.p50_ms / measured.p50_ms
    size = original.size / measured.size
    pace = f"{speed:.2f}x faster" if speed >= 1 else f"{1 / speed:.2f}x slower"
    bulk = f"{size:.1f}x smaller" if size >= 1 else f"{1 / size:.1f}x larger"
    if not drop <= max_drop:
        return "worse", f"{metric_name} falls by {drop:.4f}, allowed is {max_drop:g}"
    if speed < 1 - NOISE:
        return "slower", f"{bulk}, {pace}"
    if size > 1 + NOISE or speed > 1 + NOISE:
        return "good", f"{bulk}, {pace}"
    return "no gain", f"neither smaller nor faster ({pace})"


def registered(comparison: Comparison, version: ModelVersion) -> Comparison:
    """Return the comparison with the version that its winner became."""
    return replace(comparison, version=version)
