"""V2's ``infer`` messages: JSON, and the binary extension, where raw tensors follow the JSON in both directions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from msgspec import Struct, field

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES, Manifest, Signature, TensorSpec, decoder
from maas_jupyter.serving.binary import decode_binary, encode_binary
from maas_jupyter.serving.dataplane import Answer
from maas_jupyter.serving.exchange import Reply
from maas_jupyter.serving.responses import decode_body, encode_json
from maas_jupyter.serving.tensors import JsonTensor, decode_tensor, encode_tensor

#: The header, in a request and in an answer, that says how many bytes of the body are JSON.
LENGTH_HEADER = b"inference-header-content-length"

_EXPECTED = '{"inputs": [{"name": ..., "shape": [...], "datatype": ..., "data": [...]}]}'
_BINARY_HEADERS = (b"content-type", b"application/octet-stream")


class RequestedOutput(Struct):
    """An output that is asked for.

    Its parameters are ``binary_data`` (raw bytes after the JSON) and ``classification`` (the largest k values of each
    row as texts ``value:index:label``).
    """

    name: str
    parameters: dict[str, Any] = field(default_factory=dict)


class InferRequest(Struct):
    """Body of ``infer``.

    Its parameters are ``timeout`` (microseconds) and ``binary_data_output`` (all outputs as raw bytes).
    """

    inputs: list[JsonTensor]
    id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    outputs: list[RequestedOutput] = field(default_factory=list)


class InferResponse(Struct, omit_defaults=True):
    """Answer of ``infer``. ``outputs`` holds what `encode_tensor` returns, or what stands for raw bytes."""

    model_name: str
    model_version: str
    outputs: list[dict[str, Any]]
    id: str | None = None


_DECODER = decoder(InferRequest)


def read_request(body: bytes, length: bytes, signature: Signature) -> tuple[InferRequest, dict[str, np.ndarray]]:
    """Decode the body of ``infer``.

    Parameters
    ----------
    body : bytes
        JSON, perhaps with raw tensors after it; only raw bytes where ``length`` is 0 and the model has one input.
    length : bytes
        The header `LENGTH_HEADER`, empty where the request has none.
    signature : Signature
        The model's; used where the request says nothing of its tensor.

    Returns
    -------
    tuple of InferRequest and dict of str to ndarray
        The message, and its inputs by name. Raw tensors that lie aligned are views of the body.

    Raises
    ------
    InvalidInput
        If the body is malformed, or its lengths do not add up.
    """
    if not length:
        message = decode_body(body, _DECODER, expected=_EXPECTED)
        inputs = {tensor.name: _decode(tensor) for tensor in message.inputs}
    else:
        size = _length(length, len(body))
        if not size:
            return _raw_request(body, signature)
        message = decode_body(body[:size], _DECODER, expected=_EXPECTED)
        inputs = _decode_mixed(message.inputs, memoryview(body)[size:])
    if len(inputs) != len(message.inputs):
        raise InvalidInput("Two inputs of the request have the same name.")
    return message, inputs


def _length(header: bytes, available: int) -> int:
    if not header.isdigit() or len(header) > 12 or int(header) > available:
        raise InvalidInput(
            f"Inference-Header-Content-Length is '{header[:40].decode('latin-1')}'; the body has {available} bytes.",
            hint="It is the number of bytes of JSON at the body's start.",
        )
    return int(header)


def _decode(tensor: JsonTensor) -> np.ndarray:
    if tensor.parameters:
        _refuse_shared_memory(tensor.name, tensor.parameters)
        if "binary_data_size" in tensor.parameters:
            raise InvalidInput(
                f"Tensor '{tensor.name[:128]}' has a binary_data_size, but nothing says where the JSON ends.",
                hint="Send the header Inference-Header-Content-Length: the number of bytes of JSON.",
            )
    return decode_tensor(tensor)


def _decode_mixed(tensors: list[JsonTensor], tail: memoryview) -> dict[str, np.ndarray]:
    """Decode tensors of which each has either ``data`` or its share of the tail, in their order."""
    inputs: dict[str, np.ndarray] = {}
    position = 0
    for tensor in tensors:
        size = tensor.parameters.get("binary_data_size")
        if size is None:
            inputs[tensor.name] = _decode(tensor)
            continue
        where = f"Tensor '{tensor.name[:128]}'"
        if type(size) is not int or size < 0:
            raise InvalidInput(f"{where}: binary_data_size must be a number of bytes.")
        if tensor.data:
            raise InvalidInput(f"{where} has data in JSON and a binary_data_size too.", hint="Send one of them.")
        if size > len(tail) - position:
            raise InvalidInput(f"{where}: binary_data_size is {size}, but {len(tail) - position} bytes are left.")
        inputs[tensor.name] = decode_binary(
            tail[position : position + size], tensor.datatype, tensor.shape, where=where
        )
        position += size
    if position != len(tail):
        raise InvalidInput(f"{len(tail) - position} bytes are left after the last tensor's.")
    return inputs


def _raw_request(body: bytes, signature: Signature) -> tuple[InferRequest, dict[str, np.ndarray]]:
    """Take the whole body as the model's one input: one BYTES element, or values whose number gives the free axis."""
    spec = signature.inputs[0]
    free = spec.shape.count(-1)
    if len(signature.inputs) != 1 or free > 1:
        raise InvalidInput(
            "A body without JSON is understood for a model with one input of at most one free axis.",
            hint=f"This one takes {', '.join(map(str, signature.inputs))}.",
        )
    message = InferRequest([], parameters={"binary_data_output": True})
    if spec.datatype == "BYTES":
        array = np.empty(1, dtype=object)
        array[0] = body
        return message, {spec.name: array}
    row = math.prod(size for size in spec.shape if size >= 0) * np.dtype(NUMPY_DTYPES[spec.datatype]).itemsize
    shape = [len(body) // row if size < 0 and row else size for size in spec.shape]
    return message, {spec.name: decode_binary(memoryview(body), spec.datatype, shape, where=f"Input '{spec.name}'")}


def seconds_of(parameters: dict[str, Any]) -> float | None:
    """Return the request's ``timeout`` in seconds (it is sent in microseconds); None where it has none.

    Raises
    ------
    InvalidInput
        If it is not a number of microseconds.
    """
    timeout = parameters.get("timeout", 0)
    if type(timeout) is not int or not 0 <= timeout < 2**63:
        raise InvalidInput("The parameter timeout must be a whole number of microseconds, in 64 bits.")
    return timeout / 1e6 if timeout else None


def write_response(message: InferRequest, answer: Answer, manifest: Manifest) -> Reply:
    """Encode an answer, each output in the form that the request asks for.

    Raises
    ------
    InvalidInput
        If a parameter is not what it should be, or JSON cannot carry a value.
    """
    if not message.outputs and not message.parameters:
        outputs = [encode_tensor(spec, array) for spec, array in answer.outputs]
        return Reply(encode_json(InferResponse(answer.model, answer.version, outputs, message.id)))
    binary = _flag(message.parameters, "binary_data_output", False)
    outputs, parts = [], []
    for index, (spec, array) in enumerate(answer.outputs):
        parameters = message.outputs[index].parameters if message.outputs else {}
        _refuse_shared_memory(spec.name, parameters)
        if count := parameters.get("classification"):
            array = classified(spec, array, count, manifest.labels)
            spec = TensorSpec(spec.name, "BYTES", [])
        if _flag(parameters, "binary_data", binary):
            part = encode_binary(array, spec.datatype)
            parts.append(part)
            outputs.append(
                {
                    "name": spec.name,
                    "shape": array.shape,
                    "datatype": spec.datatype,
                    "parameters": {"binary_data_size": len(part)},
                }
            )
        else:
            outputs.append(encode_tensor(spec, array))
    header = encode_json(InferResponse(answer.model, answer.version, outputs, message.id))
    if not parts:
        return Reply(header)
    return Reply(b"".join((header, *parts)), [_BINARY_HEADERS, (LENGTH_HEADER, b"%d" % len(header))])


def _flag(parameters: dict[str, Any], name: str, otherwise: bool) -> bool:
    value = parameters.get(name, otherwise)
    if not isinstance(value, bool):
        raise InvalidInput(f"The parameter {name} must be true or false.")
    return value


def _refuse_shared_memory(name: str, parameters: dict[str, Any]) -> None:
    if "shared_memory_region" in parameters:
        raise InvalidInput(
            f"Tensor '{name[:128]}' is to be in shared memory, which this server does not use.",
            hint="Send and take the values in the body; binary_data makes them raw bytes.",
        )


def classified(spec: TensorSpec, array: np.ndarray, count: Any, labels: list[str | int] | None) -> np.ndarray:
    """Return the largest values of each row as texts, as Triton's classification extension has them.

    Parameters
    ----------
    spec : TensorSpec
        The output.
    array : ndarray, shape (..., classes)
        Its values.
    count : int
        How many of each row.
    labels : list of str or int, optional
        Of the classes.

    Returns
    -------
    ndarray of object, shape (..., count)
        ``value:index``, or ``value:index:label``, the largest value first.

    Raises
    ------
    InvalidInput
        If the output is no row of numbers, or the count is none.
    """
    if type(count) is not int or count < 1 or spec.datatype == "BYTES" or not array.ndim:
        raise InvalidInput(
            f"Output '{spec.name}' ({spec.datatype}{spec.shape}) cannot be classified in {str(count)[:40]} classes.",
            hint="Ask an output with one number per class for at least one class.",
        )
    best = np.argsort(-array.astype(np.float64), axis=-1, kind="stable")[..., :count]
    names = [f":{label}" for label in labels] if labels and len(labels) == array.shape[-1] else [""] * array.shape[-1]
    values = np.take_along_axis(array, best, axis=-1)
    texts = np.empty(best.shape, dtype=object)
    texts.reshape(-1)[:] = [f"{value}:{i}{names[i]}" for value, i in zip(values.ravel(), best.ravel(), strict=True)]
    return texts
