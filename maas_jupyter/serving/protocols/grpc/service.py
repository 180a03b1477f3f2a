"""The Open Inference Protocol V2 over gRPC: the methods, and the server that listens for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import msgspec

from maas_jupyter._version import __version__
from maas_jupyter.errors import NotFound, Unavailable
from maas_jupyter.schema import ChangeRequest
from maas_jupyter.serving.auth import Authenticator
from maas_jupyter.serving.control.base import Control
from maas_jupyter.serving.dataplane import Call, DataPlane
from maas_jupyter.serving.exchange import off_loop
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols.grpc.gate import Gate, Incoming, describe
from maas_jupyter.serving.protocols.grpc.messages import MESSAGES, SERVICE
from maas_jupyter.serving.protocols.grpc.tensors import decode_inputs, encode_answer, parameters_of
from maas_jupyter.serving.protocols.repository_extension import check_parameters, index_rows
from maas_jupyter.serving.protocols.statistics import model_statistics
from maas_jupyter.serving.protocols.v2 import EXTENSIONS, model_config
from maas_jupyter.serving.protocols.v2_messages import seconds_of
from maas_jupyter.serving.repository import LoadedVersion, ModelRepository

#: How this protocol is called in the counts.
PROTOCOL = "v2-grpc"

#: The parameter of a stream's answers that says whether a request has no further ones.
_FINAL = "triton_final_response"


class Service:
    """Answers the protocol's messages.

    Parameters
    ----------
    plane : DataPlane
        Where models are asked.
    control : Control
        What loads and unloads.
    repository : ModelRepository
        What is in memory.
    """

    def __init__(self, plane: DataPlane, control: Control, repository: ModelRepository) -> None:
        self._plane = plane
        self._control = control
        self._repository = repository

    def handlers(self, gate: Gate) -> dict[str, grpc.RpcMethodHandler]:
        """Return the handler of each method by its name."""
        methods = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ServerMetadata": self.server_metadata,
            "ModelReady": self.model_ready,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelInfer": self.model_infer,
            "ModelStatistics": self.model_statistics,
            "RepositoryIndex": self.repository_index,
            "RepositoryModelLoad": self.repository_model_load,
            "RepositoryModelUnload": self.repository_model_unload,
        }
        found = {
            name: gate.unary(
                answer,
                MESSAGES[f"{name}Request"],
                probe=name in ("ServerLive", "ServerReady"),
                admin=name in ("RepositoryModelLoad", "RepositoryModelUnload"),
            )
            for name, answer in methods.items()
        }
        return {**found, "ModelStreamInfer": gate.stream(self.model_stream_infer, MESSAGES["ModelInferRequest"])}

    # -- the server ---------------------------------------------------------------------------------------------------

    async def server_live(self, request: Any, incoming: Incoming) -> Any:
        """Say that the server is there."""
        return MESSAGES["ServerLiveResponse"](live=True)

    async def server_ready(self, request: Any, incoming: Incoming) -> Any:
        """Say whether everything that should serve does, or failed."""
        return MESSAGES["ServerReadyResponse"](ready=self._repository.settled)

    async def server_metadata(self, request: Any, incoming: Incoming) -> Any:
        """Return the server's name, version and extensions."""
        return MESSAGES["ServerMetadataResponse"](name="maas-jupyter", version=__version__, extensions=EXTENSIONS)

    # -- models -------------------------------------------------------------------------------------------------------

    async def model_ready(self, request: Any, incoming: Incoming) -> Any:
        """Say whether a model or a version of it can answer; one that does not exist cannot."""
        try:
            self._find(request)
        except (NotFound, Unavailable):
            return MESSAGES["ModelReadyResponse"](ready=False)
        return MESSAGES["ModelReadyResponse"](ready=True)

    async def model_metadata(self, request: Any, incoming: Incoming) -> Any:
        """Return a model's versions and signature."""
        loaded = self._find(request)
        signature = loaded.manifest.signature
        response = MESSAGES["ModelMetadataResponse"](
            name=request.name,
            versions=list(self._repository.router(request.name).versions),
            platform=loaded.manifest.runtime,
        )
        for tensors, specs in ((response.inputs, signature.inputs), (response.outputs, signature.outputs)):
            for spec in specs:
                tensors.add(name=spec.name, datatype=spec.datatype, shape=spec.shape)
        return response

    async def model_config(self, request: Any, incoming: Incoming) -> Any:
        """Return a model's configuration, as load generators ask for it."""
        manifest = self._find(request).manifest
        versions = list(self._repository.router(request.name).versions)
        return _from_record("ModelConfigResponse", config=model_config(request.name, manifest, versions))

    async def model_statistics(self, request: Any, incoming: Incoming) -> Any:
        """Return what was counted of a model or a version; without a name, of all."""
        if request.name:
            self._find(request)
        names = [request.name] if request.name else self._repository.names()
        models = [self._repository.status(name) for name in names]
        rows = model_statistics(await self._control.counts(), models, request.version or None)
        return _from_record("ModelStatisticsResponse", model_stats=rows)

    def _find(self, request: Any) -> LoadedVersion:
        return self._repository.router(request.name).pick(request.version or None)

    # -- inference ----------------------------------------------------------------------------------------------------

    async def model_infer(self, request: Any, incoming: Incoming) -> Any:
        """Answer one request."""
        with self._request(request, incoming) as call:
            inputs = await off_loop(request.ByteSize(), decode_inputs, request)
            answer = await call.infer(inputs, [output.name for output in request.outputs])
            return await off_loop(answer.size, encode_answer, answer, request, call.manifest)

    def _request(self, request: Any, incoming: Incoming) -> Call:
        context = incoming.context(seconds_of(parameters_of(request)))
        return self._plane.request(request.model_name, request.model_version or None, context, PROTOCOL)

    async def model_stream_infer(self, requests: AsyncIterator[Any], incoming: Incoming) -> AsyncGenerator[Any, None]:
        """Answer requests one after the other; what is wrong with one is said in its answer and ends no other."""
        async for request in requests:
            try:
                async with aclosing(self._parts(request, incoming)) as parts:
                    async for part in parts:
                        yield MESSAGES["ModelStreamInferResponse"](infer_response=part)
            except Exception as error:  # noqa: BLE001 (told to the client, and logged where it is ours)
                response = MESSAGES["ModelStreamInferResponse"](error_message=describe(error, incoming)[1])
                response.infer_response.id = request.id
                yield response
            incoming.answered()

    async def _parts(self, request: Any, incoming: Incoming) -> AsyncGenerator[Any, None]:
        """Yield the answers to one request of a stream: the parts that a streaming runtime makes, else one.

        The last one says so; after parts, of which none is known to be the last, that is an empty one for those who
        ask for it.
        """
        with self._request(request, incoming) as call:
            inputs = await off_loop(request.ByteSize(), decode_inputs, request)
            outputs = [output.name for output in request.outputs]
            if not call.streams:
                answer = await call.infer(inputs, outputs)
                response = await off_loop(answer.size, encode_answer, answer, request, call.manifest)
                response.parameters[_FINAL].bool_param = True
                yield response
                return
            async with aclosing(call.stream(inputs, outputs)) as answers:
                version = ""
                async for answer in answers:
                    version = answer.version
                    response = await off_loop(answer.size, encode_answer, answer, request, call.manifest)
                    response.parameters[_FINAL].bool_param = False
                    yield response
            if parameters_of(request).get("triton_enable_empty_final_response"):
                response = MESSAGES["ModelInferResponse"](model_name=call.model, model_version=version, id=request.id)
                response.parameters[_FINAL].bool_param = True
                yield response

    # -- the repository -----------------------------------------------------------------------------------------------

    async def repository_index(self, request: Any, incoming: Incoming) -> Any:
        """Return every version of every model with its state; where it is asked for, of those that are ready."""
        rows = index_rows((await self._control.status()).models, ready=request.ready)
        return _from_record("RepositoryIndexResponse", models=rows)

    async def repository_model_load(self, request: Any, incoming: Incoming) -> Any:
        """Bring a known model back into memory."""
        check_parameters(request.parameters)
        name = _asked_model(request)
        await self._control.load(name, ChangeRequest(), incoming.principal.name)
        return MESSAGES["RepositoryModelLoadResponse"](model_name=name, isLoaded=True)

    async def repository_model_unload(self, request: Any, incoming: Incoming) -> Any:
        """Take a model out of memory."""
        check_parameters(request.parameters)
        name = _asked_model(request)
        await self._control.unload(name, ChangeRequest(), incoming.principal.name)
        return MESSAGES["RepositoryModelUnloadResponse"](model_name=name, isUnloaded=True)


