"""The entries of the Open Inference Protocol and its extensions."""

from __future__ import annotations

from maas_jupyter.serving.protocols import repository_extension as repository
from maas_jupyter.serving.protocols import v2, v2_messages
from maas_jupyter.serving.protocols.openapi.operations import COMPUTING, Operation, Parameter, of_versions
from maas_jupyter.serving.protocols.statistics import Statistics

TAG = "Open Inference Protocol V2"
REPOSITORY = "Model repository"
_INFER = {
    "id": "42",
    "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.1, 0.2, 0.3, 0.4]}],
    "outputs": [{"name": "scores"}],
}
_BINARY = """
Tensors may also come and go as raw bytes (little-endian, row-major; BYTES are a 4-byte length and that many
bytes per element): the header Inference-Header-Content-Length says how many bytes of JSON the body begins with,
each raw tensor has its binary_data_size in its parameters and follows in its order. binary_data (of an output)
or binary_data_output (of the request) asks for raw outputs. With the header 0 the whole body is the model's one
input. Bodies may be gzip or deflate. BYTES in JSON are texts, and base64 where the model takes images. In an input
of floating point with one number per row, as a table's columns are, null is a missing number (NaN). The parameter
timeout is in microseconds.
"""

OPERATIONS = [
    Operation(
        method="get", path="/v2", tag=TAG, summary="The server and the extensions it has", answer=v2.ServerMetadata
    ),
    Operation(
        method="get",
        path="/v2/health/live",
        tag=TAG,
        summary="Whether the server is there",
        answer=v2.ServerLive,
        is_open=True,
    ),
    Operation(
        method="get",
        path="/v2/health/ready",
        tag=TAG,
        summary="Whether everything that should serve at the start does, or failed",
        description="503, with the same body, until then.",
        answer=v2.ServerReady,
        errors=(503,),
        error=v2.ServerReady,
        is_open=True,
    ),
    *of_versions(
        Operation(
            method="get",
            path="/v2/models/{model}",
            tag=TAG,
            summary="What a model takes and gives",
            answer=v2.ModelMetadata,
            errors=(404, 503),
        )
    ),
    *of_versions(
        Operation(
            method="get",
            path="/v2/models/{model}/ready",
            tag=TAG,
            summary="Whether a model answers",
            answer=v2.ModelReady,
            errors=(404, 503),
        )
    ),
    *of_versions(
        Operation(
            method="get",
            path="/v2/models/{model}/config",
            tag=TAG,
            summary="A model's configuration, as Triton shows it",
            answer=v2.ModelConfig,
            errors=(404, 503),
        )
    ),
    *of_versions(
        Operation(
            method="post",
            path="/v2/models/{model}/infer",
            tag=TAG,
            summary="Compute a model's outputs",
            description=_BINARY,
            body=v2_messages.InferRequest,
            body_media=("application/json", "application/octet-stream"),
            example=_INFER,
            answer=v2_messages.InferResponse,
            answer_media=("application/json", "application/octet-stream"),
            answer_headers={"Inference-Header-Content-Length": "Bytes of JSON before the raw tensors."},
            parameters=(
                Parameter(
                    "Inference-Header-Content-Length",
                    "header",
                    "Bytes of JSON at the start of a body with raw tensors.",
                    {"type": "integer", "minimum": 0},
                ),
            ),
            errors=COMPUTING,
        )
    ),
    Operation(
        method="get",
        path="/v2/models/stats",
        tag=TAG,
        summary="Statistics of every version that is ready, as Triton shows them",
        answer=Statistics,
        errors=(503,),
    ),
    *of_versions(
        Operation(
            method="get",
            path="/v2/models/{model}/stats",
            tag=TAG,
            summary="Statistics of a model",
            answer=Statistics,
            errors=(404, 503),
        )
    ),
    Operation(
        method="post",
        path="/v2/repository/index",
        tag=REPOSITORY,
        summary="Every version of every model and its state",
        body=repository.IndexRequest,
        optional_body=True,
        example={"ready": True},
        answer=list[repository.IndexRow],
        errors=(400, 413, 503),
    ),
    Operation(
        method="post",
        path="/v2/repository/models/{model}/load",
        tag=REPOSITORY,
        summary="Bring a known model back into memory",
        body=repository.LoadRequest,
        optional_body=True,
        answer=dict[str, str],
        errors=(400, 404, 409, 413, 422, 503),
        is_admin=True,
    ),
    Operation(
        method="post",
        path="/v2/repository/models/{model}/unload",
        tag=REPOSITORY,
        summary="Take a model out of memory and keep it known",
        body=repository.LoadRequest,
        optional_body=True,
        answer=dict[str, str],
        errors=(400, 404, 409, 413, 422, 503),
        is_admin=True,
    ),
]
