"""The one place where exceptions become HTTP, and JSON bodies structs."""

from __future__ import annotations

import asyncio
import math
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from maas_jupyter.errors import (
    BundleError,
    Conflict,
    Forbidden,
    InvalidInput,
    MaasError,
    MissingDependency,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UsageError,
)

_STATUS: dict[type[BaseException], int] = {
    InvalidInput: 400,
    UsageError: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    BundleError: 422,
    MissingDependency: 422,
    TooManyRequests: 429,
    Unavailable: 503,
    ClientDisconnect: 499,
    # How some hosts say that the client hung up: while something is awaited, and while an answer is streamed.
    asyncio.CancelledError: 499,
    GeneratorExit: 499,
}

#: MLflow's names of what went wrong.
_MLFLOW_CODES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}

T = TypeVar("T")

#: Encodes an answer as JSON.
encode_json = msgspec.json.Encoder().encode


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an exception; what nobody foresaw is 500."""
    if isinstance(error, HTTPException):
        return error.status_code
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def json_response(content: object, status: int = 200) -> Response:
    """Encode an answer."""
    return Response(encode_json(content), status, media_type="application/json")


def error_response(error: BaseException, request_id: str, path: str) -> Response:
    """Return ``{"error": message}``, on MLflow's paths ``{"error_code": ..., "message": message}``.

    What is ours to fix is only named by the request's id; the log has the rest.
    """
    status = status_of(error)
    if isinstance(error, MaasError) and status != 500:
        message = str(error)
    elif isinstance(error, HTTPException):
        message = error.detail
    else:
        message = f"internal error (request {request_id})"
    if path.endswith("/invocations"):
        response = json_response({"error_code": _MLFLOW_CODES.get(status, "BAD_REQUEST"), "message": message}, status)
    else:
        response = json_response({"error": message}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, Unavailable) and error.retry_after is not None:
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after)))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)
    return response


def decode_body(body: bytes, decoder: msgspec.json.Decoder[T], *, expected: str) -> T:
    """Decode a JSON body.

    Raises
    ------
    InvalidInput
        If it is malformed or of another form; the hint shows the form that is expected.
    """
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The body is not what is expected: {error}", hint=f"Expected: {expected}") from error
