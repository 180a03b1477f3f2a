"""Makes the OpenAPI 3.1 document out of the entries; its schemas are those of the structs that the routes use."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

import msgspec

from maas_jupyter._version import __version__
from maas_jupyter.schema import NUMPY_DTYPES
from maas_jupyter.serving.protocols.openapi import administration, inference, scoring
from maas_jupyter.serving.protocols.openapi.operations import ErrorAnswer, Operation

_REFERENCE = "#/components/schemas/{name}"
_DESCRIPTION = """Models as a service. Every request but the probes brings a token: Authorization: Bearer TOKEN.

X-Request-Id and traceparent come back with the answer. X-Routing-Key gives the same version to all requests with the
same key; X-Request-Timeout (seconds) says until when an answer is wanted. Accept-Encoding and Content-Encoding may be
gzip or deflate."""
_BYTES = {"type": "string", "format": "binary"}
_ANY_VALUES = {"description": "Values, nested as they are shaped.", "type": "array", "items": {}}

#: What the structs leave open because it is decoded later, by struct and field.
_REFINED: dict[tuple[str, str], dict[str, Any]] = {
    ("JsonTensor", "data"): {
        "description": "Flat and row-major, or nested.",
        "type": "array",
        "items": {},
    },
    ("JsonTensor", "datatype"): {"enum": [*NUMPY_DTYPES, "BF16"]},
    ("InferResponse", "outputs"): {"type": "array", "items": {"$ref": _REFERENCE.format(name="JsonTensor")}},
    ("ExamplesResponse", "results"): {
        "description": "Per example: a list of pairs of label and score, or a number.",
        "type": "array",
        "items": {"anyOf": [{"type": "array", "items": {"type": "array"}}, {"type": "number"}]},
    },
    ("PredictRequest", "instances"): _ANY_VALUES,
    ("PredictRequest", "inputs"): {"description": "Values of the only input, or an object with the values of each."},
    ("ExamplesRequest", "examples"): {"type": "array", "items": {"type": "object"}},
    ("SplitFrame", "data"): {"type": "array", "items": {"type": "array"}},
    ("SplitFrame", "columns"): {"type": "array", "items": {"type": ["string", "integer"]}},
    ("ScoringRequest", "dataframe_records"): {"type": "array", "items": {"type": "object"}},
    ("ScoringRequest", "params"): {"type": ["object", "null"]},
    ("ScoringRequest", "instances"): _ANY_VALUES,
    ("ScoringRequest", "inputs"): {"description": "Values of the only input, or an object with the values of each."},
    ("ScoringResponse", "predictions"): {"description": "A list of one prediction per row, where outputs go by rows."},
}


def operations(*, can_stop: bool) -> list[Operation]:
    """Return the entries of all routes that a server has.

    Parameters
    ----------
    can_stop : bool
        Whether it has the route that ends it.
    """
    found = [*inference.OPERATIONS, *scoring.OPERATIONS, *administration.OPERATIONS]
    return [*found, administration.SHUTDOWN] if can_stop else found


def document(*, can_stop: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document, without ``servers``.

    Parameters
    ----------
    can_stop : bool
        Whether the server has the route that ends it.
    """
    entries = operations(can_stop=can_stop)
    types = [kind for entry in entries for kind in (entry.body, entry.answer, entry.error) if kind is not None]
    schemas, components = msgspec.json.schema_components([ErrorAnswer, *types], ref_template=_REFERENCE)
    schema_of = {_key(kind): schema for kind, schema in zip([ErrorAnswer, *types], schemas, strict=True)}
    for (name, key), schema in _REFINED.items():
        components[name]["properties"][key] = schema
    for component in components.values():
        if "description" in component:
            component["description"] = _prose(component["description"])
    paths: dict[str, dict[str, Any]] = {}
    for entry in entries:
        paths.setdefault(entry.path, {})[entry.method] = _operation(entry, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "maas-jupyter model server", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _key(kind: Any) -> str:
    return repr(kind)


def _prose(text: str) -> str:
    """Return a docstring's text without its double backquotes."""
    return " ".join(text.replace("``", "").replace("`", "").split())


def _operation(entry: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": f"{entry.method}_{re.sub('[^a-z0-9]+', '_', entry.path.lower()).strip('_') or 'root'}",
        "tags": [entry.tag],
        "summary": entry.summary,
        "responses": _responses(entry, schema_of),
    }
    admin = "Needs an admin's token." if entry.is_admin else ""
    if description := " ".join(filter(None, (_prose(entry.description), admin))):
        made["description"] = description
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", entry.path)
    ]
    for parameter in entry.parameters:
        parameters.append(
            {
                "name": parameter.name,
                "in": parameter.place,
                "required": parameter.required,
                "description": parameter.text,
                "schema": parameter.schema,
            }
        )
    if parameters:
        made["parameters"] = parameters
    if entry.body is not None:
        made["requestBody"] = {"required": not entry.optional_body, "content": _body(entry, schema_of)}
    if entry.is_open:
        made["security"] = []
    return made


def _body(entry: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for media in entry.body_media:
        if media != "application/json":
            content[media] = {"schema": {"type": "string"} if media.startswith("text/") else _BYTES}
            continue
        content[media] = {"schema": schema_of[_key(entry.body)]}
        if entry.example is not None:
            content[media]["example"] = entry.example
    return content


def _responses(entry: Operation, schema_of: dict[str, Any]) -> dict[str, Any]:
    content = {
        media: {"schema": schema_of[_key(entry.answer)]} if media == "application/json" and entry.answer else {}
        for media in entry.answer_media
    }
    answer: dict[str, Any] = {"description": HTTPStatus(entry.status).phrase, "content": content}
    if entry.answer_headers:
        answer["headers"] = {
            name: {"description": text, "schema": {"type": "integer"}} for name, text in entry.answer_headers.items()
        }
    statuses = {entry.status: answer}
    for status in sorted({*entry.errors, *(() if entry.is_open else (401,)), *((403,) if entry.is_admin else ())}):
        schema = schema_of[_key(entry.error)] if entry.error else {}
        statuses[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {"application/json": {"schema": schema}},
        }
    return {str(status): answer for status, answer in sorted(statuses.items())}
