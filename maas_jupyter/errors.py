"""Every error that a user can meet: what went wrong and where, and the next step.

``MaasError`` is shown as two lines in a notebook cell and in a terminal; it is still a normal exception, so a failed
verb stops *Run All* and scripts can catch it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class MaasError(Exception):
    """An error in the user's words.

    Parameters
    ----------
    message : str
        What went wrong and where.
    hint : str
        The next step, as something the user can do or type.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message

    def __reduce__(self) -> tuple[type[MaasError], tuple[str, str]]:
        return type(self), (self.message, self.hint)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that IPython shows instead of a traceback."""
        lines = [f"\x1b[31m{type(self).__name__}\x1b[0m: {self.message}"]
        if self.hint:
            lines.append(f"\x1b[36mhint\x1b[0m: {self.hint}")
        return lines


class UsageError(MaasError):
    """A verb was called with arguments that it does not take."""


class InvalidInput(MaasError):
    """Data, a tensor or a request does not have the expected form (HTTP 400)."""


class NotFound(MaasError):
    """A name that nothing answers to (HTTP 404)."""


class Unauthorized(MaasError):
    """The token is missing or wrong (HTTP 401)."""


class Forbidden(MaasError):
    """The token is known, but may not do this (HTTP 403)."""


class Conflict(MaasError):
    """What is asked for does not fit the present state (HTTP 409)."""


class Unavailable(MaasError):
    """Something that exists does not answer or is not ready (HTTP 503).

    Attributes
    ----------
    retry_after : float or None
        Seconds after which another attempt makes sense, where they are known.
    """

    def __init__(self, message: str, hint: str = "", *, retry_after: float | None = None) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class TooManyRequests(Unavailable):
    """A queue is full (HTTP 429)."""


class BundleError(MaasError):
    """A bundle is incomplete, altered or unreadable."""


class TrainingError(MaasError):
    """A training cannot go on."""


class ExportError(MaasError):
    """A model could not be exported, or its export computes something else."""


class GateError(MaasError):
    """A model does not meet what was required of it.

    Attributes
    ----------
    evaluation : Evaluation or None
        What was measured, where it was just evaluated.
    """

    def __init__(self, message: str, hint: str = "", *, evaluation: Any = None) -> None:
        super().__init__(message, hint)
        self.evaluation = evaluation


class MissingDependency(MaasError):
    """An optional part is not installed."""


#: More names are not compared with an unknown one: that takes long enough to hold up a server.
_MOST_COMPARED = 200


def nearest(name: str, known: Iterable[str], *, what: str, otherwise: str) -> str:
    """Build the hint for an unknown name.

    Parameters
    ----------
    name : str
        The name that was asked for.
    known : iterable of str
        The names that exist.
    what : str
        The kind of thing, in the plural: ``"models"``.
    otherwise : str
        The hint when nothing exists at all.

    Returns
    -------
    str
        ``Did you mean 'digits'?`` where something is near, else the existing names. Among very many none is near.
    """
    # Mere numbers come last: among columns they say the least.
    names = sorted(dict.fromkeys(known), key=str.isdigit)
    if len(names) > _MOST_COMPARED:
        return _shown(names, what)
    names.sort(key=lambda each: (each.isdigit(), each))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6) or [
        each for each in names if each.lower() == name.lower()
    ]
    if near:
        return f"Did you mean {' or '.join(repr(n) for n in near)}?"
    if not names:
        return otherwise
    return _shown(names, what)


def counted(number: int, noun: str) -> str:
    """Return a number and what it counts: ``1 request``, ``2,000 requests``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _shown(names: list[str], what: str) -> str:
    shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    return f"There are these {what}: {shown}."
