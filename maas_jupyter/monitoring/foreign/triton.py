"""NVIDIA Triton Inference Server. Its counters have sums of microseconds and no histogram of whole requests."""

from __future__ import annotations

from functools import partial

from maas_jupyter.monitoring.foreign.kind import ANSWERED, CANCELLED, FAILED, REFUSED, Kind, Place, Tally, repository
from maas_jupyter.monitoring.scrape import Scrape, series

_SUCCESS = "nv_inference_request_success"
_FAILURE = "nv_inference_request_failure"
_DURATION = "nv_inference_request_duration_us"
_ROWS = "nv_inference_count"
_RUNS = "nv_inference_exec_count"
_WAITING = "nv_inference_pending_request_count"
_WANTED = (_SUCCESS, _FAILURE, _DURATION, _ROWS, _RUNS, _WAITING)

#: Why a request failed; any other reason is the server's own fault.
_CODES = {"REJECTED": REFUSED, "CANCELED": CANCELLED}


def read(text: str) -> Scrape:
    """Make counts of Triton's Prometheus text."""
    tally = Tally()
    for name, labels, value in series(text, _WANTED):
        if name not in _WANTED:
            continue
        counts = tally.of(labels.get("model", ""), labels.get("version", ""))
        if name == _SUCCESS:
            counts.by_code[ANSWERED] += int(value)
            # The sum of durations is that of the requests that succeeded.
            counts.duration_count += int(value)
        elif name == _FAILURE:
            counts.by_code[_CODES.get(labels.get("reason", ""), FAILED)] += int(value)
        elif name == _DURATION:
            counts.duration_sum += value / 1e6
        elif name == _ROWS:
            counts.rows += int(value)
        elif name == _RUNS:
            counts.runs += int(value)
        else:
            counts.waiting += int(value)
    return tally.scrape()


TRITON = Kind(
    name="Triton",
    # nv_cpu_ and nv_gpu_ are there before any model is.
    marks=("nv_inference_", "nv_gpu_", "nv_cpu_", "nv_pinned_memory_pool_"),
    series=_WANTED,
    model_label="model",
    places=(Place("/metrics"), Place("/metrics", 8002)),
    read=read,
    models=partial(repository, who="Triton"),
    model_path="/v2/models/{name}",
    server_name="triton",
    untold=("p50_ms", "p95_ms", "p99_ms", "memory", "cpu"),
)
