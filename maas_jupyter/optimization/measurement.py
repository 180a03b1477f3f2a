"""What is measured of a candidate."""

from __future__ import annotations

from dataclasses import dataclass

from maas_jupyter.evaluation import Interval


@dataclass(frozen=True)
class Quality:
    """How good a candidate's answers are, and how near to the original's, on the same rows.

    Attributes
    ----------
    metric : float
        The comparison's metric.
    interval : Interval or None
        Its 95 % bootstrap interval.
    change : float
        The metric less the original's.
    change_interval : Interval or None
        Of the change, by paired bootstrap.
    max_difference, mean_difference : float
        Largest and mean absolute difference of an output number from the original's.
    agreement : float
        Share of the rows with the same predicted class; for regression, of outputs within 1 %.
    """

    metric: float
    interval: Interval | None
    change: float
    change_interval: Interval | None
    max_difference: float
    mean_difference: float
    agreement: float


@dataclass(frozen=True)
class Speed:
    """How fast a candidate is, measured in turns with the others.

    Attributes
    ----------
    p50_ms, p95_ms : float
        Milliseconds for one row.
    spread : float
        Half the distance between the quartiles of the turns' medians, as a share of ``p50_ms``.
    rows_per_second : float
        At ``batch_size``.
    batch_size : int
        The one with the most rows per second.
    """

    p50_ms: float
    p95_ms: float
    spread: float
    rows_per_second: float
    batch_size: int


@dataclass(frozen=True)
class Measurement:
    """Everything that was measured of one candidate.

    Attributes
    ----------
    size : int
        Bytes of the bundle.
    memory : int
        Bytes that loading it and running single rows added to its process.
    quality : Quality
    speed : Speed or None
        None for a candidate that cannot win, and so was not timed.
    """

    size: int
    memory: int
    quality: Quality
    speed: Speed | None

    def as_metrics(self, metric_name: str) -> dict[str, float]:
        """Return the numbers that are kept with a registered version."""
        quality, speed = self.quality, self.speed
        numbers = {
            metric_name: quality.metric,
            f"{metric_name}_change": quality.change,
            "max_difference": quality.max_difference,
            "agreement": quality.agreement,
            "memory_mb": self.memory / 1e6,
        }
        if speed is not None:
            numbers |= {
                "p50_ms": speed.p50_ms,
                "p95_ms": speed.p95_ms,
                "rows_per_second": speed.rows_per_second,
                "best_batch_size": float(speed.batch_size),
            }
        return numbers
