"""Tensors of gRPC messages to numpy and back: raw bytes or typed contents, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np

from maas_jupyter.errors import InvalidInput
from maas_jupyter.schema import NUMPY_DTYPES, Manifest, TensorSpec
from maas_jupyter.serving.binary import BINARY_DATATYPES, decode_binary, decode_element, encode_binary, shaped, size_of
from maas_jupyter.serving.dataplane import Answer
from maas_jupyter.serving.protocols.grpc.messages import MESSAGES
from maas_jupyter.serving.protocols.v2_messages import classified

#: The field of the contents that carries each datatype. FP16 and BF16 have none: they go raw.
_CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_DTYPES = {
    "bool_contents": "bool",
    "int_contents": "int32",
    "int64_contents": "int64",
    "uint_contents": "uint32",
    "uint64_contents": "uint64",
    "fp32_contents": "float32",
    "fp64_contents": "float64",
}


def decode_inputs(request: Any) -> dict[str, np.ndarray]:
    """Return the arrays of a ``ModelInferRequest`` by their names.

    Raises
    ------
    InvalidInput
        If two inputs have one name, raw and typed contents are mixed, or a tensor's data does not fit it.
    """
    raw = request.raw_input_contents
    for tensor in (*request.inputs, *request.outputs):
        if "shared_memory_region" in tensor.parameters:
            raise InvalidInput(
                f"Tensor '{tensor.name[:128]}' is to be in shared memory, which this server does not use.",
                hint="Send the values in the request, and take them from the answer.",
            )
    if raw and len(raw) != len(request.inputs):
        raise InvalidInput(f"The request has {len(request.inputs)} inputs, but {len(raw)} raw_input_contents.")
    inputs: dict[str, np.ndarray] = {}
    for index, tensor in enumerate(request.inputs):
        where = f"Input '{tensor.name[:128]}'"
        if not raw:
            inputs[tensor.name] = _decode_contents(tensor, where)
            continue
        if tensor.HasField("contents"):
            raise InvalidInput(f"{where} has contents beside the request's raw_input_contents.", hint="Send one.")
        inputs[tensor.name] = decode_binary(memoryview(raw[index]), tensor.datatype, tensor.shape, where=where)
    if len(inputs) != len(request.inputs):
        raise InvalidInput("Two inputs of the request have the same name.")
    return inputs


def _decode_contents(tensor: Any, where: str) -> np.ndarray:
    field = _CONTENTS.get(tensor.datatype)
    if field is None:
        if tensor.datatype in BINARY_DATATYPES:
            raise InvalidInput(f"{where}: {tensor.datatype} has no typed contents.", hint="Send raw_input_contents.")
        raise InvalidInput(
            f"{where}: the datatype '{tensor.datatype[:128]}' is unknown.",
            hint=f"The datatypes are {', '.join(BINARY_DATATYPES)}.",
        )
    others = [found.name for found, _ in tensor.contents.ListFields() if found.name != field]
    if others:
        raise InvalidInput(f"{where}: {tensor.datatype} comes in {field}, but there is {others[0]}.")
    values = getattr(tensor.contents, field)
    count = size_of(tensor.shape, where=where)
    if len(values) != count:
        raise InvalidInput(
            f"{where}: the shape {list(tensor.shape)} asks for {count} values, but {field} holds {len(values)}."
        )
    if tensor.datatype == "BYTES":
        array = np.empty(count, dtype=object)
        for index, value in enumerate(values):
            array[index] = decode_element(value)
    else:
        wide = np.fromiter(values, _DTYPES[field], count)
        array = wide.astype(NUMPY_DTYPES[tensor.datatype], copy=False)
        if array is not wide and (array != wide).any():
            raise InvalidInput(f"{where}: a value is beyond the range of {tensor.datatype}.")
    return shaped(array, tensor.shape, where=where)


def encode_answer(answer: Answer, request: Any, manifest: Manifest) -> Any:
    """Return the ``ModelInferResponse`` to a request: raw where the request was raw, else in typed contents.

    An answer that typed contents cannot carry (FP16) is raw as well.

    Raises
    ------
    InvalidInput
        If the classes of an output are asked for that has none.
    """
    response = MESSAGES["ModelInferResponse"](model_name=answer.model, model_version=answer.version, id=request.id)
    outputs = answer.outputs
    for index, asked in enumerate(request.outputs):
        if count := parameters_of(asked).get("classification"):
            spec, array = outputs[index]
            outputs[index] = (
                TensorSpec(spec.name, "BYTES", []),
                classified(spec, array, count, manifest.labels),
            )
    raw = bool(request.raw_input_contents) or any(spec.datatype not in _CONTENTS for spec, _ in outputs)
    for spec, array in outputs:
        tensor = response.outputs.add(name=spec.name, datatype=spec.datatype, shape=array.shape)
        if raw:
            response.raw_output_contents.append(bytes(encode_binary(array, spec.datatype)))
        else:
            values = array.ravel().tolist()
            if spec.datatype == "BYTES":
                values = [value.encode() if isinstance(value, str) else value for value in values]
            getattr(tensor.contents, _CONTENTS[spec.datatype]).extend(values)
    return response


def parameters_of(message: Any) -> dict[str, Any]:
    """Return the parameters of a request or a tensor as plain values."""
    return {
        name: getattr(value, kind)
        for name, value in message.parameters.items()
        if (kind := value.WhichOneof("parameter_choice"))
    }
