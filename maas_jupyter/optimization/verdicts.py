"""What a candidate is worth, in words."""

from __future__ import annotations

from dataclasses import dataclass, replace

from maas_jupyter.evaluation import Gate
from maas_jupyter.evaluation import Verdict as GateVerdict
from maas_jupyter.optimization.comparison import Candidate, Verdict
from maas_jupyter.optimization.goals import Goal
from maas_jupyter.optimization.measurement import Measurement, Speed

#: Medians nearer than this share are the same speed: what repeats of one model differ by on a busy machine.
NOISE = 0.05
#: The same of rows per second: batch sizes are chosen by measuring, and their runs are longer and fewer.
BATCH_NOISE = 0.15
#: Sizes nearer than this share are the same.
_SAME_SIZE = 0.01


@dataclass(frozen=True)
class Limits:
    """What is asked of a candidate.

    Attributes
    ----------
    metric_name : str
    max_drop : float
        How much of the metric it may lose.
    goals : list of Goal
        Of size and speed.
    """

    metric_name: str
    max_drop: float
    goals: list[Goal]

    @property
    def wants_size(self) -> bool:
        """Whether size matters more than speed."""
        return self.may_be_slower and all(goal.quantity in ("size", "memory") for goal in self.goals)

    @property
    def may_be_slower(self) -> bool:
        """Whether size is worth speed: it is bounded; how slow a candidate may be, other targets say."""
        return any(goal.quantity in ("size", "memory") for goal in self.goals)


def rejected(measured: Measurement, gates: GateVerdict | None, limits: Limits) -> tuple[Verdict, str] | None:
    """Say why a candidate cannot win whatever its speed; None where it may.

    Parameters
    ----------
    measured : Measurement
        Its speed is not looked at.
    gates : GateVerdict or None
        What the gates say of its metrics.
    limits : Limits
    """
    drop = -measured.quality.change
    if not drop <= limits.max_drop:
        return "worse", f"{limits.metric_name} falls by {drop:.4f}, allowed is {limits.max_drop:g}"
    if gates is not None and not gates.passed:
        return "worse", "; ".join(str(gate).removeprefix("✗ ") for gate in gates.gates if not gate.passed)
    missed = [goal for goal in limits.goals if goal.quantity in ("size", "memory") and not goal.met(measured)]
    return ("misses", _missed(missed, measured)) if missed else None


def shortfall(gates: list[Gate], verdict: GateVerdict | None) -> float:
    """Return by what metrics miss gates, in all; what could not be measured misses by 1."""
    if verdict is None:
        return 0.0
    missed = [(gate, found) for gate, found in zip(gates, verdict.gates, strict=True) if not found.passed]
    return sum(1.0 if found.value is None else abs(found.value - gate.bound) for gate, found in missed)


def judge(original: Measurement, measured: Measurement, limits: Limits) -> tuple[Verdict, str]:
    """Decide what a candidate is worth that is not rejected.

    Returns
    -------
    verdict : {'good', 'slower', 'misses', 'no gain'}
        ``misses``: it does not reach a target. ``slower``: its p50 is above the original's by more than the noise, and
        no target asks for size. ``good``: it is smaller or faster, or reaches a target that the original misses.
        ``no gain``: it is neither.
    reason : str
    """
    assert original.speed is not None
    assert measured.speed is not None
    speed = original.speed.p50_ms / measured.speed.p50_ms
    rate = measured.speed.rows_per_second / original.speed.rows_per_second
    size = original.size / measured.size
    noise = max(NOISE, original.speed.spread, measured.speed.spread)
    batch_noise = max(BATCH_NOISE, noise)
    gains = f"{_sized(size)}, {_timed(speed, NOISE, noise)} for one row"
    gains += f", {_timed(rate, BATCH_NOISE, batch_noise)} in batches"
    missed = [goal for goal in limits.goals if not goal.met(measured)]
    if missed:
        return "misses", _missed(missed, measured)
    reached = [goal for goal in limits.goals if not goal.met(original)]
    if speed < 1 - noise and not limits.may_be_slower:
        return "slower", gains
    if reached:
        return "good", f"{', '.join(f'{goal}: {_shown(goal, measured)}' for goal in reached)}; {gains}"
    if size > 1 + NOISE or speed > 1 + noise or rate > 1 + batch_noise:
        return "good", gains
    return "no gain", f"neither smaller nor faster: {gains}"


