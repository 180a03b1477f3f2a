"""Who sends a request."""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct

from maas_jupyter.errors import Unauthorized, UsageError

#: ``predict`` may ask models and read metrics; ``admin`` may do everything.
Role = Literal["predict", "admin"]


@dataclass(frozen=True)
class Principal:
    """The holder of a token; what limits and counts can hang on."""

    name: str
    role: Role = "admin"


class Token(Struct, frozen=True):
    """A token and whose it is."""

    name: str
    role: Role
    token: str

    def __repr__(self) -> str:
        return f"Token(name={self.name!r}, role={self.role!r}, token='***')"


#: Whoever asks for what is open to all.
ANONYMOUS = Principal("", "predict")


class Authenticator:
    """Knows the tokens.

    Parameters
    ----------
    tokens : mapping of str to Principal
        The bearer tokens that are let in, and whose they are.

    Raises
    ------
    UsageError
        If a token is shorter than 16 characters or not plain ASCII: an empty one would let everybody in.
    """

    def __init__(self, tokens: Mapping[str, Principal]) -> None:
        for token, principal in tokens.items():
            if not _TOKEN.fullmatch(token):
                raise UsageError(f"The token of '{principal.name}' {_WRONG_TOKEN}", hint=_MAKE_TOKEN)
        self._tokens = [(token.encode(), principal) for token, principal in tokens.items()]
        # The first one is the server's own; which files those are is nothing that a stranger need know.
        self._where = "The token is in " + (
            "the file that --token-file names where the server runs."
            if len(tokens) > 1
            else "server.json, in the home of the server; it is new at each start."
        )

    def __call__(self, authorization: bytes) -> Principal:
        """Return the sender.

        Parameters
        ----------
        authorization : bytes
            The request's ``Authorization`` header, empty where it has none.

        Raises
        ------
        Unauthorized
            If the token is missing or wrong.
        """
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            for known, principal in self._tokens:
                if hmac.compare_digest(token.strip(), known):
                    return principal
        raise Unauthorized(
            "The token is wrong." if authorization else "This needs a token.",
            hint="Send the header 'Authorization: Bearer TOKEN'. " + self._where,
        )

    def __repr__(self) -> str:
        return f"Authenticator({len(self._tokens)} tokens)"


# -- the token file ---------------------------------------------------------------------------------------------------

_FORM = "A line of the token file is: ROLE NAME TOKEN, with the role predict or admin; # begins a comment."
_TOKEN = re.compile(r"[\x21-\x7e]{16,512}")
_WRONG_TOKEN = "is shorter than 16 characters or not plain ASCII."
_MAKE_TOKEN = "Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
_HEADER = "# Who may do what: ROLE NAME TOKEN, one in a line. predict: ask models; admin: everything.\n"


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def read_tokens(path: Path) -> list[Token]:
    """Return the tokens of a file: lines ``ROLE NAME TOKEN``, ``#`` begins a comment.

    Raises
    ------
    UsageError
        If the file cannot be read, others than its owner can read it, or a line is not of this form. No message shows
        a token.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise UsageError(
                    f"Others than its owner may open the token file {path} (mode {mode:04o}).",
                    hint=f"chmod 600 {path}",
                )
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The token file {path} cannot be read: {_why(error)}.", hint="Name another one.") from error
    found: dict[str, Token] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or words[0] not in get_args(Role):
            raise UsageError(f"Line {number} of the token file {path} has not the form that is expected.", hint=_FORM)
        role, name, token = words
        if not _TOKEN.fullmatch(token):
            raise UsageError(
                f"The token of line {number} of {path} {_WRONG_TOKEN}",
                hint=_MAKE_TOKEN,
            )
        if token in found:
            raise UsageError(
                f"Line {number} of {path} repeats the token of '{found[token].name}'.", hint="Give each its own token."
            )
        found[token] = Token(name, role, token)  # type: ignore[arg-type]
    if not found:
        raise UsageError(f"The token file {path} holds no token.", hint=_FORM)
    return list(found.values())


def _why(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else "it is no text in UTF-8"


def make_tokens(path: Path) -> list[Token]:
    """Write a token file with one token of each role, which only its owner can read, and return them.

    Raises
    ------
    UsageError
        If the file exists or cannot be written.
    """
    tokens = [Token("admin", "admin", new_token()), Token("predict", "predict", new_token())]
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(_HEADER + "".join(f"{each.role} {each.name} {each.token}\n" for each in tokens))
    except OSError as error:
        raise UsageError(
            f"The token file {path} cannot be written: {_why(error)}.", hint="Name another one."
        ) from error
    return tokens
