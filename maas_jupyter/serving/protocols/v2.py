"""The Open Inference Protocol V2 over REST."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive

from maas_jupyter._version import __version__
from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import TensorSpec
from maas_jupyter.serving.auth import Principal
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.direct import Handler
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import decode_body, encode_json, json_response, read_body
from maas_jupyter.serving.tensors import JsonTensor, decode_tensor, encode_tensor

_EXPECTED = '{"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'


class RequestedOutput(Struct):
    """An output that is asked for."""

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


class InferRequest(Struct):
    """Body of ``infer``."""

    inputs: list[JsonTensor]
    id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    outputs: list[RequestedOutput] = field(default_factory=list)


class InferResponse(Struct, omit_defaults=True):
    """Answer of ``infer``. ``outputs`` holds what `encode_tensor` returns."""

    model_name: str
    model_version: str
    outputs: list[dict[str, Any]]
    id: str | None = None


_DECODER = msgspec.json.Decoder(InferRequest)


def infer_handler(plane: DataPlane, body_limit: int) -> Handler:
    """Return what answers ``infer``."""

    async def infer(model: str, version: str | None, principal: Principal, receive: Receive) -> bytes:
        with plane.request(model, version, principal, "v2-rest") as call:
            message = decode_body(await read_body(receive, body_limit), _DECODER, expected=_EXPECTED)
            inputs = {tensor.name: decode_tensor(tensor) for tensor in message.inputs}
            if len(inputs) != len(message.inputs):
                raise InvalidInput("Two inputs of the request have the same name.")
            answer = await call.infer(inputs, [output.name for output in message.outputs])
            outputs = [encode_tensor(spec, array) for spec, array in answer.outputs]
            return encode_json(InferResponse(answer.model, answer.version, outputs, message.id))

    return infer


def routes(repository: ModelRepository) -> list[Route]:
    """Return the protocol's other routes."""

    async def metadata(request: Request) -> Response:
        path = request.path_params
        router = repository.router(path["model"])
        manifest = router.pick(path.get("version")).manifest
        return json_response(
            {
                "name": path["model"],
                "versions": list(router.versions),
                "platform": manifest.runtime,
                "inputs": [_tensor(spec) for spec in manifest.signature.inputs],
                "outputs": [_tensor(spec) for spec in manifest.signature.outputs],
            }
        )

    async def model_ready(request: Request) -> Response:
        path = request.path_params
        repository.router(path["model"]).pick(path.get("version"))
        return json_response({"name": path["model"], "ready": True})

    async def server(request: Request) -> Response:
        return json_response({"name": "maas-jupyter", "version": __version__, "extensions": []})

    async def live(request: Request) -> Response:
        return json_response({"live": True})

    async def ready(request: Request) -> Response:
        # The specification's own example answers with `live`, so some clients look for that.
        return json_response({"ready": repository.settled, "live": True}, 200 if repository.settled else 503)

    model, versioned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    return [
        Route(f"{model}/ready", model_ready),
        Route(f"{versioned}/ready", model_ready),
        Route(model, metadata),
        Route(versioned, metadata),
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
    ]


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
