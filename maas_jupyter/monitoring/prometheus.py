"""The past of endpoints from a Prometheus server that scrapes their model servers.

What it kept is asked for as it was scraped and read as a scrape is, so that a sample means the same wherever it comes
from, and the servers of others are understood as they are live.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from itertools import pairwise
from statistics import median
from typing import Any
from urllib.parse import urlencode

import httpx

from maas_jupyter.errors import InvalidInput, NotFound, Unauthorized, Unavailable
from maas_jupyter.monitoring.counts import EndpointCounts, VersionCounts
from maas_jupyter.monitoring.foreign.asker import Answer, Asker, address, shown
from maas_jupyter.monitoring.foreign.attached import token_of
from maas_jupyter.monitoring.foreign.kinds import KINDS
from maas_jupyter.monitoring.history import cores, sample_of
from maas_jupyter.monitoring.rows import Sample
from maas_jupyter.monitoring.scrape import SERIES, Scrape, parse
from maas_jupyter.monitoring.snapshot import WatchedEndpoint
from maas_jupyter.serving.client.transport import is_loopback

#: The label by which a scrape job says which target it scrapes.
TARGET_LABEL = "maas_target"

#: Samples that are asked for at most.
MOST = 360

#: Seconds that Prometheus may take, and bytes that an answer of it may have.
_PATIENCE = 10.0
_LARGEST = 64 * 1024 * 1024

#: Seconds of the past that say how often it scrapes, and the interval where they say nothing.
_LOOKED_AT = 600
_USUAL = 60.0

#: A series as Prometheus answers with it: its labels, and (time, value) pairs.
_Series = tuple[dict[str, str], list[tuple[float, str]]]


class Prometheus:
    """A Prometheus server, or one that speaks its HTTP API. Its methods may block.

    Parameters
    ----------
    url : str
        Its address; a path is kept, as Mimir and proxies have one.
    token_env : str
        Name of the environment variable that holds its token; empty where it wants none.
    ca_file : str
        PEM file of the authority that signed its certificate; empty for those that the system trusts.
    how_to_set : callable
        Given a variable, returns how it is set where errors are shown.
    patience : float
        Seconds that each of its answers may take.
    """

    def __init__(
        self,
        url: str,
        *,
        token_env: str = "",
        ca_file: str = "",
        how_to_set: Callable[[str], str],
        patience: float = _PATIENCE,
    ) -> None:
        self._url = url
        self._token_env = token_env
        self._ca_file = ca_file
        self._how_to_set = how_to_set
        self._patience = patience

    @property
    def name(self) -> str:
        """What it is called where its samples are shown."""
        return f"Prometheus at {shown(self._url)}"

    def samples(self, target: str, endpoint: WatchedEndpoint, since: float, until: float) -> list[Sample]:
        """Return an endpoint's samples, oldest first.

        Parameters
        ----------
        target : str
            The endpoint's target.
        endpoint : WatchedEndpoint
            The endpoint.
        since, until : float
            Epoch seconds.

        Raises
        ------
        InvalidInput
            If the configured address cannot be one, or its token would be sent unprotected.
        NotFound
            If it does not scrape the endpoint's server, or nothing says which of several that is.
        Unauthorized
            If it wants another token.
        Unavailable
            If it does not answer, or not as Prometheus does.
        """
        url = address(self._url)
        if self._token_env and url.startswith("http:") and not is_loopback(url):
            raise InvalidInput(
                f"Others on the way to {httpx.URL(url).host} could read the token of Prometheus: the address is http.",
                hint="Use https.",
            )
        token = token_of(self._token_env, self._how_to_set)
        with closing(Asker(url, token, ca_file=self._ca_file, patience=self._patience, largest=_LARGEST)) as ask:
            return _History(ask, target, endpoint).between(since, until)


class _History:
    """What one Prometheus server has of one endpoint."""

    def __init__(self, ask: Asker, target: str, endpoint: WatchedEndpoint) -> None:
        self._ask = ask
        self._target = target
        self._endpoint = endpoint
        kind = KINDS.get(endpoint.kind)
        self._who = endpoint.kind or "MaaS"
        self._read: Callable[[str], Scrape] = kind.read if kind else parse
        prefixes = "|".join(kind.series if kind else SERIES)
        self._names = f'__name__=~"(?:{prefixes}).*"'
        self._model_label = kind.model_label if kind else "model"

    def between(self, since: float, until: float) -> list[Sample]:
        """Return the samples of a time."""
        known = self._known(since, until)
        selected = self._selected(known)
        interval = self._interval(known, selected, until)
        step = interval * max(1, math.ceil((until - since) / MOST / interval))
        # One step more, which is the base of the first sample.
        start = math.floor(since / step) * step - step
        found = self._get(
            "query_range",
            {"query": self._selector(self._model("=~"), *selected), "start": start, "end": until, "step": step},
        )
        series = _series(found, "values", self._ask.url)
        return [sample for sample in self._replayed(series, step) if sample.time > since]

    def _known(self, since: float, until: float) -> list[dict[str, str]]:
        """Return the labels of all series of such a model, whichever server's."""
        found = self._get("series", {"match[]": self._selector(self._model("=")), "start": since, "end": until})
        try:
            return [dict(labels) for labels in found]
        except (TypeError, ValueError) as error:
            raise Unavailable(f"{shown(self._ask.url)} answers with what are no series of Prometheus.") from error

    def _model(self, how: str) -> str:
        """Match the model; with ``=~`` also what has no label for one, as the process has none."""
        name = self._endpoint.name
        if not self._model_label:
            return ""
        return f"{self._model_label}={_quoted(name)}" if how == "=" else f"{self._model_label}=~{_one_of([name, ''])}"

    def _selector(self, *matchers: str) -> str:
        return "{" + ",".join([self._names, *filter(None, matchers)]) + "}"

    def _selected(self, known: list[dict[str, str]]) -> list[str]:
        """Return the matchers of what scrapes this endpoint's server, and not another one with such a model."""
        if any(labels.get(TARGET_LABEL) == self._target for labels in known):
            return [f"{TARGET_LABEL}={_quoted(self._target)}"]
        url = self._endpoint.metrics or self._endpoint.url
        here, own = _instance(url), _instances(url, near=is_loopback(self._ask.url))
        others = [labels for labels in known if not labels.get(TARGET_LABEL)]
        if any(labels.get("instance") in own for labels in others):
            return [f"instance=~{_one_of(own)}", f'{TARGET_LABEL}=""']
        name, where = self._endpoint.name, f"Prometheus at {shown(self._ask.url)}"
        if not known:
            raise NotFound(
                f"{where} has nothing of '{name}' in this time.",
                hint=f"Let it scrape {here}, with a label {TARGET_LABEL}: {self._target}",
            )
        instances = sorted({labels.get(TARGET_LABEL) or labels.get("instance", "?") for labels in known})
        raise NotFound(
            f"{where} has '{name}' of {', '.join(instances[:5])}, and not of {here}.",
            hint=f"If one of them is '{self._target}', give its scrape job the label {TARGET_LABEL}: {self._target}",
        )

    def _interval(self, known: list[dict[str, str]], selected: list[str], until: float) -> float:
        """Return how many seconds are between two scrapes: at a finer step, most would count nothing."""
        # One name is enough; those of histograms would be many series.
        name = min(labels.get("__name__", "") for labels in known)
        query = self._selector(f"__name__={_quoted(name)}", self._model("="), *selected)
        found = self._get("query", {"query": f"{query}[{_LOOKED_AT}s]", "time": until})
        gaps = [
            later[0] - earlier[0]
            for _, values in _series(found, "values", self._ask.url)
            for earlier, later in pairwise(values)
        ]
        return max(1.0, round(median(gaps))) if gaps else _USUAL

    def _replayed(self, series: Iterable[_Series], step: float) -> list[Sample]:
        """Read what was scraped step by step, each server for itself: one that restarts counts from zero alone."""
        texts: dict[tuple[str, str], dict[float, list[str]]] = defaultdict(lambda: defaultdict(list))
        for labels, values in series:
            line = _line(labels)
            of_server = texts[labels.get("job", ""), labels.get("instance", "")]
            for time, value in values:
                if math.isfinite(float(value)):
                    of_server[time].append(f"{line} {value}")
        steps: dict[float, list[_Step]] = defaultdict(list)
        for by_time in texts.values():
            before: tuple[float, Scrape] | None = None
            for time in sorted(by_time):
                scrape = self._scrape(by_time[time])
                # After a gap nobody knows when what is new was counted.
                if before is not None and time - before[0] < 1.5 * step:
                    steps[time].append(_Step(before[1], scrape, self._endpoint.name, step))
                before = time, scrape
        return [_sample(time, step, steps[time]) for time in sorted(steps)]

    def _scrape(self, lines: list[str]) -> Scrape:
        try:
            return self._read("\n".join(lines))
        except (ValueError, KeyError, OverflowError) as error:
            raise Unavailable(f"What Prometheus kept of {self._who} cannot be read: {error}") from error

    def _get(self, route: str, query: Mapping[str, Any]) -> Any:
        answer = self._ask.get(f"/api/v1/{route}?{urlencode(query)}")
        told = _json(answer)
        if isinstance(told, dict) and told.get("status") == "success" and "data" in told:
            return told["data"]
        where = f"Prometheus at {shown(self._ask.url)}"
        if answer.status in (401, 403):
            raise Unauthorized(
                f"{where} answers {answer.status}: it wants a token that it knows.",
                hint="c.MaasConfig.prometheus_token_env names the environment variable that holds it.",
            )
        why = str(told.get("error") or "")[:300] if isinstance(told, dict) else ""
        raise Unavailable(
            f"{where} answers {answer.status}{f': {why}' if why else ', and not as Prometheus does'}.",
            hint=""
            if why
            else "Is MAAS_PROMETHEUS_URL the address of its HTTP API, without /api/v1 and without /graph?",
        )


