"""MLflow's scoring protocol: ``/invocations`` and its probes.

Predictions are a list with one item per row: the value of the only output, and otherwise a record with all outputs by
their names, so a classification gives ``{"label": ..., "scores": [...]}`` per row. A model whose outputs do not go by
rows answers with one object of all outputs.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import msgspec
import numpy as np
from msgspec import UNSET, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter._version import __version__
from maas_jupyter.errors import InvalidInput, Unavailable
from maas_jupyter.schema import Signature, decoder
from maas_jupyter.serving.dataplane import Answer, DataPlane
from maas_jupyter.serving.exchange import Exchange, Handler, Reply, off_loop
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols.mlflow_frames import SplitFrame, frame_inputs, from_csv, from_records, from_split
from maas_jupyter.serving.protocols.v1_values import decode_columns, decode_rows, encode_columns, encode_rows, has_rows
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import decode_body, encode_json

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_EXPECTED = '{"dataframe_split": {"columns": [...], "data": [[...]]}}, or dataframe_records, instances or inputs'

#: The header, and the parameter of the query, that name the model of ``/invocations``.
MODEL_HEADER, MODEL_PARAMETER = b"x-model", "model"


class ScoringRequest(Struct):
    """Body of ``/invocations``: exactly one of the four forms. ``params`` are taken and, as by MLflow, not used."""

    dataframe_split: SplitFrame | msgspec.UnsetType = UNSET
    dataframe_records: msgspec.Raw | msgspec.UnsetType = UNSET
    instances: msgspec.Raw | msgspec.UnsetType = UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = UNSET
    params: msgspec.Raw | msgspec.UnsetType = UNSET


class ScoringResponse(Struct):
    """Answer of ``/invocations``."""

    predictions: Any


_DECODER = decoder(ScoringRequest)


def invocations_handler(plane: DataPlane) -> Handler:
    """Return what answers ``/invocations``."""

    async def invocations(exchange: Exchange, model: str, version: str | None) -> Reply:
        with plane.request(model, version, exchange.context, "mlflow") as call:
            kind = _content_type(exchange.header(b"content-type"))
            body = await exchange.body()
            answer = await call.infer(await off_loop(len(body), _decode, body, kind, call.manifest.signature))
            return await off_loop(answer.size, _encode, answer)

    return invocations


def _content_type(header: bytes) -> str:
    kind, _, parameters = header.decode("latin-1").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if kind.strip() not in ("application/json", "text/csv") or charset not in ("", "utf-8"):
        raise HTTPException(
            415,
            f"The content type '{header[:100].decode('latin-1')}' is not read here; send application/json or text/csv.",
        )
    return kind.strip()


def _decode(body: bytes, kind: str, signature: Signature) -> dict[str, np.ndarray]:
    if kind == "text/csv":
        return frame_inputs(from_csv(body), signature)
    message = decode_body(body, _DECODER, expected=_EXPECTED)
    if message.params is not UNSET and bytes(message.params)[:1] not in b"{n":
        raise InvalidInput("'params' must be an object.", hint=f"Expected: {_EXPECTED}")
    given = [form for form in _FORMS if getattr(message, form) is not UNSET]
    if len(given) != 1:
        raise InvalidInput(
            f"The body must have exactly one of {', '.join(_FORMS)}; it has {', '.join(given) or 'none'}.",
            hint=f"Expected: {_EXPECTED}",
        )
    if message.dataframe_split is not UNSET:
        return frame_inputs(from_split(message.dataframe_split), signature)
    if message.dataframe_records is not UNSET:
        return frame_inputs(from_records(message.dataframe_records), signature)
    if message.instances is not UNSET:
        return decode_rows(message.instances, signature)
    assert message.inputs is not UNSET
    return decode_columns(message.inputs, signature)


def _encode(answer: Answer) -> Reply:
    predictions = encode_rows(answer) if has_rows(answer) else encode_columns(answer)
    return Reply(encode_json(ScoringResponse(predictions)))


def choose_model(repository: ModelRepository, named: str) -> str:
    """Return the model that ``/invocations`` means: the one that is named, else the only one.

    Raises
    ------
    InvalidInput
        If none is named and there is more than one; names them.
    Unavailable
        If there is none at all.
    """
    if named:
        return named
    names = repository.names()
    if not names:
        raise Unavailable("No model is published here yet.", hint="Publish one: %maas publish NAME")
    if len(names) > 1:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise InvalidInput(
            f"There are several models here: {shown}.",
            hint="Name one: POST /models/NAME/invocations, /invocations?model=NAME, or the header X-Model: NAME.",
        )
    return names[0]


def routes(plane: DataPlane, handler: Handler, limits: Limits) -> list[Route]:
    """Return the protocol's other routes.

    Parameters
    ----------
    plane : DataPlane
        The models.
    handler : Handler
        What `invocations_handler` returned; here it is reached without a model in the path.
    limits : Limits
        For the bodies.
    """
    repository = plane.repository

    async def invocations(request: Request) -> Response:
        scope = request.scope
        exchange = Exchange(scope, request.receive, dict(scope["headers"]), scope["context"], limits)
        query = parse_qs(scope["query_string"].decode("latin-1")).get(MODEL_PARAMETER, [""])[0]
        model = choose_model(repository, query or exchange.header(MODEL_HEADER).decode("latin-1"))
        return (await exchange.encoded(await handler(exchange, model, None))).response()

    async def ping(request: Request) -> Response:
        return Response("\n", 200 if repository.settled else 503, media_type="application/json")

    async def version(request: Request) -> Response:
        return Response(__version__, media_type="text/plain")

    return [
        Route("/invocations", invocations, methods=["POST"]),
        Route("/ping", ping),
        Route("/health", ping),
        Route("/version", version),
    ]
