"""Triton's model repository extension over REST: what there is, and loading and unloading it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct, field, structs
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import ChangeRequest, ModelStatus, decoder
from maas_jupyter.serving.control.base import Control
from maas_jupyter.serving.exchange import read_body
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.responses import decode_body, json_response

_BODY_BYTES = 64 * 1024
_STATES = {"ready": "READY", "loading": "LOADING", "failed": "UNAVAILABLE", "unloaded": "UNAVAILABLE"}


class IndexRequest(Struct):
    """Body of ``POST /v2/repository/index``; an empty body is an empty object."""

    ready: bool = False


class IndexRow(Struct):
    """One version of the index; ``state`` is ``READY``, ``LOADING`` or ``UNAVAILABLE``."""

    name: str
    version: str
    state: str
    reason: str


class LoadRequest(Struct):
    """Body of ``load`` and ``unload``; an empty body is an empty object.

    Of the parameters that Triton knows, only ``unload_dependents`` is taken, and no model here has dependents.
    """

    parameters: dict[str, Any] = field(default_factory=dict)


_INDEX = decoder(IndexRequest)
_LOAD = decoder(LoadRequest)


def index_rows(models: Iterable[ModelStatus], *, ready: bool = False) -> list[IndexRow]:
    """Return every version of the models; with ``ready`` only those that answer."""
    return [
        IndexRow(model.name, row.version, _STATES[row.state], row.reason or ("" if row.state == "ready" else row.state))
        for model in models
        for row in model.versions
        if row.state == "ready" or not ready
    ]


def check_parameters(names: Iterable[str]) -> None:
    """Refuse what would change a model while it is loaded.

    Raises
    ------
    InvalidInput
        If a parameter is not one that is taken.
    """
    for name in names:
        if name != "unload_dependents":
            raise InvalidInput(
                f"The parameter '{name[:128]}' is not taken: a model is loaded as it was published.",
                hint="Publish a bundle to change a model.",
            )


def routes(control: Control, limits: Limits) -> list[Route]:
    """Return the extension's routes.

    Parameters
    ----------
    control : Control
        What loads and unloads.
    limits : Limits
        Of which ``body_seconds`` counts here; bodies are small.
    """
    limits = structs.replace(limits, body_bytes=_BODY_BYTES)

    async def index(request: Request) -> Response:
        body = await read_body(request.receive, limits)
        wanted = decode_body(body or b"{}", _INDEX, expected='{"ready": true}')
        status = await control.status()
        return json_response(index_rows(status.models, ready=wanted.ready))

    async def load(request: Request) -> Response:
        await _check(request)
        await control.load(request.path_params["model"], ChangeRequest(), request.scope["context"].principal.name)
        return json_response({})

    async def unload(request: Request) -> Response:
        await _check(request)
        await control.unload(request.path_params["model"], ChangeRequest(), request.scope["context"].principal.name)
        return json_response({})

    async def _check(request: Request) -> None:
        body = await read_body(request.receive, limits)
        check_parameters(decode_body(body or b"{}", _LOAD, expected='{"parameters": {}}').parameters)

    return [
        Route("/v2/repository/index", index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", load, methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", unload, methods=["POST"]),
    ]
