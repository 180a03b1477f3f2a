"""TensorFlow Serving's V1 over REST; its status and list suit KServe's and OpenAI's clients too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from maas_jupyter.errors import InvalidInput, NotFound, nearest
from maas_jupyter.schema import Manifest, TensorSpec, VersionStatus, decoder
from maas_jupyter.serving.dataplane import Answer, DataPlane, labelled
from maas_jupyter.serving.exchange import Exchange, Reply, off_loop
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols.v1_examples import (
    ExamplesRequest,
    decode_examples,
    encode_classes,
    encode_numbers,
    output_of,
)
from maas_jupyter.serving.protocols.v1_values import decode_columns, decode_rows, encode_columns, encode_rows
from maas_jupyter.serving.repository import ModelRepository
from maas_jupyter.serving.responses import decode_body, encode_json, json_response

_EXPECTED = '{"instances": [...]} with one item per row, or {"inputs": ...} with one item per input'
_EXPECTED_EXAMPLES = '{"examples": [{"INPUT": value, ...}, ...]}'
_SIGNATURE = "serving_default"
_STATES = {"loading": "LOADING", "ready": "AVAILABLE", "failed": "END", "unloaded": "END"}
_TENSORFLOW_TYPES = {
    "BOOL": "DT_BOOL",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}


class PredictRequest(Struct):
    """Body of ``:predict``; exactly one of ``instances`` (rows) and ``inputs`` (columns)."""

    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    signature_name: str | None = None


class PredictResponse(Struct):
    """Answer of ``:predict``: ``predictions`` by rows, or ``outputs`` by columns, as the request was."""

    predictions: list[Any] | msgspec.UnsetType = msgspec.UNSET
    outputs: Any | msgspec.UnsetType = msgspec.UNSET


class ErrorStatus(Struct):
    """Why a version does not answer; ``error_code`` is ``OK`` where it does."""

    error_code: str
    error_message: str


class ModelVersionStatus(Struct):
    """State of one version: ``LOADING``, ``AVAILABLE`` or ``END``."""

    version: str
    state: str
    status: ErrorStatus


class OpenAIModel(Struct):
    """A model as OpenAI's clients read it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "maas-jupyter"


class V1Status(OpenAIModel, kw_only=True):
    """Answer of ``GET /v1/models/{model}``: TensorFlow Serving's status, KServe's, and OpenAI's model in one."""

    name: str
    ready: bool
    model_version_status: list[ModelVersionStatus]


class V1Models(Struct):
    """Answer of ``GET /v1/models``: KServe's list and OpenAI's in one."""

    models: list[str]
    data: list[OpenAIModel]
    object: str = "list"


class ModelSpec(Struct):
    """Which model a `V1Metadata` is of."""

    name: str
    signature_name: str
    version: str


class V1Metadata(Struct):
    """Answer of ``GET /v1/models/{model}/metadata``, in the JSON of TensorFlow's SignatureDef."""

    model_spec: ModelSpec
    metadata: dict[str, Any]


_PREDICT = decoder(PredictRequest)
_EXAMPLES = decoder(ExamplesRequest)

#: A `Handler` that also takes the label of a version.
LabelledHandler = Callable[..., Awaitable[Reply]]


def handlers(plane: DataPlane) -> dict[str, LabelledHandler]:
    """Return what answers the verbs, by the end of their paths."""

    def handler(read: Callable[[bytes, Manifest], _Question]) -> LabelledHandler:
        async def handle(exchange: Exchange, model: str, version: str | None, label: str | None = None) -> Reply:
            with plane.request(model, version, exchange.context, "v1-rest", label) as call:
                body = await exchange.body()
                question = await off_loop(len(body), read, body, call.manifest)
                answer = await call.infer(question.inputs, question.outputs)
                return await off_loop(answer.size, lambda: Reply(encode_json(question.write(answer))))

        return handle

    return {":predict": handler(_predict), ":classify": handler(_classify), ":regress": handler(_regress)}


class _Question(NamedTuple):
    """What a body asks for, and what makes the answer's body of its answer."""

    inputs: dict[str, np.ndarray]
    outputs: list[str] | None
    write: Callable[[Answer], Any]


def _predict(body: bytes, manifest: Manifest) -> _Question:
    message = decode_body(body, _PREDICT, expected=_EXPECTED)
    _check_signature(message.signature_name)
    rows, columns, signature = message.instances, message.inputs, manifest.signature
    if rows is not msgspec.UNSET and columns is msgspec.UNSET:
        return _Question(
            decode_rows(rows, signature), None, lambda answer: PredictResponse(predictions=encode_rows(answer))
        )
    if columns is not msgspec.UNSET and rows is msgspec.UNSET:
        return _Question(
            decode_columns(columns, signature), None, lambda answer: PredictResponse(outputs=encode_columns(answer))
        )
    raise InvalidInput("The body must have either 'instances' or 'inputs'.", hint=f"Expected: {_EXPECTED}")


