"""Inference requests and answers with their tensors as raw bytes (the binary extension of the protocol's V2)."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec import Struct, field

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import DATATYPES, decoder
from maas_jupyter.serving.binary import decode_binary, encode_binary
from maas_jupyter.serving.client.calls import Answer, Inference, not_ours
from maas_jupyter.signature import in_words

#: Says how many bytes of a body are its JSON.
LENGTH_HEADER = "Inference-Header-Content-Length"


class _Output(Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] = field(default_factory=dict)


class _InferResponse(Struct):
    model_name: str
    model_version: str
    outputs: list[_Output]


_DECODER = decoder(_InferResponse)


def encode_request(inputs: dict[str, np.ndarray]) -> tuple[bytes, dict[str, str]]:
    """Return the body and the headers of a request.

    Raises
    ------
    InvalidInput
        If an array has a dtype that the protocol does not know.
    """
    tensors: list[dict[str, Any]] = []
    raw: list[bytes | memoryview] = []
    for name, array in inputs.items():
        datatype = DATATYPES.get(array.dtype.name)
        if datatype is None:
            raise InvalidInput(
                f"Input '{name}' holds {in_words(array.dtype)}, which cannot be sent.",
                hint=f"The dtypes are {', '.join(DATATYPES)}.",
            )
        data = encode_binary(array, datatype)
        raw.append(data)
        tensors.append(
            {
                "name": name,
                "shape": array.shape,
                "datatype": datatype,
                "parameters": {"binary_data_size": len(data)},
            }
        )
    head = msgspec.json.encode({"inputs": tensors, "parameters": {"binary_data_output": True}})
    headers = {"Content-Type": "application/octet-stream", LENGTH_HEADER: str(len(head))}
    return b"".join([head, *raw]), headers


def decode_answer(answer: Answer, *, url: str, request_id: str) -> Inference:
    """Return what an answer holds; its arrays are the caller's own.

    Raises
    ------
    Unavailable
        If it is not an answer of the protocol.
    """
    length = answer.headers.get(LENGTH_HEADER, "")
    try:
        position = int(length)
        head = _DECODER.decode(memoryview(answer.content)[:position])
        raw = memoryview(answer.content)[position:]
        outputs: dict[str, np.ndarray] = {}
        for tensor in head.outputs:
            size = tensor.parameters["binary_data_size"]
            array = decode_binary(raw[:size], tensor.datatype, tensor.shape, where=f"Output '{tensor.name}'")
            outputs[tensor.name] = array if array.flags.writeable else array.copy()
            raw = raw[size:]
    except (msgspec.DecodeError, InvalidInput, ValueError, TypeError, KeyError) as error:
        raise not_ours(url, f"its answer is not in binary form: {error}") from error
    return Inference(head.model_name, head.model_version, outputs, request_id)
