"""What is measured of a candidate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maas_jupyter.evaluation import Evaluation, Interval, Predictions, compare
from maas_jupyter.evaluation.predictions import aligned

#: Numbers of a regression are the same answer where they differ by less than this share of the original's number, or
#: by less than this share of its largest one.
_SHARE, _SHARE_OF_LARGEST = 1e-2, 1e-3


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
        Share of the rows with the same predicted class; for regression, of outputs within 1 %, or a thousandth of the
        largest one.
    """

    metric: float
    interval: Interval | None
    change: float
    change_interval: Interval | None
    max_difference: float
    mean_difference: float
    agreement: float

    @classmethod
    def of(cls, found: Predictions, reference: Predictions, evaluation: Evaluation, metric: str) -> Quality:
        """Measure a candidate's predictions against the original's.

        Parameters
        ----------
        found, reference : Predictions
            The candidate's and the original's, of the same rows.
        evaluation : Evaluation
            Of the candidate; it has the metric.

        Raises
        ------
        InvalidInput
            If they do not answer the same question on the same rows.
        """
        found = aligned(found, reference, names=("the candidate", "the original"))
        (pair,) = compare([("original", reference), ("candidate", found)]).pairs
        difference = next(each for each in pair.differences if each.metric == metric)
        apart = np.abs(found.output - reference.output)
        if found.task == "classification":
            same = found.predicted == reference.predicted
        else:
            size = np.abs(reference.output)
            same = apart <= _SHARE * size + _SHARE_OF_LARGEST * size.max(axis=0)
        return cls(
            evaluation.metrics[metric],
            evaluation.intervals.get(metric),
            difference.change,
            # All resamples of one row are alike.
            difference.interval if len(reference) > 1 else None,
            float(apart.max()),
            float(apart.mean()),
            float(same.mean()),
        )


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
