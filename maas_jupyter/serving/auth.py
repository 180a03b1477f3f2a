"""Who sends a request."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from maas_jupyter.errors import Unauthorized


@dataclass(frozen=True)
class Principal:
    """The holder of a token; what limits and counts can hang on."""

    name: str


ANONYMOUS = Principal("")


class Authenticator:
    """Knows the tokens.

    Parameters
    ----------
    tokens : mapping of str to Principal
        The bearer tokens that are let in, and whose they are.
    """

    def __init__(self, tokens: Mapping[str, Principal]) -> None:
        self._tokens = [(token.encode(), principal) for token, principal in tokens.items()]

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
            hint="Send the header 'Authorization: Bearer TOKEN' with the token of the server's record.",
        )

    def __repr__(self) -> str:
        return f"Authenticator({len(self._tokens)} tokens)"
