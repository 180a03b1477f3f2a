"""The model server's Prometheus text, as counts per model and version."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from maas_jupyter.monitoring.counts import EndpointCounts, VersionCounts

REQUESTS = "maas_requests_total"
DURATION = "maas_request_duration_seconds"
ROWS = "maas_batch_rows"
QUEUE = "maas_queue_depth"
SHADOW = "maas_shadow_requests_total"
DEPARTED = "maas_departed_requests_total"
MEMORY = "maas_process_resident_memory_bytes"
CPU = "maas_process_cpu_seconds_total"
START = "maas_process_start_time_seconds"
_DURATIONS = tuple(f"{DURATION}_{part}" for part in ("bucket", "sum", "count"))
#: How names of the metrics start that are read.
SERIES = (REQUESTS, *_DURATIONS, f"{ROWS}_sum", f"{ROWS}_count", QUEUE, SHADOW, DEPARTED, MEMORY, CPU, START)

#: A line whose labels hold nothing that is escaped.
_PLAIN = re.compile(r'([\w:]+)(?:\{((?:\w+="[^"\\]*",?)*)\})? (\S+)')
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Scrape:
    """One reading of a model server's ``/metrics``.

    Attributes
    ----------
    models : dict of str to EndpointCounts
        Counts per model.
    memory : int or None
        Resident memory of its processes in bytes.
    cpu_seconds : float or None
        Processor time of its processes since they started.
    started : float or None
        When the first of its processes started, in epoch seconds.
    """

    models: dict[str, EndpointCounts]
    memory: int | None
    cpu_seconds: float | None
    started: float | None


def parse(text: str) -> Scrape:
    """Read a model server's Prometheus text.

    Parameters
    ----------
    text : str
        The body of ``GET /metrics``. Series that are not ours are passed over.

    Raises
    ------
    ValueError
        If the text is not in the Prometheus text format.
    """
    models: dict[str, EndpointCounts] = {}
    of_processes: dict[str, list[float]] = {}
    for name, labels, value in series(text, SERIES):
        if name in (MEMORY, CPU, START):
            of_processes.setdefault(name, []).append(value)
            continue
        versions = models.setdefault(labels["model"], EndpointCounts())
        if name == DEPARTED:
            versions.departed[_code(labels)] += int(value)
            continue
        counts = versions.setdefault(labels["version"], VersionCounts())
        if name == REQUESTS:
            counts.by_code[_code(labels)] += int(value)
        elif name == SHADOW:
            counts.shadow[labels["outcome"]] += int(value)
        elif name == QUEUE:
            counts.waiting += int(value)
        elif name == f"{ROWS}_sum":
            counts.rows += int(value)
        elif name == f"{ROWS}_count":
            counts.runs += int(value)
        elif name == f"{DURATION}_bucket":
            counts.buckets[float(labels["le"])] += int(value)
        elif name == f"{DURATION}_sum":
            counts.duration_sum += value
        else:
            counts.duration_count += int(value)
    memory, seconds, started = (of_processes.get(name) for name in (MEMORY, CPU, START))
    return Scrape(
        models=models,
        memory=int(sum(memory)) if memory else None,
        cpu_seconds=sum(seconds) if seconds else None,
        started=min(started) if started else None,
    )


def _code(labels: dict[str, str]) -> str:
    code = labels["code"]
    if not (code.isascii() and code.isdigit()):
        raise ValueError(f"'{code[:16]}' is no HTTP status code")
    return code


def series(text: str, wanted: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str], float]]:
    """Give name, labels and value of each series whose name starts with what is wanted.

    Raises
    ------
    ValueError
        If the text is not in the Prometheus text format.
    """
    odd = []
    for line in text.splitlines():
        if not line.startswith(wanted):
            continue
        plain = _PLAIN.fullmatch(line)
        if plain is None:
            odd.append(line)
        else:
            yield plain[1], dict(_LABEL.findall(plain[2] or "")), float(plain[3])
    if odd:
        # The library's parser knows every form, and takes ten times as long: too long for a hundred endpoints.
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families("\n".join([*odd, ""])):
            for sample in family.samples:
                yield sample.name, sample.labels, sample.value
