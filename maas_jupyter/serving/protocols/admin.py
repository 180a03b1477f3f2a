"""The admin API: the control plane over HTTP, the uploads of bundles, and ``/metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter.errors import InvalidInput, NotFound
from maas_jupyter.schema import ChangeRequest, ModelStatus, PublishRequest, UploadState, decoder
from maas_jupyter.serving.control.base import Control
from maas_jupyter.serving.exchange import read_body
from maas_jupyter.serving.metrics import CONTENT_TYPE, render
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.responses import decode_body, json_response
from maas_jupyter.serving.store import BundleStore
from maas_jupyter.serving.uploads import OffsetConflict

#: Most lines of the log in one answer.
MOST_LINES = 10_000

_BODY_BYTES = 1024 * 1024
_PUBLISH = decoder(PublishRequest)
_CHANGE = decoder(ChangeRequest)

Change = Callable[[str, ChangeRequest, str], Awaitable[ModelStatus]]


def routes(
    control: Control,
    store: BundleStore,
    stop: Callable[[], None] | None,
    limits: Limits,
    *,
    chunk_seconds: float = 60.0,
) -> list[Route]:
    """Return the routes.

    Parameters
    ----------
    control : Control
        What changes the server.
    store : BundleStore
        Where bundles are received.
    stop : callable, optional
        Ends the server; called after ``POST /maas/v1/shutdown`` was answered. Without it that route does not exist.
    limits : Limits
        Of which ``body_seconds`` counts here, uploads apart; their other bodies are small.
    chunk_seconds : float
        How long the next bytes of an upload may take to arrive.
    """
    return [
        *_bundle_routes(control, store, chunk_seconds),
        *_model_routes(control, msgspec.structs.replace(limits, body_bytes=_BODY_BYTES)),
        *_server_routes(control, stop),
    ]


def _bundle_routes(control: Control, store: BundleStore, chunk_seconds: float) -> list[Route]:
    async def bundle(request: Request) -> Response:
        digest = request.path_params["digest"]
        if not store.has(digest):
            raise NotFound(f"There is no bundle {digest[:12]} here.")
        return json_response({"digest": digest})

    async def arrived(request: Request) -> Response:
        return _upload_state(store.uploads.state(request.path_params["digest"], request.path_params["file"]))

    async def append(request: Request) -> Response:
        path = request.path_params
        chunks = _timely(request.stream(), chunk_seconds)
        try:
            return _upload_state(await store.uploads.receive(path["digest"], path["file"], _offset(request), chunks))
        except OffsetConflict as error:
            response = json_response({"error": str(error)}, 409)
            response.headers["Upload-Offset"] = str(error.offset)
            return response

    async def commit(request: Request) -> Response:
        digest = request.path_params["digest"]
        await control.commit(digest)
        return json_response({"digest": digest})

    file = "/maas/v1/bundles/{digest}/files/{file:path}"
    return [
        Route("/maas/v1/bundles/{digest}", bundle),
        Route("/maas/v1/bundles/{digest}/commit", commit, methods=["POST"]),
        Route(file, arrived),
        Route(file, append, methods=["PATCH"]),
    ]


def _model_routes(control: Control, limits: Limits) -> list[Route]:
    def change(operation: Change) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            body = await read_body(request.receive, limits)
            wanted = decode_body(body or b"{}", _CHANGE, expected='{"user": ..., "reason": ...}, or nothing')
            return json_response(await operation(request.path_params["model"], wanted, _by(request)))

        return endpoint

    async def publish(request: Request) -> Response:
        body = await read_body(request.receive, limits)
        wanted = decode_body(body, _PUBLISH, expected='{"version": ..., "digest": ...}')
        return json_response(await control.publish(request.path_params["model"], wanted, _by(request)))

    async def unpublish(name: str, wanted: ChangeRequest, by: str) -> ModelStatus:
        await control.unpublish(name, wanted, by)
        return ModelStatus(name, [])

    async def status(request: Request) -> Response:
        return json_response(await control.model_status(request.path_params["model"]))

    async def history(request: Request) -> Response:
        return json_response(await control.history(request.path_params["model"]))

    model = "/maas/v1/models/{model}"
    return [
        Route(model, status),
        Route(model, change(unpublish), methods=["DELETE"]),
        Route(f"{model}/publish", publish, methods=["POST"]),
        Route(f"{model}/promote", change(control.promote), methods=["POST"]),
        Route(f"{model}/rollback", change(control.rollback), methods=["POST"]),
        Route(f"{model}/unpublish", change(unpublish), methods=["POST"]),
        Route(f"{model}/load", change(control.load), methods=["POST"]),
        Route(f"{model}/unload", change(control.unload), methods=["POST"]),
        Route(f"{model}/history", history),
    ]


def _server_routes(control: Control, stop: Callable[[], None] | None) -> list[Route]:
    async def status(request: Request) -> Response:
        return json_response(await control.status())

    async def logs(request: Request) -> Response:
        text = request.query_params.get("lines", "20")
        if not text.isascii() or not text.isdigit() or not 0 < int(text[:9]) <= MOST_LINES:
            raise InvalidInput(f"lines must be a number from 1 to {MOST_LINES}, not '{text[:40]}'.")
        return json_response({"lines": await control.logs(int(text))})

    async def expose(request: Request) -> Response:
        return Response(render(await control.counts()), headers={"content-type": CONTENT_TYPE})

    async def shutdown(request: Request) -> Response:
        return Response(
            b'{"stopping":true}', 202, media_type="application/json", background=BackgroundTask(stop) if stop else None
        )

    found = [
        Route("/maas/v1/status", status),
        Route("/maas/v1/logs", logs),
        Route("/metrics", expose),
    ]
    return [*found, Route("/maas/v1/shutdown", shutdown, methods=["POST"])] if stop else found


def _by(request: Request) -> str:
    name: str = request.scope["context"].principal.name
    return name


def _offset(request: Request) -> int:
    text = request.headers.get("upload-offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise InvalidInput(
            "The header Upload-Offset is missing or no number.",
            hint="It says at which byte of the file the body begins.",
        )
    return int(text)


def _upload_state(state: UploadState) -> Response:
    response = json_response(state)
    response.headers["Upload-Offset"] = str(state.offset)
    return response


async def _timely(chunks: AsyncIterator[bytes], seconds: float) -> AsyncIterator[bytes]:
    """Pass chunks on; a sender that stalls must not keep its file locked for others."""
    while True:
        try:
            yield await asyncio.wait_for(chunks.__anext__(), seconds)
        except StopAsyncIteration:
            return
        except asyncio.TimeoutError:
            raise HTTPException(408, f"No bytes arrived for {seconds:.0f} s.") from None