def _classify(body: bytes, manifest: Manifest) -> _Question:
    output = output_of(manifest, "classify")
    return _Question(_examples(body, manifest), [output.name], lambda answer: encode_classes(answer, manifest.labels))


def _regress(body: bytes, manifest: Manifest) -> _Question:
    output = output_of(manifest, "regress")
    return _Question(_examples(body, manifest), [output.name], encode_numbers)


def _examples(body: bytes, manifest: Manifest) -> dict[str, np.ndarray]:
    message = decode_body(body, _EXAMPLES, expected=_EXPECTED_EXAMPLES)
    _check_signature(message.signature_name)
    return decode_examples(message, manifest.signature)


def _check_signature(name: str | None) -> None:
    if name not in (None, "", _SIGNATURE):
        raise InvalidInput(f"There is no signature '{name[:128]}'.", hint="Leave signature_name out.")


def routes(plane: DataPlane, verbs: dict[str, LabelledHandler], limits: Limits) -> list[Route]:
    """Return the protocol's other routes.

    Parameters
    ----------
    plane : DataPlane
        The models.
    verbs : dict of str to LabelledHandler
        What `handlers` returned; here they are reached by label.
    limits : Limits
        For the bodies.
    """
    repository = plane.repository

    async def status(request: Request) -> Response:
        name = request.path_params["model"]
        version = _version(repository, request)
        rows = [row for row in repository.status(name).versions if version in (None, row.version)]
        if version is not None and not rows:
            known = [row.version for row in repository.status(name).versions]
            raise NotFound(
                f"Model '{name}' has no version '{version[:128]}' here.",
                hint=nearest(version[:128], known, what="versions", otherwise="No version is served."),
            )
        return json_response(
            V1Status(
                id=name,
                name=name,
                ready=any(row.state == "ready" for row in rows),
                model_version_status=[_version_status(row) for row in rows],
            )
        )

    async def metadata(request: Request) -> Response:
        name = request.path_params["model"]
        loaded = repository.router(name).pick(_version(repository, request))
        return json_response(_metadata(name, loaded.version, loaded.manifest))

    async def models(request: Request) -> Response:
        names = repository.names()
        return json_response(V1Models(names, [OpenAIModel(name) for name in names]))

    async def alive(request: Request) -> Response:
        return json_response({"status": "alive"})

    def by_label(handler: LabelledHandler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            path, scope = request.path_params, request.scope
            exchange = Exchange(scope, request.receive, dict(scope["headers"]), scope["context"], limits)
            return (await exchange.encoded(await handler(exchange, path["model"], None, path["label"]))).response()

        return answer

    model = "/v1/models/{model}"
    found = [
        Route(f"{model}/labels/{{label}}{verb}", by_label(handler), methods=["POST"]) for verb, handler in verbs.items()
    ]
    for path in (model, f"{model}/versions/{{version}}", f"{model}/labels/{{label}}"):
        found += [Route(f"{path}/metadata", metadata), Route(path, status)]
    return [*found, Route("/v1/models", models), Route("/", alive)]


def _version(repository: ModelRepository, request: Request) -> str | None:
    """Return the version that a path names, by its label perhaps."""
    path = request.path_params
    if "label" in path:
        if ":" in path["label"]:  # no label has one: this is a verb, and not posted
            raise HTTPException(405, headers={"Allow": "POST"})
        return labelled(repository.model(path["model"]), path["label"])
    return path.get("version")


def _version_status(row: VersionStatus) -> ModelVersionStatus:
    code = "UNKNOWN" if row.state == "failed" else "OK"
    return ModelVersionStatus(row.version, _STATES[row.state], ErrorStatus(code, row.reason))


def _metadata(name: str, version: str, manifest: Manifest) -> V1Metadata:
    definition = {
        "inputs": {spec.name: _tensor_info(spec) for spec in manifest.signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in manifest.signature.outputs},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    return V1Metadata(ModelSpec(name, "", version), {"signature_def": {"signature_def": {_SIGNATURE: definition}}})


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    return {
        "dtype": _TENSORFLOW_TYPES.get(spec.datatype, f"DT_{spec.datatype}"),
        "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in spec.shape], "unknown_rank": False},
        "name": spec.name,
    }
