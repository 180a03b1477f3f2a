"""Asking a server that nobody vouches for: soon or not at all, a few megabytes, and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import msgspec

from maas_jupyter._version import __version__
from maas_jupyter.errors import InvalidInput, Unauthorized, Unavailable
from maas_jupyter.schema import UNREADABLE
from maas_jupyter.serving.client.transport import silence, trusting, unsafety

#: Seconds that an answer may take, and bytes that it may have.
PATIENCE = 2.0
LARGEST = 4 * 1024 * 1024

_TOKEN = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True)
class Answer:
    """What a server answered; ``leads_to`` is where it would have us go instead."""

    url: str
    status: int
    body: bytes
    leads_to: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is what was asked for."""
        return self.status == 200

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", errors="replace")

    @property
    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return msgspec.json.decode(self.body) if self.ok else None
        except UNREADABLE:
            return None


class Asker:
    """Asks one server.

    Parameters
    ----------
    url : str
        Its address.
    token : str
        Its bearer token, which no other address gets; empty without one.
    ca_file : str
        PEM file of the authority that signed its certificate; empty for those that the system trusts.
    patience : float
        Seconds that an answer may take.
    largest : int
        Bytes that an answer may have.

    Raises
    ------
    Unauthorized
        If the token cannot be one.
    """

    def __init__(
        self, url: str, token: str = "", *, ca_file: str = "", patience: float = PATIENCE, largest: int = LARGEST
    ) -> None:
        if token and not _TOKEN.fullmatch(token):
            raise Unauthorized(
                "The token holds characters that no token has.", hint="Look for a space or a line break in it."
            )
        self.url = url
        self._token = token
        self._ca_file = ca_file
        self._largest = largest
        self._patience = patience
        self._clients: dict[str, httpx.Client] = {}

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _client(self, url: str) -> httpx.Client:
        scheme = httpx.URL(url).scheme
        if scheme not in self._clients:
            trusted = trusting(Path(self._ca_file)) if self._ca_file and scheme != "http" else scheme != "http"
            self._clients[scheme] = httpx.Client(
                timeout=self._patience,
                # Not compressed: a few bytes could unfold to more than there is memory.
                headers={"User-Agent": f"maas-jupyter/{__version__}", "Accept-Encoding": "identity"},
                # Reading the certificates that the system trusts takes long, and http has no use for them.
                verify=trusted,
            )
        return self._clients[scheme]

    def get(self, path: str, *, method: str = "GET") -> Answer:
        """Ask for a path of the server, or for a whole address.

        Raises
        ------
        Unavailable
            If no whole answer comes in time, or too large a one.
        InvalidInput
            If the authority's file holds no certificate.
        """
        url = path if "://" in path else f"{self.url}{path}"
        own = origin(url) == origin(self.url)
        headers = {"Authorization": f"Bearer {self._token}"} if self._token and own else {}
        if method == "POST":
            headers["Content-Type"] = "application/json"
        deadline = monotonic() + self._patience
        try:
            with self._client(url).stream(
                method, url, headers=headers, content=b"{}" if method == "POST" else None
            ) as response:
                body = bytearray()
                for part in response.iter_raw():
                    body += part
                    if len(body) > self._largest:
                        raise Unavailable(f"The answer of {shown(url)} is larger than {self._largest // 1024**2} MB.")
                    if monotonic() > deadline:
                        raise Unavailable(f"{shown(url)} did not answer in full within {self._patience:g} s.")
                leads_to = response.headers.get("location", "") if response.is_redirect else ""
                return Answer(url, response.status_code, bytes(body), leads_to)
        except httpx.TimeoutException as error:
            raise Unavailable(f"{shown(url)} did not answer within {self._patience:g} s.") from error
        except httpx.HTTPError as error:
            if unsafe := unsafety(error):
                raise Unavailable(f"The connection to {shown(url)} is not safe: {unsafe[0]}", hint=unsafe[1]) from error
            why, hint = silence(url, error)
            raise Unavailable(f"{shown(url)} cannot be reached{why}.", hint=hint) from error


def refusal(answer: Answer) -> Unauthorized | Unavailable:
    """Return an answer that is not what was asked for as an error."""
    if answer.status in (401, 403):
        return Unauthorized(
            f"{shown(answer.url)} answers {answer.status}: it wants a token that it knows.",
            hint="Name the environment variable that holds it: --token-env VAR",
        )
    leads = f" and leads to {shown(answer.leads_to)}, which is not followed" if answer.leads_to else ""
    return Unavailable(f"{shown(answer.url)} answers {answer.status}{leads}.")


def address(url: str) -> str:
    """Check and normalise what a user typed as the address of a server.

    Raises
    ------
    InvalidInput
        If it cannot be one, or holds a password.
    """
    hint = "Write it as http://HOST:PORT or https://HOST:PORT"
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL as error:
        raise InvalidInput(f"This is not an address of a server: {error}", hint=hint) from error
    if parsed.userinfo:
        raise InvalidInput(
            "The address holds a user or a password.", hint=f"{hint}; a token comes from --token-env VAR."
        )
    plain = not parsed.query and not parsed.fragment and len(url) <= 2048 and (parsed.port or 1) in range(65536)
    if parsed.scheme not in ("http", "https") or not re.fullmatch(r"[^\s%]+", parsed.host) or not plain:
        known = "" if "://" in url else f", such as http://{url[:200]}"
        raise InvalidInput(f"'{url[:200]}' is not an address of a server.", hint=hint + known)
    return str(parsed).rstrip("/")


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of an address."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port


def shown(url: str) -> str:
    """Return an address without what could be secret in it."""
    try:
        return str(httpx.URL(url).copy_with(userinfo=b"", query=None, fragment=None))[:200]
    except httpx.InvalidURL:
        return "what is no address"
