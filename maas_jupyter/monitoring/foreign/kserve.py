"""KServe's model server. It times the prediction of each request and does not count which ones failed."""

from __future__ import annotations

from urllib.parse import quote

from maas_jupyter.monitoring.foreign.asker import Asker, refusal
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

_PREDICT = "request_predict_seconds"

#: So many models are asked one by one whether they are ready; a server of this kind has one or a few.
_ASKED = 16

_SERIES = (_PREDICT, *PROCESS)


def read(text: str) -> Scrape:
    """Make counts of KServe's Prometheus text."""
    tally = Tally()
    for name, labels, value in series(text, _SERIES):
        if name in PROCESS:
            tally.process(name, value)
        else:
            add_duration(tally.of(labels.get("model_name", "")), name.removeprefix(f"{_PREDICT}_"), labels, value)
    return tally.scrape()


def models(ask: Asker, scrape: Scrape) -> list[ForeignModel]:
    """List models as V1 of the protocol does, each with its own word on whether it is ready."""
    answer = ask.get("/v1/models")
    if answer.status in (401, 403) or answer.leads_to:
        raise refusal(answer)
    listed = answer.json.get("models") if isinstance(answer.json, dict) else None
    if not isinstance(listed, list):
        return counted_models(scrape.models, unready(ask, "/v2/health/ready", "KServe"))
    names = [name for name in listed if isinstance(name, str)]
    return [_model(ask, name) for name in names[:_ASKED]] + [ForeignModel(name) for name in names[_ASKED:]]


def _model(ask: Asker, name: str) -> ForeignModel:
    trouble = unready(ask, f"/v1/models/{quote(name, safe='')}", f"The model '{name}'")
    return ForeignModel(name, "unavailable" if trouble else "ready", trouble)


KSERVE = Kind(
    name="KServe",
    marks=("request_predict_seconds", "request_preprocess_seconds", "request_postprocess_seconds"),
    series=_SERIES,
    places=(Place("/metrics"),),
    read=read,
    models=models,
    model_path="/v1/models/{name}",
    server_name="kserve",
    untold=("errors_per_second", "waiting", "batch_rows", "codes"),
)
