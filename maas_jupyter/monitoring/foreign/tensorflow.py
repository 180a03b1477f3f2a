"""TensorFlow Serving. It counts by model and not by version, times in microseconds, and lists no models."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from maas_jupyter.monitoring.foreign.asker import Asker, refusal
from maas_jupyter.monitoring.foreign.kind import (
    ForeignModel,
    Kind,
    Place,
    Tally,
    add_duration,
    version_order,
    with_newest_serving,
)
from maas_jupyter.monitoring.scrape import Scrape, series
from maas_jupyter.schema import EndpointState, VersionState, VersionStatus

_REQUESTS = ":tensorflow:serving:request_count"
_LATENCY = ":tensorflow:serving:request_latency"
_LOADED = ":tensorflow:cc:saved_model:load_attempt_count"

#: Canonical codes of status as those of HTTP; what is not here is the server's own fault.
_CODES = {
    "OK": "200",
    "CANCELLED": "499",
    "INVALID_ARGUMENT": "400",
    "FAILED_PRECONDITION": "400",
    "OUT_OF_RANGE": "400",
    "UNAUTHENTICATED": "401",
    "PERMISSION_DENIED": "403",
    "NOT_FOUND": "404",
    "ALREADY_EXISTS": "409",
    "ABORTED": "409",
    "RESOURCE_EXHAUSTED": "429",
    "UNIMPLEMENTED": "501",
    "UNAVAILABLE": "503",
    "DEADLINE_EXCEEDED": "504",
}
_STATES: dict[str, VersionState] = {"START": "loading", "LOADING": "loading", "AVAILABLE": "ready"}

_SERIES = (_REQUESTS, _LATENCY, _LOADED)


def read(text: str) -> Scrape:
    """Make counts of TF Serving's Prometheus text."""
    tally = Tally()
    for name, labels, value in series(text, _SERIES):
        if name == _REQUESTS:
            code = _CODES.get(labels.get("status", "OK"), "500")
            tally.of(labels.get("model_name", "")).by_code[code] += int(value)
        elif name == _LOADED:
            # A model is loaded from FOLDER/NAME/VERSION: the only word on one that has had no request.
            loaded = re.search(r"([^/]+)/\d+/?$", labels.get("model_path", ""))
            if loaded:
                tally.of(loaded[1])
        else:
            counts = tally.of(labels.get("model_name", ""))
            add_duration(counts, name.removeprefix(f"{_LATENCY}_"), labels, value, seconds=1e-6)
    return tally.scrape()


def models(ask: Asker, scrape: Scrape) -> list[ForeignModel]:
    """List the models that the metrics name and the server knows."""
    found = (_model(ask, name) for name in sorted(scrape.models) if name)
    return [model for model in found if model is not None]


def _model(ask: Asker, name: str) -> ForeignModel | None:
    answer = ask.get(f"/v1/models/{quote(name, safe='')}")
    if answer.status in (401, 403) or answer.leads_to:
        raise refusal(answer)
    if answer.status == 404:
        return None
    told = answer.json.get("model_version_status") if isinstance(answer.json, dict) else None
    if not isinstance(told, list):
        return ForeignModel(name, "unavailable", f"TF Serving answers {answer.status} for its status.")
    rows = [row for row in told if isinstance(row, dict) and row.get("version")]
    versions = sorted((_version(row) for row in rows), key=lambda each: version_order(each.version))
    states = {each.state for each in versions}
    state: EndpointState = "ready" if "ready" in states else "loading" if "loading" in states else "failed"
    reasons = [each.reason for each in reversed(versions) if each.reason]
    # What is unloaded for good stays in the list for as long as the server runs.
    kept = [each for each in versions if each.state != "unloaded"]
    reason = "" if state != "failed" else (reasons or ["No version is available."])[0]
    return ForeignModel(name, state, reason, with_newest_serving(kept))


def _version(row: dict[str, Any]) -> VersionStatus:
    status = row.get("status")
    message = str(status.get("error_message") or "") if isinstance(status, dict) else ""
    state: VersionState = _STATES.get(str(row.get("state")), "failed" if message else "unloaded")
    return VersionStatus(str(row["version"]), "", 0, state, message[:500])


TF_SERVING = Kind(
    name="TF Serving",
    marks=(":tensorflow:",),
    series=_SERIES,
    places=(Place("/monitoring/prometheus/metrics"),),
    read=read,
    models=models,
    model_path="/v1/models/{name}",
    untold=("waiting", "batch_rows", "memory", "cpu"),
)
