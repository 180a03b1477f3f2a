"""Our own API: what ``publish`` and ``stop`` speak, to a local server and to a remote one; and the metrics."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import msgspec
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter._version import __version__
from maas_jupyter.errors import NotFound
from maas_jupyter.schema import PublishRequest, ServerStatus
from maas_jupyter.serving.metrics import CONTENT_TYPE, Metrics
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import decode_body, json_response, read_body

_PUBLISH_LIMIT = 1024 * 1024
_DECODER = msgspec.json.Decoder(PublishRequest)


def routes(repository: ModelRepository, metrics: Metrics, stop: Callable[[], None] | None) -> list[Route]:
    """Return the routes; ``shutdown`` only where there is a way to stop."""
    started = time.time()
    store = repository.store

    async def status(request: Request) -> Response:
        models = [repository.status(name) for name in repository.names()]
        return json_response(ServerStatus(__version__, os.getpid(), started, models))

    async def bundle(request: Request) -> Response:
        digest = request.path_params["digest"]
        if not store.has(digest):
            raise NotFound(f"There is no bundle {digest[:12]} here.")
        return json_response({"digest": digest})

    async def upload(request: Request) -> Response:
        path = request.path_params
        await store.receive(path["digest"], path["file"], request.stream())
        return json_response({"file": path["file"]})

    async def commit(request: Request) -> Response:
        digest = request.path_params["digest"]
        await store.commit(digest)
        return json_response({"digest": digest})

    async def publish(request: Request) -> Response:
        body = await read_body(request.receive, _PUBLISH_LIMIT)
        wanted = decode_body(body, _DECODER, expected='{"version": ..., "digest": ...}')
        return json_response(await repository.publish(request.path_params["model"], wanted))

    async def withdraw(request: Request) -> Response:
        name = request.path_params["model"]
        await repository.withdraw(name)
        return json_response({"name": name})

    async def expose(request: Request) -> Response:
        return Response(metrics.text(), headers={"content-type": CONTENT_TYPE})

    async def shutdown(request: Request) -> Response:
        response = json_response({"stopping": True}, 202)
        response.background = BackgroundTask(stop) if stop else None
        return response

    found = [
        Route("/maas/v1/status", status),
        Route("/maas/v1/bundles/{digest}", bundle),
        Route("/maas/v1/bundles/{digest}/commit", commit, methods=["POST"]),
        Route("/maas/v1/bundles/{digest}/files/{file:path}", upload, methods=["PUT"]),
        Route("/maas/v1/models/{model}/publish", publish, methods=["POST"]),
        Route("/maas/v1/models/{model}", withdraw, methods=["DELETE"]),
        Route("/metrics", expose),
    ]
    return [*found, Route("/maas/v1/shutdown", shutdown, methods=["POST"])] if stop else found
