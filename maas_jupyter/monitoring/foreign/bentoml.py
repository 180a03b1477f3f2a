"""BentoML. It counts every request by its route; its probes and pages are no work of a model."""

from __future__ import annotations

from maas_jupyter.monitoring.counts import UNKNOWN_CODE
from maas_jupyter.monitoring.foreign.asker import Asker
from maas_jupyter.monitoring.foreign.kind import (
    PROCESS,
    ForeignModel,
    Kind,
    Place,
    Tally,
    add_duration,
    counted_models,
    unready,
)
from maas_jupyter.monitoring.scrape import Scrape, series

#: Of services, and of the API servers of versions before 1.2.
_PREFIXES = ("bentoml_service_", "bentoml_api_server_")
#: Probes and pages, and what it is asked to find out whether it is of another kind.
_OWN_ROUTES = {"/", "/livez", "/readyz", "/healthz", "/metrics", "/docs.json", "/schema.json", "/favicon.ico"} | {
    "/v2",
    "/monitoring/prometheus/metrics",
}
_NO_VERSION = "not available"

_SERIES = (*_PREFIXES, *PROCESS)


def read(text: str) -> Scrape:
    """Make counts of BentoML's Prometheus text."""
    tally = Tally()
    for name, labels, value in series(text, _SERIES):
        if name in PROCESS:
            tally.process(name, value)
            continue
        service = labels.get("service_name", "")
        prefix = next(each for each in _PREFIXES if name.startswith(each))
        metric = name.removeprefix(prefix)
        if not service or not metric.startswith(("request_total", "request_duration_seconds", "adaptive_batch_size")):
            continue
        version = labels.get("service_version", "")
        counts = tally.of(service, "" if version == _NO_VERSION else version)
        route = labels.get("endpoint", "")
        if metric == "adaptive_batch_size_sum":
            counts.rows += int(value)
        elif metric == "adaptive_batch_size_count":
            counts.runs += int(value)
        elif route in _OWN_ROUTES or route.startswith("/static_content/"):
            continue
        elif metric == "request_total":
            code = labels.get("http_response_code", "")
            counts.by_code[code if code.isdecimal() else UNKNOWN_CODE] += int(value)
        else:
            add_duration(counts, metric.removeprefix("request_duration_seconds_"), labels, value)
    return tally.scrape()


def models(ask: Asker, scrape: Scrape) -> list[ForeignModel]:
    """List the services that the metrics name; the probe is itself a request that names the service."""
    return counted_models(scrape.models, unready(ask, "/readyz", "BentoML"))


BENTOML = Kind(
    name="BentoML",
    marks=_PREFIXES,
    series=_SERIES,
    model_label="service_name",
    places=(Place("/metrics"),),
    read=read,
    models=models,
    untold=("waiting", "memory", "cpu"),
)
