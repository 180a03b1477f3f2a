"""vLLM. It counts the requests that reached its engine; those that were refused before are not among them."""

from __future__ import annotations

from maas_jupyter.monitoring.foreign.asker import Asker, refusal
from maas_jupyter.monitoring.foreign.kind import (
    ANSWERED,
    CANCELLED,
    FAILED,
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

_FINISHED = "vllm:request_success_total"
_LATENCY = "vllm:e2e_request_latency_seconds"
_WAITING = "vllm:num_requests_waiting"

#: Why a request ended, where that was not the end of its answer.
_CODES = {"abort": CANCELLED, "error": FAILED}

_SERIES = (_FINISHED, _LATENCY, _WAITING, *PROCESS)


def read(text: str) -> Scrape:
    """Make counts of vLLM's Prometheus text; its engines are counted together."""
    tally = Tally()
    for name, labels, value in series(text, _SERIES):
        if name in PROCESS:
            tally.process(name, value)
            continue
        model = labels.get("model_name", "")
        if name == _FINISHED:
            tally.of(model).by_code[_CODES.get(labels.get("finished_reason", ""), ANSWERED)] += int(value)
        elif name == _WAITING:
            tally.of(model).waiting += int(value)
        elif name.startswith(_LATENCY):
            add_duration(tally.of(model), name.removeprefix(f"{_LATENCY}_"), labels, value)
    return tally.scrape()


def models(ask: Asker, scrape: Scrape) -> list[ForeignModel]:
    """List the models that the OpenAI routes answer for; further names of one are counted with its first."""
    trouble = unready(ask, "/health", "vLLM")
    answer = ask.get("/v1/models")
    if answer.status in (401, 403) or answer.leads_to:
        raise refusal(answer)
    listed = answer.json.get("data") if isinstance(answer.json, dict) else None
    if not isinstance(listed, list):
        return counted_models(scrape.models, trouble)
    first: dict[str, str] = {}
    for row in listed:
        # Adapters have the model that they adapt as their parent, and are counted with it.
        if isinstance(row, dict) and isinstance(row.get("id"), str) and not row.get("parent"):
            first.setdefault(str(row.get("root") or row["id"]), row["id"])
    return counted_models(first.values(), trouble)


VLLM = Kind(
    name="vLLM",
    marks=("vllm:",),
    series=_SERIES,
    places=(Place("/metrics"),),
    read=read,
    models=models,
    model_path="/v1",
    untold=("batch_rows",),
)
