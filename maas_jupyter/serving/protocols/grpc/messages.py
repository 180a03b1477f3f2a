"""The messages of the Open Inference Protocol's gRPC service, built from a table.

Names, numbers and types are the public schema's, with the repository, statistics and configuration extensions that
clients use. They are put together at run time, in a pool of their own: nothing is generated, and a process that has
loaded a client's copy of the same schema can hold both.
"""

from __future__ import annotations

import re
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

#: Fields of each message: number, name, type. After the type, ``*`` says repeated and ``?`` that at most one of the
#: fields so marked is set; ``{T}`` is a map from strings to T.
_MESSAGES: dict[str, str] = {
    "ServerLiveRequest": "",
    "ServerLiveResponse": "1 live bool",
    "ServerReadyRequest": "",
    "ServerReadyResponse": "1 ready bool",
    "ModelReadyRequest": "1 name string, 2 version string",
    "ModelReadyResponse": "1 ready bool",
    "ServerMetadataRequest": "",
    "ServerMetadataResponse": "1 name string, 2 version string, 3 extensions string*",
    "ModelMetadataRequest": "1 name string, 2 version string",
    "ModelMetadataResponse": (
        "1 name string, 2 versions string*, 3 platform string, 4 inputs TensorMetadata*, 5 outputs TensorMetadata*"
    ),
    "TensorMetadata": "1 name string, 2 datatype string, 3 shape int64*",
    # Inference.
    "InferParameter": (
        "1 bool_param bool?, 2 int64_param int64?, 3 string_param string?, 4 double_param double?, "
        "5 uint64_param uint64?"
    ),
    "InferTensorContents": (
        "1 bool_contents bool*, 2 int_contents int32*, 3 int64_contents int64*, 4 uint_contents uint32*, "
        "5 uint64_contents uint64*, 6 fp32_contents float*, 7 fp64_contents double*, 8 bytes_contents bytes*"
    ),
    "InferTensor": (
        "1 name string, 2 datatype string, 3 shape int64*, 4 parameters {InferParameter}, "
        "5 contents InferTensorContents"
    ),
    "InferRequestedOutput": "1 name string, 2 parameters {InferParameter}",
    "ModelInferRequest": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters {InferParameter}, "
        "5 inputs InferTensor*, 6 outputs InferRequestedOutput*, 7 raw_input_contents bytes*"
    ),
    "ModelInferResponse": (
        "1 model_name string, 2 model_version string, 3 id string, 4 parameters {InferParameter}, "
        "5 outputs InferTensor*, 6 raw_output_contents bytes*"
    ),
    "ModelStreamInferResponse": "1 error_message string, 2 infer_response ModelInferResponse",
    # The model repository. Triton numbers a request's model 2, KServe 1; only KServe's answers have fields.
    "RepositoryIndexRequest": "1 repository_name string, 2 ready bool",
    "RepositoryIndexResponse": "1 models ModelIndex*",
    "ModelIndex": "1 name string, 2 version string, 3 state string, 4 reason string",
    "RepositoryModelLoadRequest": "1 repository_name string, 2 model_name string, 3 parameters {RepositoryParameter}",
    "RepositoryModelLoadResponse": "1 model_name string, 2 isLoaded bool",
    "RepositoryModelUnloadRequest": "1 repository_name string, 2 model_name string, 3 parameters {RepositoryParameter}",
    "RepositoryModelUnloadResponse": "1 model_name string, 2 isUnloaded bool",
    "RepositoryParameter": "1 bool_param bool?, 2 int64_param int64?, 3 string_param string?, 4 bytes_param bytes?",
    # Statistics.
    "ModelStatisticsRequest": "1 name string, 2 version string",
    "ModelStatisticsResponse": "1 model_stats ModelStatistics*",
    "ModelStatistics": (
        "1 name string, 2 version string, 3 last_inference uint64, 4 inference_count uint64, "
        "5 execution_count uint64, 6 inference_stats InferStatistics, 7 batch_stats InferBatchStatistics*"
    ),
    "InferStatistics": (
        "1 success StatisticDuration, 2 fail StatisticDuration, 3 queue StatisticDuration, "
        "4 compute_input StatisticDuration, 5 compute_infer StatisticDuration, 6 compute_output StatisticDuration, "
        "7 cache_hit StatisticDuration, 8 cache_miss StatisticDuration"
    ),
    "InferBatchStatistics": (
        "1 batch_size uint64, 2 compute_input StatisticDuration, 3 compute_infer StatisticDuration, "
        "4 compute_output StatisticDuration"
    ),
    "StatisticDuration": "1 count uint64, 2 ns uint64",
    # Configuration: what load generators look at.
    "ModelConfigRequest": "1 name string, 2 version string",
    "ModelConfigResponse": "1 config ModelConfig",
    "ModelConfig": (
        "1 name string, 2 platform string, 4 max_batch_size int32, 5 input ConfigInput*, 6 output ConfigOutput*, "
        "17 backend string"
    ),
    "ConfigInput": "1 name string, 2 data_type DataType, 4 dims int64*",
    "ConfigOutput": "1 name string, 2 data_type DataType, 3 dims int64*",
}

#: Values of the one enumeration, from 0.
_DATA_TYPE = (
    "TYPE_INVALID",
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
)
_SCALARS = {
    name: Field.Type.Value(f"TYPE_{name.upper()}")
    for name in ("bool", "int32", "int64", "uint32", "uint64", "float", "double", "string", "bytes")
}
_FIELD = re.compile(r"(?P<number>\d+) (?P<name>\w+) (?P<map>\{)?(?P<type>\w+)\}?(?P<mark>[*?])?")


def _build() -> dict[str, Any]:
    file = FileDescriptorProto(name="inference.proto", package=PACKAGE, syntax="proto3")
    data_type = file.enum_type.add(name="DataType")
    for number, value in enumerate(_DATA_TYPE):
        data_type.value.add(name=value, number=number)
    for name, text in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for match in map(_FIELD.fullmatch, text.split(", ") if text else ()):
            assert match is not None
            field = message.field.add(name=match["name"], number=int(match["number"]), label=Field.LABEL_OPTIONAL)
            kind = match["type"]
            if match["mark"] == "*" or match["map"]:
                field.label = Field.LABEL_REPEATED
            if match["mark"] == "?":
                if not message.oneof_decl:
                    message.oneof_decl.add(name="parameter_choice")
                field.oneof_index = 0
            if match["map"]:
                entry = message.nested_type.add(name=f"{match['name'].title()}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=Field.LABEL_OPTIONAL, type=Field.TYPE_STRING)
                _set_type(entry.field.add(name="value", number=2, label=Field.LABEL_OPTIONAL), kind)
                kind = f"{name}.{entry.name}"
            _set_type(field, kind)
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in _MESSAGES}


def _set_type(field: Field, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type = Field.TYPE_ENUM if kind == "DataType" else Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"


#: The class of each message.
MESSAGES: dict[str, Any] = _build()