def _asked_model(request: Any) -> str:
    """Return the model that is meant: KServe's schema has its name where Triton's has the repository's."""
    name: str = request.model_name or request.repository_name
    return name


def _from_record(message: str, **fields: Any) -> Any:
    """Return a message whose fields are those of REST's records; those that only REST knows are left out."""
    # Only those who ask for statistics or the configuration need it.
    from google.protobuf.json_format import ParseDict

    return ParseDict(msgspec.to_builtins(fields), MESSAGES[message](), ignore_unknown_fields=True)


@dataclass(frozen=True)
class GrpcServer:
    """A server that listens.

    Attributes
    ----------
    port : int
        Where.
    """

    port: int
    _server: grpc.aio.Server

    async def stop(self, seconds: float) -> None:
        """Take no more calls, and wait so long for those that are being answered."""
        await self._server.stop(seconds)


async def start(
    plane: DataPlane,
    control: Control,
    authenticate: Authenticator,
    address: str,
    *,
    repository: ModelRepository,
    limits: Limits,
    tls: tuple[Path, Path] | None = None,
) -> GrpcServer:
    """Listen for gRPC on the running event loop.

    Parameters
    ----------
    plane : DataPlane
        Where models are asked.
    control : Control
        What loads and unloads.
    authenticate : Authenticator
        Knows the tokens.
    address : str
        ``host:port``; several processes can listen on one. Port 0 takes a free one.
    repository : ModelRepository
        What is in memory.
    limits : Limits
        What one client may ask.
    tls : tuple of Path, optional
        Certificate chain and private key, PEM.

    Raises
    ------
    Unavailable
        If the address cannot be bound.
    """
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),
            ("grpc.max_receive_message_length", limits.body_bytes),
            ("grpc.max_send_message_length", -1),
        ]
    )
    service = Service(plane, control, repository)
    handlers = service.handlers(Gate(authenticate, limits))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    try:
        if tls is None:
            port = server.add_insecure_port(address)
        else:
            certificate, key = (path.read_bytes() for path in tls)
            port = server.add_secure_port(address, grpc.ssl_server_credentials([(key, certificate)]))
    except RuntimeError as error:
        raise Unavailable(
            f"{address} cannot be bound for gRPC.", hint="Use another --grpc-port; 0 for a free one."
        ) from error
    await server.start()
    return GrpcServer(port, server)
