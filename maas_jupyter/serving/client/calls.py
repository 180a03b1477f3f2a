"""One call to a model server and its answer, without any input or output: what both clients share."""

from __future__ import annotations

import itertools
import random
import secrets
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec
import numpy as np
from msgspec import Struct

from maas_jupyter.errors import (
    BundleError,
    Conflict,
    Forbidden,
    InvalidInput,
    MaasError,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from maas_jupyter.schema import Signature, TensorSpec, decoder

#: Seconds before the next attempts after a connection was refused or lost.
PAUSES = (0.05, 0.2)

_KINDS: dict[int, type[MaasError]] = {
    400: InvalidInput,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    408: Unavailable,
    409: Conflict,
    413: InvalidInput,
    422: BundleError,
    429: TooManyRequests,
    503: Unavailable,
    504: Unavailable,
    507: Unavailable,
}

T = TypeVar("T")


class ModelMetadata(Struct, frozen=True):
    """What a served model says about itself."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorSpec]
    outputs: list[TensorSpec]

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return Signature(self.inputs, self.outputs)


@dataclass(frozen=True)
class Inference:
    """What a model answered.

    Attributes
    ----------
    model, version : str
        Who answered.
    outputs : dict of str to ndarray
        One array per output.
    request_id : str
        Under which the server's log has the request.
    """

    model: str
    version: str
    outputs: dict[str, np.ndarray]
    request_id: str = ""


class NoAnswer(Unavailable):
    """The server could not be reached, or the connection ended before its answer.

    Attributes
    ----------
    sent : bool
        Whether the request may have arrived.
    lasting : bool
        Whether another attempt would end the same.
    """

    def __init__(self, message: str, hint: str = "", *, sent: bool = True, lasting: bool = False) -> None:
        super().__init__(message, hint)
        self.sent = sent
        self.lasting = lasting


@dataclass(frozen=True)
class Call:
    """A request to be sent.

    Attributes
    ----------
    timeout : float
        Seconds for all attempts together.
    repeatable : bool
        Whether sending it twice is the same as once.
    attempts : bool
        Whether another attempt is made at all.
    accepted : tuple of int
        Further statuses that are answers rather than errors.
    """

    method: str
    path: str
    timeout: float
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False
    attempts: bool = True
    accepted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Pause:
    """Seconds to wait before the next step."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; ``headers`` finds names in any case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


#: Yields what is to be done, is sent its outcome (an `Answer`, or None after a `Pause`; `NoAnswer` is thrown in), and
#: returns the result.
Flow = Generator[Call | Pause, Answer | None, T]


def ask(call: Call) -> Flow[Answer]:
    """Send a call, and again while that is safe and time is left.

    Safe is what never arrived, and a repeatable call whatever became of it; a busy server (429, 503) says when to ask
    again.

    Raises
    ------
    MaasError
        Of the kind that the answer's status says.
    NoAnswer
        If there was no answer.
    """
    deadline = time.monotonic() + call.timeout
    headers = {"X-Request-Id": secrets.token_hex(8), **call.headers}
    for attempt in itertools.count():
        error: MaasError
        try:
            answer = yield replace(call, headers=headers, timeout=max(deadline - time.monotonic(), 0.001))
        except NoAnswer as lost:
            error = lost
            again = (call.repeatable or not lost.sent) and not lost.lasting and attempt < len(PAUSES)
            pause = PAUSES[attempt] if again else 0.0
        else:
            assert answer is not None
            if 200 <= answer.status < 300 or answer.status in call.accepted:
                return answer
            error = error_of(answer)
            after = error.retry_after if isinstance(error, Unavailable) else None
            again = call.repeatable and after is not None
            # Spread out, so that those who were refused together do not come back together.
            pause = max(after or 0.0, PAUSES[0]) * random.uniform(1.0, 1.25)
        if not again or not call.attempts or time.monotonic() + pause >= deadline:
            raise error
        yield Pause(pause)
    raise AssertionError


def error_of(answer: Answer) -> MaasError:
    """Return the error that an answer tells of, as the server raised it."""
    try:
        text = str(msgspec.json.decode(answer.content)["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        text = (
            f"The server answered {answer.status}.\n"
            "A model server says more than that: something else answers at this address, such as a proxy."
        )
    message, _, hint = text.partition("\n")
    kind = _KINDS.get(answer.status, MaasError)
    if issubclass(kind, Unavailable):
        return kind(message, hint, retry_after=_seconds(answer.headers.get("retry-after", "")))
    return kind(message, hint)


def _seconds(text: str) -> float | None:
    return float(text) if text.isascii() and text.isdigit() else None


def decode(answer: Answer, kind: type[T], *, url: str) -> T:
    """Decode a JSON answer.

    Raises
    ------
    Unavailable
        If it is not a ``kind``: what answers is no server of ours.
    """
    try:
        decoded: T = decoder(kind).decode(answer.content)
        return decoded
    except msgspec.DecodeError as error:
        raise not_ours(url, str(error)) from error


def not_ours(url: str, why: str) -> Unavailable:
    """Return the error that says so."""
    return Unavailable(
        f"What answers at {url} is not this version's model server: {why}",
        hint="Look whether the address is right; a local server of an older version is stopped with %maas stop.",
    )
