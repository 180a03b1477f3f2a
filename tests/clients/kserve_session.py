"""Run in a process of its own, which has the package ``kserve``: use its clients, and print what they saw as JSON.

KServe's and Triton's generated messages have the same names, so one process cannot hold both.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from kserve.protocol.infer_type import RequestedOutput

X = np.array([[1, 2, 3, 4], [0, 0, 0, 1]], dtype=np.float32)


def digits(*, binary):
    tensor = InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, binary_data=binary)
    return InferRequest(model_name="digits", infer_inputs=[tensor], request_id="r-1")


def words(*, binary):
    n, text = InferInput("n", [2], "INT64"), InferInput("text", [2], "BYTES")
    n.set_data_from_numpy(np.array([1, 2]), binary_data=binary)
    text.set_data_from_numpy(np.array(["a", "ü"], dtype=object), binary_data=binary)
    return InferRequest(model_name="words", infer_inputs=[n, text])


def seen(response):
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    return {
        "id": response.id,
        "model": response.model_name,
        **{
            name: [value.decode() if isinstance(value, bytes) else value for value in array.tolist()]
            for name, array in outputs.items()
        },
    }


async def failure(awaitable):
    try:
        await awaitable
    except httpx.HTTPStatusError as error:
        return [error.response.status_code, str(error)]
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    raise AssertionError("it did not fail")


async def rest(url, headers):
    found = {}
    v1, v2 = (InferenceRESTClient(RESTConfig(protocol=protocol)) for protocol in ("v1", "v2"))
    async with v1, v2:
        found["v1 live"] = await v1.is_server_live(url, headers=headers)
        found["v1 model"] = await v1.is_model_ready(url, "digits", headers=headers)
        found["v1 infer"] = await v1.infer(url, {"instances": X.tolist()}, model_name="digits", headers=headers)
        found["live"] = await v2.is_server_live(url)
        found["ready"] = await v2.is_server_ready(url)
        found["model"] = await v2.is_model_ready(url, "digits", headers=headers)
        found["no model"] = await v2.is_model_ready(url, "nothing", headers=headers)
        for name, made in (("digits", digits), ("words", words)):
            for binary in (False, True):
                answer = await v2.infer(url, made(binary=binary), model_name=name, headers=dict(headers))
                found[f"{name} {binary}"] = seen(answer)
        raw = digits(binary=True)
        raw.request_outputs = [RequestedOutput("scores", parameters={"binary_data": True})]
        found["binary both ways"] = seen(await v2.infer(url, raw, model_name="digits", headers=dict(headers)))
        found["failure"] = await failure(v2.infer(url, digits(binary=False), model_name="nothing", headers=headers))
    return found


async def over_grpc(address, headers):
    found = {}
    metadata = [(name.lower(), value) for name, value in headers.items()]
    async with InferenceGRPCClient(address) as client:
        found["live"] = await client.is_server_live()
        found["ready"] = await client.is_server_ready()
        found["model"] = await client.is_model_ready("digits", headers=metadata)
        for name, made in (("digits", digits), ("words", words)):
            for binary in (False, True):
                found[f"{name} {binary}"] = seen(await client.infer(made(binary=binary), headers=metadata))
        nothing = digits(binary=True)
        nothing.model_name = "nothing"
        found["failure"] = await failure(client.infer(nothing, headers=metadata))
    async with grpc.aio.insecure_channel(address) as channel:
        stub = GRPCInferenceServiceStub(channel)
        answer = await stub.RepositoryModelUnload(pb.RepositoryModelUnloadRequest(model_name="pair"), metadata=metadata)
        found["unloaded"] = [answer.model_name, answer.isUnloaded]
        answer = await stub.RepositoryModelLoad(pb.RepositoryModelLoadRequest(model_name="pair"), metadata=metadata)
        found["loaded"] = [answer.model_name, answer.isLoaded]
    return found


async def main():
    logging.disable()
    url, address = sys.argv[1:]
    headers = {"authorization": f"Bearer {os.environ['TOKEN']}"}
    seen_by_both = {"rest": await rest(url, headers), "grpc": await over_grpc(address, headers)}
    sys.stdout.write(json.dumps(seen_by_both))


if __name__ == "__main__":
    asyncio.run(main())
