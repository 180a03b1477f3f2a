"""The Open Inference Protocol V2 over REST, with Triton's model configuration."""

from __future__ import annotations

import time
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter._version import __version__
from maas_jupyter.schema import Manifest, TensorSpec
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.exchange import Exchange, Handler, Reply, off_loop
from maas_jupyter.serving.protocols.v2_messages import LENGTH_HEADER, read_request, seconds_of, write_response
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import json_response

#: What Triton calls the parts of its protocol that this server has.
EXTENSIONS = [
    "classification",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "statistics",
    "binary_tensor_data",
    "parameters",
]


class ServerMetadata(Struct):
    """Answer of ``GET /v2``."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(Struct):
    """Answer of ``GET /v2/health/live``."""

    live: bool


class ServerReady(Struct):
    """Answer of ``GET /v2/health/ready``; ``live`` is what the specification's own example shows."""

    ready: bool
    live: bool


class ModelReady(Struct):
    """Answer of ``GET /v2/models/{model}/ready``."""

    name: str
    ready: bool


class ModelMetadata(Struct):
    """Answer of ``GET /v2/models/{model}``: its versions, and what the one that was asked for takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class TensorConfig(Struct):
    """A tensor in a `ModelConfig`; ``dims`` without the axis of the batch where the model has one."""

    name: str
    data_type: str
    dims: list[int]


class ModelConfig(Struct):
    """Answer of ``GET /v2/models/{model}/config``; ``max_batch_size`` is 0 where rows are not batched."""

    name: str
    platform: str
    backend: str
    max_batch_size: int
    input: list[TensorConfig]
    output: list[TensorConfig]
    version_policy: dict[str, Any]
    dynamic_batching: dict[str, Any]


def infer_handler(plane: DataPlane) -> Handler:
    """Return what answers ``infer``."""

    async def infer(exchange: Exchange, model: str, version: str | None) -> Reply:
        context = exchange.context
        with plane.request(model, version, context, "v2-rest") as call:
            body = await exchange.body()
            length, manifest = exchange.header(LENGTH_HEADER), call.manifest
            message, inputs = await off_loop(len(body), read_request, body, length, manifest.signature)
            if message.parameters and (seconds := seconds_of(message.parameters)) is not None:
                deadline = time.monotonic() + seconds
                context.deadline = min(deadline, context.deadline) if context.deadline else deadline
            answer = await call.infer(inputs, [output.name for output in message.outputs])
            return await off_loop(answer.size, write_response, message, answer, manifest)

    return infer


def model_config(name: str, manifest: Manifest, versions: list[str]) -> ModelConfig:
    """Return what Triton's clients want to know of a model."""
    signature = manifest.signature
    batched = all(spec.shape[:1] == [-1] for spec in (*signature.inputs, *signature.outputs))

    def tensors(specs: list[TensorSpec]) -> list[TensorConfig]:
        return [
            TensorConfig(
                spec.name,
                "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}",
                spec.shape[1:] if batched else spec.shape,
            )
            for spec in specs
        ]

    return ModelConfig(
        name,
        platform=f"{manifest.runtime}_{manifest.precision}",
        backend=manifest.runtime,
        max_batch_size=manifest.max_batch if batched else 0,
        input=tensors(signature.inputs),
        output=tensors(signature.outputs),
        version_policy={"specific": {"versions": versions}},
        dynamic_batching={},
    )


def routes(repository: ModelRepository) -> list[Route]:
    """Return the protocol's other routes."""

    async def metadata(request: Request) -> Response:
        path = request.path_params
        router = repository.router(path["model"])
        manifest = router.pick(path.get("version")).manifest
        signature = manifest.signature
        versions = list(router.versions)
        return json_response(
            ModelMetadata(path["model"], versions, manifest.runtime, signature.inputs, signature.outputs)
        )

    async def config(request: Request) -> Response:
        path = request.path_params
        router = repository.router(path["model"])
        manifest = router.pick(path.get("version")).manifest
        return json_response(model_config(path["model"], manifest, list(router.versions)))

    async def model_ready(request: Request) -> Response:
        path = request.path_params
        repository.router(path["model"]).pick(path.get("version"))
        return json_response(ModelReady(path["model"], True))

    async def server(request: Request) -> Response:
        return json_response(ServerMetadata("maas-jupyter", __version__, EXTENSIONS))

    async def live(request: Request) -> Response:
        return json_response(ServerLive(True))

    async def ready(request: Request) -> Response:
        return json_response(ServerReady(repository.settled, True), 200 if repository.settled else 503)

    model, versioned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
    return [
        Route(f"{model}/ready", model_ready),
        Route(f"{versioned}/ready", model_ready),
        Route(f"{model}/config", config),
        Route(f"{versioned}/config", config),
        Route(model, metadata),
        Route(versioned, metadata),
        Route("/v2", server),
        Route("/v2/health/live", live),
        Route("/v2/health/ready", ready),
    ]
