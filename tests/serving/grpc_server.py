"""A gRPC server on a repository of its own, on an event loop in a thread beside the test."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time

import grpc
import numpy as np
from bundles import Bundles
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceStub

from maas_jupyter.schema import ServedModel, ServedVersion, ServerStatus
from maas_jupyter.serving.auth import Authenticator, Principal
from maas_jupyter.serving.binary import decode_binary, encode_binary
from maas_jupyter.serving.dataplane import DataPlane
from maas_jupyter.serving.metrics import Metrics
from maas_jupyter.serving.options import Limits
from maas_jupyter.serving.protocols.grpc.service import start
from maas_jupyter.serving.repository import ModelRepository

TOKENS = {"the-token-of-an-admin": Principal("ann", "admin"), "the-token-of-a-reader": Principal("rob", "predict")}


class RepositoryControl:
    """The control plane's part of loading and looking, straight on one repository."""

    def __init__(self, repository):
        self.repository = repository
        self.asked = []

    async def load(self, name, request, by):
        return await self._set(name, True, by)

    async def unload(self, name, request, by):
        return await self._set(name, False, by)

    async def _set(self, name, loaded, by):
        self.asked.append((name, loaded, by))
        model = self.repository.model(name)
        await self.repository.apply(ServedModel(name, model.versions, loaded=loaded), [])
        return self.repository.status(name)

    async def status(self):
        rows = [self.repository.status(name) for name in self.repository.names()]
        return ServerStatus("0", 1, 0.0, rows)

    async def counts(self):
        return await self.repository.counts()


class GrpcRig:
    """Starts the server; everything here is called from the test's thread."""

    def __init__(self, home, *, limits=None, tls=None, new_loop=asyncio.new_event_loop, address="127.0.0.1:0"):
        self.limits = limits or Limits()
        self.tls = tls
        self.loop = new_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.channels = []

        async def begin():
            self.repository = ModelRepository(home, Metrics(), limits=self.limits)
            self.control = RepositoryControl(self.repository)
            plane = DataPlane(self.repository, self.repository.metrics)
            self.repository.settled = True
            return await start(
                plane,
                self.control,
                Authenticator(TOKENS),
                address,
                repository=self.repository,
                limits=self.limits,
                tls=tls,
            )

        try:
            self.server = self.run(begin())
        except BaseException:
            self._end()
            raise

    def run(self, awaitable):
        return asyncio.run_coroutine_threadsafe(awaitable, self.loop).result(60)

    def publish(self, name, *folders, shadow=None):
        """Serve bundles as versions 1, 2, ... of a model, with equal weights but for the shadow."""
        versions = []
        for number, folder in enumerate(folders, start=1):
            digest = Bundles.digest(folder)
            shutil.copytree(folder, self.repository.store.path(digest), dirs_exist_ok=True)
            versions.append(ServedVersion(str(number), digest, 0 if str(number) == shadow else 100))
        self.run(self.repository.apply(ServedModel(name, versions, shadow=shadow), []))
        rows = self.repository.status(name).versions
        assert [row.state for row in rows] == ["ready"] * len(folders), rows

    def counts(self):
        return self.run(self.repository.counts())

    @staticmethod
    def wait_for(condition):
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)

    def stub(self, token="the-token-of-an-admin"):
        """Return the methods of a channel of its own that sends a token."""
        target = f"127.0.0.1:{self.server.port}"
        if self.tls:
            root = self.tls[0].read_bytes()
            channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(root))
        else:
            channel = grpc.insecure_channel(target, options=[("grpc.max_receive_message_length", -1)])
        self.channels.append(channel)
        return GRPCInferenceServiceStub(grpc.intercept_channel(channel, _Token(token)) if token else channel)

    def close(self):
        for channel in self.channels:
            channel.close()
        self.run(self.server.stop(5))
        self.run(self.repository.close())
        self._end()

    def _end(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class _Token(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):
    def __init__(self, token):
        self._pair = ("authorization", f"Bearer {token}")

    def _with(self, details):
        return details._replace(metadata=[*(details.metadata or ()), self._pair])

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._with(details), request)

    def intercept_stream_stream(self, continuation, details, requests):
        return continuation(self._with(details), requests)


def infer_request(model="digits", *tensors, raw=True, **fields):
    """Return a request; each tensor is (name, datatype, array)."""
    request = pb.ModelInferRequest(model_name=model, **fields)
    for name, datatype, array in tensors:
        tensor = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            request.raw_input_contents.append(bytes(encode_binary(array, datatype)))
        else:
            values = array.ravel().tolist()
            if datatype == "BYTES":
                values = [value.encode() for value in values]
            getattr(tensor.contents, CONTENTS[datatype]).extend(values)
    return request


def arrays_of(response):
    """Return the arrays of an answer by name."""
    found = {}
    for index, tensor in enumerate(response.outputs):
        if response.raw_output_contents:
            raw = memoryview(response.raw_output_contents[index])
            found[tensor.name] = decode_binary(raw, tensor.datatype, tensor.shape, where=tensor.name)
        else:
            values = list(getattr(tensor.contents, CONTENTS[tensor.datatype]))
            found[tensor.name] = np.array(values).reshape(tensor.shape)
    return found


CONTENTS = {
    "BOOL": "bool_contents",
    **{f"INT{bits}": "int_contents" for bits in (8, 16, 32)},
    **{f"UINT{bits}": "uint_contents" for bits in (8, 16, 32)},
    "INT64": "int64_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
