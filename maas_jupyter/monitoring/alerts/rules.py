"""A rule for one endpoint, and how Prometheus says the same."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, get_args

from maas_jupyter.errors import InvalidInput, nearest
from maas_jupyter.monitoring.rows import AlertKind
from maas_jupyter.monitoring.scrape import DURATION, REQUESTS, SHADOW

#: Seconds of the past that a rule looks at, and the same as Prometheus writes it.
WINDOW = 60.0
_RANGE = "1m"

LOADED = "maas_loaded_versions"

#: The kinds that have a threshold: its unit, and below what it must be.
THRESHOLDS: dict[AlertKind, tuple[str, float]] = {
    "p95_above": ("milliseconds above 0", math.inf),
    "error_rate_above": ("a share from 0 to below 1", 1.0),
    "shadow_disagreement_above": ("a share from 0 to below 1", 1.0),
}

#: The longest time that a condition may have to hold: a week.
LONGEST_FOR = 7 * 86_400

#: The name of the alert, and the sentence that Prometheus makes of it, with the endpoint's name in the place of NAME.
_WORDS: dict[AlertKind, tuple[str, str]] = {
    "p95_above": (
        "MaasLatencyHigh",
        "One in twenty requests to 'NAME' takes longer than {{ $value | humanizeDuration }}.",
    ),
    "error_rate_above": ("MaasErrorRateHigh", "{{ $value | humanizePercentage }} of the requests to 'NAME' fail."),
    "no_traffic": ("MaasNoTraffic", "Nobody asks 'NAME'."),
    "endpoint_down": ("MaasEndpointDown", "'NAME' does not serve."),
    "shadow_disagreement_above": (
        "MaasShadowDisagrees",
        "{{ $value | humanizePercentage }} of the shadow's answers differ from those of 'NAME'.",
    ),
}

#: Which rule: the endpoint's target and name, and the kind.
RuleKey = tuple[str, str, AlertKind]


@dataclass(frozen=True)
class Rule:
    """What an endpoint must not do for longer than a time. An endpoint has at most one rule of a kind.

    Parameters
    ----------
    target, name : str
        The endpoint.
    kind : str
        One of `AlertKind`.
    threshold : float, optional
        Milliseconds for a latency, a share for the other kinds that compare with one.
    for_seconds : int
        How long the condition has to hold until the alert fires.

    Raises
    ------
    InvalidInput
        If there is no such kind, or a number does not belong to it.
    """

    target: str
    name: str
    kind: AlertKind
    threshold: float | None = None
    for_seconds: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(AlertKind):
            raise InvalidInput(
                f"There is no kind of alert '{str(self.kind)[:64]}'.",
                hint=nearest(str(self.kind)[:64], get_args(AlertKind), what="kinds", otherwise=""),
            )
        for what, text in (("target", self.target), ("endpoint", self.name)):
            # Prometheus takes labels as templates too.
            if not 0 < len(text) <= 256 or not text.isprintable() or "{{" in text:
                raise InvalidInput(f"{text[:64]!r} cannot be the {what} of an alert.")
        if self.kind not in THRESHOLDS:
            if self.threshold is not None:
                raise InvalidInput(f"An alert of the kind '{self.kind}' has no threshold.")
        else:
            unit, below = THRESHOLDS[self.kind]
            threshold = self.threshold
            if threshold is None or not 0 <= threshold < below or (below == math.inf and threshold == 0):
                raise InvalidInput(f"The threshold of '{self.kind}' is {unit}, not {threshold}.")
        if not 0 <= self.for_seconds <= LONGEST_FOR:
            raise InvalidInput(f"An alert waits from 0 to {LONGEST_FOR} seconds, not {self.for_seconds}.")

    @property
    def key(self) -> RuleKey:
        """Which rule this is."""
        return self.target, self.name, self.kind

    @property
    def expression(self) -> str:
        """The condition in PromQL, over the metrics of the model server."""
        model = f"model={json.dumps(self.name, ensure_ascii=False)}"
        if self.kind == "p95_above":
            seconds = _number((self.threshold or 0.0) / 1e3)
            buckets = f"sum by (le) (rate({DURATION}_bucket{{{model}}}[{_RANGE}]))"
            return f"histogram_quantile(0.95, {buckets}) > {seconds}"
        if self.kind == "error_rate_above":
            errors = f'sum(rate({REQUESTS}{{{model},code=~"[45].."}}[{_RANGE}]))'
            return f"{errors} / sum(rate({REQUESTS}{{{model}}}[{_RANGE}])) > {_number(self.threshold or 0.0)}"
        if self.kind == "no_traffic":
            return f"sum(rate({REQUESTS}{{{model}}}[{_RANGE}])) == 0 or absent({REQUESTS}{{{model}}})"
        if self.kind == "endpoint_down":
            return f"{LOADED}{{{model}}} == 0 or absent({LOADED}{{{model}}})"
        differ = f'sum(rate({SHADOW}{{{model},outcome="disagree"}}[{_RANGE}]))'
        compared = f'sum(rate({SHADOW}{{{model},outcome=~"agree|disagree"}}[{_RANGE}]))'
        return f"{differ} / {compared} > {_number(self.threshold or 0.0)}"

    def as_prometheus(self) -> dict[str, Any]:
        """Return the rule as an item of Prometheus' file; its labels say what we read back."""
        alert, summary = _WORDS[self.kind]
        labels = {
            "severity": "critical" if self.kind == "endpoint_down" else "warning",
            "maas_target": self.target,
            "maas_endpoint": self.name,
            "maas_kind": str(self.kind),
        }
        if self.threshold is not None:
            labels["maas_threshold"] = _number(self.threshold)
        return {
            "alert": alert,
            "expr": self.expression,
            "for": f"{self.for_seconds}s",
            "labels": labels,
            # Not {{ $labels }}: those are of the expression's result, which keeps none where it sums up.
            "annotations": {"summary": summary.replace("NAME", self.name)},
        }


def _number(value: float) -> str:
    """Return the shortest decimal text that reads as the same number."""
    return f"{value:.12g}"
