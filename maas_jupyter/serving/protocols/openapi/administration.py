"""The entries of our own routes."""

from __future__ import annotations

from typing import Any

from maas_jupyter import schema
from maas_jupyter.serving.protocols.openapi.operations import Operation, Parameter

TAG = "Administration"
PUBLISHING = "Bundles"
OBSERVING = "Observation"
_OFFSET = "Upload-Offset"
_MODEL = "/maas/v1/models/{model}"
_FILE = "/maas/v1/bundles/{digest}/files/{file}"
_STATE = "Bytes of the file that are there."


def _change(verb: str, summary: str, *errors: int) -> Operation:
    return Operation(
        method="post",
        path=f"{_MODEL}/{verb}",
        tag=TAG,
        summary=summary,
        body=schema.ChangeRequest,
        optional_body=True,
        example={"user": "ada", "reason": "better recall"},
        answer=schema.ModelStatus,
        errors=(400, 404, 413, 503, *errors),
        is_admin=True,
    )


OPERATIONS = [
    Operation(
        method="get",
        path="/maas/v1/status",
        tag=TAG,
        summary="State of every model",
        answer=schema.ServerStatus,
        errors=(503,),
        is_admin=True,
    ),
    Operation(
        method="get",
        path=_MODEL,
        tag=TAG,
        summary="State of one model",
        answer=schema.ModelStatus,
        errors=(404, 503),
        is_admin=True,
    ),
    Operation(
        method="post",
        path=f"{_MODEL}/publish",
        tag=TAG,
        summary="Load a version beside what serves, then move traffic in one step",
        description="With canary (percent) it takes that share of the traffic, as shadow a copy, with neither all.",
        body=schema.PublishRequest,
        example={"version": "2", "digest": "0" * 64, "canary": 10},
        answer=schema.ModelStatus,
        errors=(400, 404, 409, 413, 422, 503),
        is_admin=True,
    ),
    _change("promote", "Give all traffic to the canary, or to the shadow", 409, 422),
    _change("rollback", "Go back to what served before", 409, 422),
    _change("unpublish", "Stop serving a model; its history stays"),
    Operation(
        method="delete",
        path=_MODEL,
        tag=TAG,
        summary="The same as unpublish",
        body=schema.ChangeRequest,
        optional_body=True,
        answer=schema.ModelStatus,
        errors=(400, 404, 413, 503),
        is_admin=True,
    ),
    _change("load", "Bring a known model back into memory", 409, 422),
    _change("unload", "Take a model out of memory and keep it known", 409),
    Operation(
        method="get",
        path=f"{_MODEL}/history",
        tag=TAG,
        summary="What served when, by whom and why; oldest first",
        answer=list[schema.HistoryEntry],
        errors=(400, 404, 503),
        is_admin=True,
    ),
    Operation(
        method="get",
        path="/maas/v1/bundles/{digest}",
        tag=PUBLISHING,
        summary="Whether a bundle is there",
        answer=dict[str, str],
        errors=(400, 404),
        is_admin=True,
    ),
    Operation(
        method="get",
        path=_FILE,
        tag=PUBLISHING,
        summary="How far a file has arrived",
        answer=schema.UploadState,
        answer_headers={_OFFSET: _STATE},
        errors=(400, 404),
        is_admin=True,
    ),
    Operation(
        method="patch",
        path=_FILE,
        tag=PUBLISHING,
        summary="Send the next bytes of a file",
        description="The bytes from Upload-Offset on. 409, with the right Upload-Offset, where it is another.",
        body=bytes,
        body_media=("application/offset+octet-stream",),
        optional_body=True,
        answer=schema.UploadState,
        answer_headers={_OFFSET: _STATE},
        parameters=(
            Parameter(
                _OFFSET, "header", "At which byte the body begins.", {"type": "integer", "minimum": 0}, required=True
            ),
        ),
        errors=(400, 404, 408, 409, 413, 422, 503, 507),
        is_admin=True,
    ),
    Operation(
        method="post",
        path="/maas/v1/bundles/{digest}/commit",
        tag=PUBLISHING,
        summary="Verify a bundle that was sent and take it in",
        answer=dict[str, str],
        errors=(400, 404, 409, 422, 503, 507),
        is_admin=True,
    ),
    Operation(
        method="get",
        path="/maas/v1/logs",
        tag=OBSERVING,
        summary="The last lines of the server's log",
        answer=dict[str, list[str]],
        parameters=(
            Parameter(
                "lines", "query", "How many.", {"type": "integer", "minimum": 1, "maximum": 10_000, "default": 20}
            ),
        ),
        errors=(400, 503),
        is_admin=True,
    ),
    Operation(
        method="get",
        path="/metrics",
        tag=OBSERVING,
        summary="What was counted, in Prometheus' text format",
        answer=str,
        answer_media=("text/plain",),
        errors=(503,),
    ),
    Operation(
        method="get",
        path="/openapi.json",
        tag=OBSERVING,
        summary="This description",
        answer=dict[str, Any],
        is_open=True,
    ),
    Operation(
        method="get",
        path="/docs",
        tag=OBSERVING,
        summary="This description as a page",
        answer=str,
        answer_media=("text/html",),
        is_open=True,
    ),
]

#: Only where the server is a process of its own.
SHUTDOWN = Operation(
    method="post",
    path="/maas/v1/shutdown",
    tag=TAG,
    summary="End the server",
    answer=dict[str, bool],
    status=202,
    is_admin=True,
)