class _Step:
    """What one server counted between two steps."""

    def __init__(self, before: Scrape, after: Scrape, model: str, seconds: float) -> None:
        nothing = EndpointCounts()
        self.counts = after.models.get(model, nothing).since(before.models.get(model, nothing))
        self.memory = after.memory
        self.cpu = cores(before.cpu_seconds, after.cpu_seconds, seconds)


def _sample(time: float, seconds: float, steps: list[_Step]) -> Sample:
    """Sum up what several servers counted."""
    by_version: dict[str, list[VersionCounts]] = defaultdict(list)
    for step in steps:
        for version, counts in step.counts.items():
            by_version[version].append(counts)
    whole = EndpointCounts({version: VersionCounts.summed(counts) for version, counts in by_version.items()})
    memory = [step.memory for step in steps if step.memory is not None]
    cpu = [step.cpu for step in steps if step.cpu is not None]
    return sample_of(time, seconds, whole, sum(memory) if memory else None, round(sum(cpu), 4) if cpu else None)


def _instance(url: str) -> str:
    """Return what Prometheus calls the server at an address, unless it is told otherwise."""
    parsed = httpx.URL(url)
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    return f"{host}:{parsed.port or (443 if parsed.scheme == 'https' else 80)}"


def _instances(url: str, *, near: bool) -> list[str]:
    """Return the names that the server at an address may have there; none where they would mean another one."""
    own = _instance(url)
    if not is_loopback(url):
        return [own]
    # A Prometheus on another machine means itself by them.
    port = own.rpartition(":")[2]
    return sorted({own, *(f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]"))}) if near else []


def _quoted(text: str) -> str:
    """Return a string of PromQL, whose escapes are those of JSON for what names hold."""
    return json.dumps(text, ensure_ascii=False)


def _one_of(texts: Iterable[str]) -> str:
    escaped = ("".join(f"\\{each}" if each in r"\.+*?()|[]{}^$" else each for each in text) for text in texts)
    return _quoted("|".join(escaped))


def _line(labels: Mapping[str, str]) -> str:
    """Return the name and labels of a series in the text format, as its server told them."""
    # Where a label of the server collides with one of the scrape job, Prometheus renames it.
    told = {name.removeprefix("exported_"): value for name, value in sorted(labels.items(), key=_exported_last)}
    name = told.pop("__name__", "")
    quoted = ",".join(f"{label}={_escaped(value)}" for label, value in told.items())
    return f"{name}{{{quoted}}}" if quoted else name


def _exported_last(item: tuple[str, str]) -> bool:
    return item[0].startswith("exported_")


def _escaped(value: str) -> str:
    """Return a label's value as the text format writes it: it escapes three characters, and no others."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None


def _series(data: Any, values: str, url: str) -> list[_Series]:
    try:
        return [
            (dict(each["metric"]), [(float(time), str(float(value))) for time, value in each[values]])
            for each in data["result"]
        ]
    except (TypeError, KeyError, ValueError) as error:
        raise Unavailable(f"{shown(url)} answers with what is no matrix of Prometheus: {error!r}") from error
