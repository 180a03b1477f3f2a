"""What is known of a kind of server, and what the kinds share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from maas_jupyter.monitoring.counts import UNKNOWN_CODE, EndpointCounts, VersionCounts
from maas_jupyter.monitoring.foreign.asker import Asker, refusal
from maas_jupyter.monitoring.scrape import Scrape
from maas_jupyter.schema import EndpointState, VersionState, VersionStatus

#: What every client library of Prometheus tells of its process.
MEMORY = "process_resident_memory_bytes"
CPU = "process_cpu_seconds_total"
START = "process_start_time_seconds"
PROCESS = (MEMORY, CPU, START)

#: Codes for what a server counts as answered or failed without saying how.
ANSWERED, FAILED, CANCELLED, REFUSED = "200", "500", "499", "503"


@dataclass(frozen=True)
class ForeignModel:
    """A model as its server tells of it."""

    name: str
    state: EndpointState = "ready"
    reason: str = ""
    versions: list[VersionStatus] = field(default_factory=list)


@dataclass(frozen=True)
class Place:
    """Where metrics are: a path, on the address itself or on another port of the same host."""

    path: str
    port: int | None = None


@dataclass(frozen=True)
class Kind:
    """A kind of server.

    Attributes
    ----------
    name : str
        What it is called.
    marks : tuple of str
        How names of metrics start that only this kind has.
    series : tuple of str
        How names of the metrics start that are read.
    places : tuple of Place
        Where its metrics are unless somebody chose another place.
    read : callable
        Makes counts of its Prometheus text; raises ValueError where that is none.
    models : callable
        Lists its models: given who asks, and what its metrics said.
    model_label : str
        The label of its metrics that names the model.
    model_path : str
        The path of a model's own routes, with ``{name}`` for its name.
    server_name : str
        What it calls itself at ``GET /v2``; empty where it has no such route.
    untold : tuple of str
        Fields of `Sample` of which its metrics say nothing.
    """

    name: str
    marks: tuple[str, ...]
    series: tuple[str, ...]
    places: tuple[Place, ...]
    read: Callable[[str], Scrape]
    models: Callable[[Asker, Scrape], list[ForeignModel]]
    model_label: str = "model_name"
    model_path: str = ""
    server_name: str = ""
    untold: tuple[str, ...] = ()

    def marked(self, text: str) -> bool:
        """Say whether a Prometheus text is of this kind; one that has served nothing yet has only its types."""
        names = "|".join(map(re.escape, self.marks))
        return re.search(rf"^(?:# (?:HELP|TYPE) )?(?:{names})", text, re.MULTILINE) is not None


class Tally:
    """Collects series as counts per model and version."""

    def __init__(self) -> None:
        self._models: dict[str, EndpointCounts] = {}
        self._process: dict[str, float] = {}

    def of(self, model: str, version: str = "") -> VersionCounts:
        """Return the counts to add to."""
        return self._models.setdefault(model, EndpointCounts()).setdefault(version, VersionCounts())

    def process(self, name: str, value: float) -> None:
        """Take what is said of the server's process."""
        self._process[name] = value

    def scrape(self) -> Scrape:
        """Return what was collected; requests that are only timed have an outcome that is not known."""
        for versions in self._models.values():
            for counts in versions.values():
                if not counts.by_code and counts.duration_count:
                    counts.by_code[UNKNOWN_CODE] = counts.duration_count
        memory = self._process.get(MEMORY)
        return Scrape(
            models=self._models,
            memory=None if memory is None else int(memory),
            cpu_seconds=self._process.get(CPU),
            started=self._process.get(START),
        )


def add_duration(
    counts: VersionCounts, part: str, labels: dict[str, str], value: float, *, seconds: float = 1.0
) -> None:
    """Add a series of a histogram or a summary, whose unit is so many seconds, to the durations."""
    if part == "bucket":
        counts.buckets[float(labels["le"]) * seconds] += int(value)
    elif part == "sum":
        counts.duration_sum += value * seconds
    elif part == "count":
        counts.duration_count += int(value)


def unready(ask: Asker, path: str, who: str) -> str:
    """Return why a server says that it is not ready; empty where it is, or has no such route.

    Raises
    ------
    Unavailable, Unauthorized
        If it does not answer, or not us.
    """
    answer = ask.get(path)
    if answer.ok or answer.status in (404, 405):
        return ""
    if answer.status in (401, 403) or answer.leads_to:
        raise refusal(answer)
    return f"{who} says that it is not ready: {path} answers {answer.status}."


def counted_models(names: Iterable[str], trouble: str) -> list[ForeignModel]:
    """Return models of which only the metrics tell."""
    return [ForeignModel(name, "unavailable" if trouble else "ready", trouble) for name in sorted(filter(None, names))]


def repository(ask: Asker, scrape: Scrape, who: str) -> list[ForeignModel]:
    """List models by the model repository extension of V2, or by the metrics where the server does not have it.

    Raises
    ------
    Unavailable, Unauthorized
        If the server does not answer, or not us.
    """
    listed = ask.get("/v2/repository/index", method="POST").json
    if not isinstance(listed, list):
        # Whoever restricts the repository, as PyTriton does, may still say whether all is ready.
        return counted_models(scrape.models, unready(ask, "/v2/health/ready", who))
    found: dict[str, list[dict[str, Any]]] = {}
    for row in listed:
        # Triton lists what it could load, without a state, next to what it has.
        if isinstance(row, dict) and isinstance(row.get("name"), str) and row.get("state"):
            found.setdefault(row["name"], []).append(row)
    return [_model(name, rows) for name, rows in found.items()]


_STATES: dict[str, VersionState] = {"READY": "ready", "LOADING": "loading"}


def _model(name: str, rows: list[dict[str, Any]]) -> ForeignModel:
    versions = sorted(
        (
            VersionStatus(
                version=str(row.get("version") or ""),
                digest="",
                weight=0,
                state=_STATES.get(str(row["state"]), "failed" if _failure(row) else "unloaded"),
                reason=_failure(row),
            )
            for row in rows
        ),
        key=lambda each: version_order(each.version),
    )
    reason = next((each.reason for each in reversed(versions) if each.reason), "")
    states = {each.state for each in versions}
    if "ready" in states:
        return ForeignModel(name, "ready", "", with_newest_serving(versions))
    if "loading" in states:
        return ForeignModel(name, "loading", "", with_newest_serving(versions))
    if reason:
        return ForeignModel(name, "failed", reason, with_newest_serving(versions))
    return ForeignModel(name, "stopped", "It is not loaded.", with_newest_serving(versions))


def _failure(row: dict[str, Any]) -> str:
    # Where the model's own code fails, a traceback follows.
    reason = str(row.get("reason") or "").partition("\n")[0]
    return "" if row["state"] in ("READY", "LOADING") or reason == "unloaded" else reason[:500]


def with_newest_serving(versions: list[VersionStatus]) -> list[VersionStatus]:
    """Return versions, oldest first, of which the newest ready one gets the traffic; none where they have no names."""
    named = [each for each in versions if each.version]
    serving = next((each.version for each in reversed(named) if each.state == "ready"), None)
    return [
        VersionStatus(each.version, each.digest, 100 if each.version == serving else 0, each.state, each.reason)
        for each in named
    ]


def version_order(version: str) -> tuple[int, str]:
    """Return what sorts versions as their servers do: numbers by their size."""
    return (int(version), "") if version.isdecimal() else (-1, version)
