"""Triton's statistics of models: what was counted, in the shape that its clients read, over REST and over gRPC."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter.schema import ModelStatus
from maas_jupyter.serving.control.base import Control
from maas_jupyter.serving.counts import Counts, Served
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import json_response


class StatisticDuration(Struct):
    """How often something happened, and how many nanoseconds it took in all."""

    count: int = 0
    ns: int = 0


class InferStatistics(Struct):
    """The parts of a request.

    ``compute_infer`` holds the preprocessing too; ``compute_input`` and ``compute_output`` (decoding and encoding) are
    not measured on their own, and there is no cache.
    """

    success: StatisticDuration
    fail: StatisticDuration
    queue: StatisticDuration
    compute_infer: StatisticDuration
    compute_input: StatisticDuration = field(default_factory=StatisticDuration)
    compute_output: StatisticDuration = field(default_factory=StatisticDuration)
    cache_hit: StatisticDuration = field(default_factory=StatisticDuration)
    cache_miss: StatisticDuration = field(default_factory=StatisticDuration)


class ModelStatistics(Struct):
    """Statistics of one version.

    ``last_inference`` in milliseconds since the epoch, 0 before the first; ``inference_count`` in rows,
    ``execution_count`` in runs. ``batch_stats`` is empty: runs are not counted by their exact size.
    """

    name: str
    version: str
    last_inference: int
    inference_count: int
    execution_count: int
    inference_stats: InferStatistics
    batch_stats: list[StatisticDuration] = field(default_factory=list)


class Statistics(Struct):
    """Answer of ``GET /v2/models/stats``."""

    model_stats: list[ModelStatistics]


def model_statistics(
    counts: Counts, models: Iterable[ModelStatus], version: str | None = None
) -> list[ModelStatistics]:
    """Return the statistics of what is ready.

    Parameters
    ----------
    counts : Counts
        Of the whole server.
    models : iterable of ModelStatus
        The models that are meant.
    version : str, optional
        The version that is meant; default all.

    Returns
    -------
    list of ModelStatistics
        One for each version that is ready, counted or not.
    """
    requests = _requests(counts)
    return [
        _version_statistics(counts, (model.name, row.version), *requests.get((model.name, row.version), (0, 0)))
        for model in models
        for row in model.versions
        if row.state == "ready" and version in (None, row.version)
    ]


def _requests(counts: Counts) -> dict[Served, tuple[int, int]]:
    """Return how many requests of each version succeeded and failed."""
    found: dict[Served, tuple[int, int]] = {}
    for (model, version, _, code), number in counts.requests.items():
        succeeded, failed = found.get((model, version), (0, 0))
        if code == 200:
            succeeded += number
        else:
            failed += number
        found[model, version] = succeeded, failed
    return found


def _version_statistics(counts: Counts, served: Served, succeeded: int, failed: int) -> ModelStatistics:
    whole = counts.request_seconds.get(served)
    failed_seconds = counts.failed_seconds.get(served, 0.0)
    queue, runs = counts.queue_seconds.get(served), counts.inference_seconds.get(served)
    rows = counts.batch_rows.get(served)
    return ModelStatistics(
        *served,
        last_inference=round(counts.last_inference.get(served, 0.0) * 1000),
        inference_count=round(rows.total) if rows else 0,
        execution_count=runs.count if runs else 0,
        inference_stats=InferStatistics(
            success=StatisticDuration(succeeded, _ns((whole.total if whole else 0.0) - failed_seconds)),
            fail=StatisticDuration(failed, _ns(failed_seconds)),
            queue=StatisticDuration(queue.count, _ns(queue.total)) if queue else StatisticDuration(),
            compute_infer=StatisticDuration(runs.count, _ns(runs.total)) if runs else StatisticDuration(),
        ),
    )


def _ns(seconds: float) -> int:
    return max(0, round(seconds * 1e9))


def routes(repository: ModelRepository, control: Control) -> list[Route]:
    """Return the extension's routes. Mount them before V2's own, of which one would take ``stats`` for a model."""

    async def stats(request: Request) -> Response:
        path = request.path_params
        version = path.get("version")
        if "model" in path:
            models = [repository.status(path["model"])]
            if version is not None:
                repository.router(path["model"]).pick(version)
        else:
            models = [repository.status(name) for name in repository.names()]
        return json_response(Statistics(model_statistics(await control.counts(), models, version)))

    return [
        Route("/v2/models/stats", stats),
        Route("/v2/models/{model}/stats", stats),
        Route("/v2/models/{model}/versions/{version}/stats", stats),
    ]
