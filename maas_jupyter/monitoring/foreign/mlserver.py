"""Seldon MLServer. It times requests without a histogram."""

from __future__ import annotations

from functools import partial

from maas_jupyter.monitoring.foreign.kind import (
    ANSWERED,
    FAILED,
    PROCESS,
    Kind,
    Place,
    Tally,
    add_duration,
    repository,
)
from maas_jupyter.monitoring.scrape import Scrape, series

_SUCCESS = "model_infer_request_success_total"
_FAILURE = "model_infer_request_failure_total"
_DURATION = "model_infer_request_duration"

_SERIES = (_SUCCESS, _FAILURE, _DURATION, *PROCESS)


def read(text: str) -> Scrape:
    """Make counts of MLServer's Prometheus text."""
    tally = Tally()
    for name, labels, value in series(text, _SERIES):
        if name in PROCESS:
            tally.process(name, value)
            continue
        version = labels.get("version", "")
        counts = tally.of(labels.get("model", ""), "" if version == "None" else version)
        if name == _SUCCESS:
            counts.by_code[ANSWERED] += int(value)
        elif name == _FAILURE:
            counts.by_code[FAILED] += int(value)
        else:
            add_duration(counts, name.removeprefix(f"{_DURATION}_"), labels, value)
    return tally.scrape()


MLSERVER = Kind(
    name="MLServer",
    marks=("model_infer_request_", "rest_server_request"),
    series=_SERIES,
    model_label="model",
    places=(Place("/metrics"), Place("/metrics", 8082)),
    read=read,
    models=partial(repository, who="MLServer"),
    model_path="/v2/models/{name}",
    server_name="mlserver",
    untold=("p50_ms", "p95_ms", "p99_ms", "waiting", "batch_rows"),
)
