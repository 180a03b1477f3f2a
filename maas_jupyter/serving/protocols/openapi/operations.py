"""One entry of the OpenAPI document: what a route takes and gives."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field, structs

#: What can go wrong wherever a model computes.
COMPUTING = (400, 404, 408, 413, 415, 429, 503, 504)


class ErrorAnswer(Struct):
    """What is answered when something is wrong, with the next step on the message's second line."""

    error: str


class ScoringError(Struct):
    """What is answered on MLflow's paths when something is wrong."""

    error_code: str
    message: str


class Parameter(Struct, frozen=True):
    """A parameter of the query (``in`` is ``query``) or a header."""

    name: str
    place: str
    text: str
    schema: dict[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


class Operation(Struct, frozen=True, kw_only=True):
    """One method of one path.

    Attributes
    ----------
    body, answer : type, optional
        What they hold as JSON.
    body_media : tuple of str
        Content types of the body that is not only JSON; the first is the body's type.
    optional_body : bool
        Whether the body may be empty.
    example : object
        Of the body.
    status : int
        Of the answer when all went well.
    answer_media : tuple of str
        Content types of the answer.
    answer_headers : dict of str to str
        Headers of the answer, with what they say.
    errors : tuple of int
        The other statuses, 401 apart.
    is_open : bool
        Whether it needs no token.
    is_admin : bool
        Whether it needs an admin's token.
    """

    method: str
    path: str
    tag: str
    summary: str
    description: str = ""
    body: Any = None
    body_media: tuple[str, ...] = ("application/json",)
    optional_body: bool = False
    example: Any = None
    answer: Any = None
    status: int = 200
    answer_media: tuple[str, ...] = ("application/json",)
    answer_headers: dict[str, str] = field(default_factory=dict)
    parameters: tuple[Parameter, ...] = ()
    error: Any = ErrorAnswer
    errors: tuple[int, ...] = ()
    is_open: bool = False
    is_admin: bool = False


def of_versions(operation: Operation, *, labels: bool = False) -> list[Operation]:
    """Return an operation on ``.../{model}``, and the same on one version, and with ``labels`` by its label."""
    found = [operation]
    for kind in ("version", "label") if labels else ("version",):
        path = operation.path.replace("{model}", f"{{model}}/{kind}s/{{{kind}}}")
        words = f"{operation.summary} (one version{', by its label' if kind == 'label' else ''})"
        found.append(structs.replace(operation, path=path, summary=words))
    return found
