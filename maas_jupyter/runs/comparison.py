"""Several runs beside one another: in what they differ, and which is best at what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite, nan

from maas_jupyter.plugins import Displayed
from maas_jupyter.runs.curves import Curve

#: Parts of a metric's name that say that less is better.
_LESS = ("loss", "error", "perplexity", "mae", "mse", "rmse", "brier")


def less_is_better(metric: str) -> bool:
    """Say whether a metric is better the smaller it is, by its name: losses and errors are."""
    parts = metric.lower().replace("-", "_").split("_")
    return any(part in _LESS for part in parts)


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs: its parameters, last metrics and curves by metric."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    curves: Mapping[str, Curve]


@dataclass(frozen=True, repr=False)
class RunComparison(Displayed):
    """Several runs, in the order in which they were named.

    Attributes
    ----------
    runs : list of ComparedRun
    """

    runs: list[ComparedRun]

    @property
    def differing(self) -> list[str]:
        """The parameters that are not the same in all runs."""
        names = dict.fromkeys(name for run in self.runs for name in run.params)
        return [name for name in names if len({run.params.get(name) for run in self.runs}) > 1]

    @property
    def metrics(self) -> list[str]:
        """The metrics that any run has."""
        return list(dict.fromkeys(name for run in self.runs for name in run.metrics))

    def best(self, metric: str) -> list[str]:
        """Return the ids of the runs whose metric is best; none where it tells no two runs apart."""
        values = {run.run_id: run.metrics[metric] for run in self.runs if isfinite(run.metrics.get(metric, nan))}
        if len(set(values.values())) < 2:
            return []
        best = min(values.values()) if less_is_better(metric) else max(values.values())
        return [run_id for run_id, value in values.items() if value == best]

    def __repr__(self) -> str:
        lines = []
        for run in self.runs:
            params = ", ".join(f"{name}={run.params.get(name, '-')}" for name in self.differing)
            metrics = ", ".join(
                f"{name} {run.metrics[name]:.4f}{' (best)' if run.run_id in self.best(name) else ''}"
                for name in self.metrics
                if name in run.metrics
            )
            head = f"{run.run_id[:8]} {run.name}: {run.status.replace('_', ' ')}"
            lines.append("; ".join(part for part in (head, params, metrics) if part))
        return "\n".join(lines)
