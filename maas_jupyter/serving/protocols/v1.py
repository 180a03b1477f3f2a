"""TensorFlow Serving's V1 over REST: ``:predict``, status and list; the latter two suit KServe and OpenAI clients."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import Signature, TensorSpec, VersionStatus
from maas_jupyter.serving.auth import Principal
from maas_jupyter.serving.dataplane import Answer, DataPlane
from maas_jupyter.serving.direct import Handler
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import decode_body, encode_json, json_response, read_body
from maas_jupyter.serving.tensors import decode_values, to_lists

_EXPECTED = '{"instances": [...]} with one item per row, or {"inputs": ...} with one item per input'
_SIGNATURE_NAMES = (None, "", "serving_default")
_STATES = {"loading": "LOADING", "ready": "AVAILABLE", "failed": "END"}


class PredictRequest(Struct):
    """Body of ``:predict``; exactly one of ``instances`` (rows) and ``inputs`` (columns)."""

    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    signature_name: str | None = None


_DECODER = msgspec.json.Decoder(PredictRequest)
_ROWS = msgspec.json.Decoder(list[dict[str, msgspec.Raw]])
_COLUMNS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def predict_handler(plane: DataPlane, body_limit: int) -> Handler:
    """Return what answers ``:predict``."""

    async def predict(model: str, version: str | None, principal: Principal, receive: Receive) -> bytes:
        with plane.request(model, version, principal, "v1-rest") as call:
            message = decode_body(await read_body(receive, body_limit), _DECODER, expected=_EXPECTED)
            if message.signature_name not in _SIGNATURE_NAMES:
                raise InvalidInput(
                    f"There is no signature '{message.signature_name[:128]}'.", hint="Leave signature_name out."
                )
            rows, columns, signature = message.instances, message.inputs, call.manifest.signature
            if rows is not msgspec.UNSET and columns is msgspec.UNSET:
                answer = await call.infer(_decode_rows(rows, signature))
                return encode_json({"predictions": _encode_rows(answer)})
            if columns is not msgspec.UNSET and rows is msgspec.UNSET:
                answer = await call.infer(_decode_columns(columns, signature))
                return encode_json({"outputs": _encode_columns(answer)})
            raise InvalidInput("The body must have either 'instances' or 'inputs'.", hint=f"Expected: {_EXPECTED}")

    return predict


def routes(repository: ModelRepository) -> list[Route]:
    """Return the protocol's other routes."""

    async def status(request: Request) -> Response:
        path = request.path_params
        rows = repository.status(path["model"]).versions
        if "version" in path:
            chosen = [row for row in rows if row.version == path["version"]]
            if not chosen:
                repository.router(path["model"]).pick(path["version"])
            rows = chosen
        return json_response(
            {
                **_openai(path["model"]),
                "name": path["model"],
                "ready": any(row.state == "ready" for row in rows),
                "model_version_status": [_version_status(row) for row in rows],
            }
        )

    async def models(request: Request) -> Response:
        names = repository.names()
        return json_response({"models": names, "object": "list", "data": [_openai(name) for name in names]})

    async def alive(request: Request) -> Response:
        return json_response({"status": "alive"})

    model, versioned = "/v1/models/{model}", "/v1/models/{model}/versions/{version}"
    return [
        Route(model, status),
        Route(versioned, status),
        Route("/v1/models", models),
        Route("/", alive),
    ]


def _openai(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "maas-jupyter"}


def _version_status(row: VersionStatus) -> dict[str, Any]:
    code = "UNKNOWN" if row.state == "failed" else "OK"
    return {
        "version": row.version,
        "state": _STATES[row.state],
        "status": {"error_code": code, "error_message": row.reason},
    }


def _where(spec: TensorSpec) -> str:
    return f"Input '{spec.name}' (expected {spec.datatype}{spec.shape})"


def _check_names(names: set[str], signature: Signature) -> None:
    expected = {spec.name for spec in signature.inputs}
    if names != expected:
        raise InvalidInput(f"The model takes the inputs {sorted(expected)}, but the request has {sorted(names)}.")


def _decode_rows(raw: msgspec.Raw, signature: Signature) -> dict[str, np.ndarray]:
    """Decode the row format: a list of values for a model with one input, or of objects with one value per input."""
    specs = signature.inputs
    if not bytes(memoryview(raw)[1:64]).lstrip().startswith(b"{"):
        if len(specs) != 1:
            raise InvalidInput(
                f"Each item of 'instances' must be an object with the inputs {[spec.name for spec in specs]}."
            )
        return {specs[0].name: decode_values(raw, specs[0].datatype, len(specs[0].shape), where=_where(specs[0]))}
    rows = decode_body(raw, _ROWS, expected='"instances": [{"INPUT": value, ...}, ...]')
    for row in rows:
        _check_names(set(row), signature)
    return {spec.name: _stack([row[spec.name] for row in rows], spec) for spec in specs}


def _stack(values: list[msgspec.Raw], spec: TensorSpec) -> np.ndarray:
    rows = [decode_values(raw, spec.datatype, len(spec.shape) - 1, where=_where(spec)) for raw in values]
    shapes = {row.shape for row in rows}
    if len(shapes) > 1:
        raise InvalidInput(f"{_where(spec)}: the rows have the different shapes {sorted(map(list, shapes))[:4]}.")
    return np.stack(rows)


def _decode_columns(raw: msgspec.Raw, signature: Signature) -> dict[str, np.ndarray]:
    """Decode the column format: one value for a model with one input, or an object with one value per input."""
    specs = signature.inputs
    if bytes(memoryview(raw)[:1]) != b"{":
        if len(specs) != 1:
            raise InvalidInput(f"'inputs' must be an object with the inputs {[spec.name for spec in specs]}.")
        columns = {specs[0].name: raw}
    else:
        columns = decode_body(raw, _COLUMNS, expected='"inputs": {"INPUT": values, ...}')
        _check_names(set(columns), signature)
    return {
        spec.name: decode_values(columns[spec.name], spec.datatype, len(spec.shape), where=_where(spec))
        for spec in specs
    }


def _encode_columns(answer: Answer) -> Any:
    columns = {spec.name: to_lists(spec.name, array) for spec, array in answer.outputs}
    return next(iter(columns.values())) if len(columns) == 1 else columns


def _encode_rows(answer: Answer) -> list[Any]:
    sizes = {array.shape[0] if array.ndim else None for _, array in answer.outputs}
    if len(sizes) != 1 or None in sizes:
        raise InvalidInput(
            "The model's outputs do not have one item per row.", hint="Use the column format: 'inputs' for 'instances'."
        )
    columns = _encode_columns(answer)
    if not isinstance(columns, dict):
        return columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