def crowned(candidates: list[Candidate], limits: Limits) -> list[Candidate]:
    """Make the best of the good ones the winner.

    It is the fastest for one row, of those that are equally fast the fastest in batches; where targets ask for size
    alone, the one that has the least of what the first of them bounds.
    """
    good = [each for each in candidates if each.verdict == "good" and each.measured is not None]
    if not good:
        return candidates
    if limits.wants_size:
        best = min(good, key=lambda each: (limits.goals[0].value(_measured(each)) or 0.0, _speed(each).p50_ms))
    else:
        fastest = min(_speed(each).p50_ms for each in good)
        equal = [each for each in good if _speed(each).p50_ms <= fastest * (1 + NOISE)]
        best = max(equal, key=lambda each: _speed(each).rows_per_second)
    return [replace(each, verdict="winner") if each is best else each for each in candidates]


def _measured(candidate: Candidate) -> Measurement:
    assert candidate.measured is not None
    return candidate.measured


def _speed(candidate: Candidate) -> Speed:
    speed = _measured(candidate).speed
    assert speed is not None
    return speed


def closest(candidates: list[Candidate], limits: Limits) -> str:
    """Return, in words, the candidate that came nearest to what was asked for; empty where none was measured."""
    tried = [each for each in candidates[1:] if each.measured is not None and _missing(each, limits)]
    if not tried:
        return ""

    def distance(candidate: Candidate) -> tuple[int, float]:
        measured = _measured(candidate)
        misses = 1.0 + candidate.shortfall
        untold = 0
        for goal in limits.goals:
            if goal.value(measured) is None:
                untold += 1
            else:
                misses *= goal.miss(measured)
        over = max(-measured.quality.change - limits.max_drop, 0.0)
        return untold, misses * (1 + over / max(limits.max_drop, 1e-3))

    nearest = min(tried, key=distance)
    return f"{nearest.method} ({nearest.reason})"


def _missing(candidate: Candidate, limits: Limits) -> bool:
    """Say whether a candidate does not reach what was asked for; one that was too slow to be timed may not either."""
    if candidate.verdict == "slower":
        return not all(goal.met(_measured(candidate)) for goal in limits.goals)
    return candidate.verdict in ("worse", "misses")


def _missed(goals: list[Goal], measured: Measurement) -> str:
    return "; ".join(f"{goal}: it has {_shown(goal, measured)}" for goal in goals)


def _shown(goal: Goal, measured: Measurement) -> str:
    value = goal.value(measured)
    if value is None:
        return "not been timed"
    if goal.quantity in ("p50", "p95"):
        return f"{value:.3g} ms"
    if goal.quantity == "rows/s":
        return f"{value:,.0f}"
    return f"{value / 1e6:.3g} MB" if value >= 1e6 else f"{value / 1e3:.3g} kB"


def _sized(factor: float) -> str:
    return "as large" if abs(factor - 1) <= _SAME_SIZE else _times(factor, "smaller", "larger")


def _timed(factor: float, same: float, noise: float) -> str:
    """Say how much faster; what turns of one candidate differ by leaves it open."""
    if abs(factor - 1) <= same:
        return "as fast"
    times = _times(factor, "faster", "slower")
    return f"perhaps {times}" if abs(factor - 1) <= noise else times


def _times(factor: float, more: str, less: str) -> str:
    return f"{factor:.2f}x {more}" if factor > 1 else f"{1 / factor:.2f}x {less}"
