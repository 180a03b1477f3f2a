"""How both clients use httpx: its settings, and its exceptions in the user's words."""

from __future__ import annotations

import ipaddress
import re
import ssl
from pathlib import Path
from typing import Any

import httpx

from maas_jupyter._version import __version__
from maas_jupyter.errors import InvalidInput, Unauthorized
from maas_jupyter.serving.client.calls import Answer, Call, NoAnswer

#: Seconds that a connection may take to be made.
CONNECT_TIMEOUT = 5.0
#: Seconds that an idle connection is kept; less than servers do, so that it is we who close it.
KEEP_ALIVE = 4.0

# Numbers do not get smaller; compressing them takes longer than sending them.
_PLAIN = {"Accept-Encoding": "identity"}
_TOKEN = re.compile(r"[\x21-\x7e]+")


def settings(url: str, token: str, verify: Path | None) -> dict[str, Any]:
    """Return the arguments of httpx's clients.

    Parameters
    ----------
    url : str
        Address of the server.
    token : str
        Its bearer token.
    verify : Path, optional
        PEM file of the certificate authority that signed its certificate; default those that the system trusts.

    Raises
    ------
    Unauthorized
        If the token cannot be one.
    InvalidInput
        If the file holds no certificate.
    """
    if not _TOKEN.fullmatch(token):
        raise Unauthorized(
            "The token is empty or holds characters that no token has.", hint="Look for a space or a line break in it."
        )
    secure = url.startswith("https:")
    return {
        "base_url": url,
        "headers": {"Authorization": f"Bearer {token}", "User-Agent": f"maas-jupyter/{__version__}", **_PLAIN},
        "limits": httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE),
        "trust_env": not is_loopback(url),  # a proxy of the environment cannot reach this machine's loopback
        # Reading the system's certificates takes longer than a request.
        "verify": _trusting(verify) if secure and verify else secure,
    }


def _trusting(path: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"{path} cannot be read as a certificate authority's file: {error}",
            hint="Name the PEM file of the authority, or the server's own self-signed certificate.",
        ) from error


def request_arguments(call: Call) -> dict[str, Any]:
    """Return the arguments of httpx's ``request`` for a call."""
    return {
        "method": call.method,
        "url": call.path,
        "content": call.content,
        "headers": dict(call.headers),
        "timeout": httpx.Timeout(call.timeout, connect=min(call.timeout, CONNECT_TIMEOUT)),
    }


def to_answer(response: httpx.Response) -> Answer:
    """Return what httpx received."""
    return Answer(response.status_code, response.headers, response.content)


def no_answer(url: str, error: httpx.TransportError, call: Call) -> NoAnswer:
    """Return the error that says why there is no answer."""
    hint = "See whether it runs, and whether this machine reaches it: %maas targets"
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if (failure := _tls_failure(error)) is not None:
        return NoAnswer(
            f"The connection to {url} is not safe: {failure}",
            "Name the file of the authority that signed the server's certificate: --ca-file FILE"
            if isinstance(failure, ssl.SSLCertVerificationError)
            else "See whether the server speaks https at this port.",
            sent=False,
            lasting=True,
        )
    if isinstance(error, httpx.TimeoutException):
        return NoAnswer(f"The model server at {url} does not answer in time.", hint, sent=sent)
    if sent and not call.repeatable:
        return NoAnswer(
            f"The connection to the model server at {url} was lost before its answer came.",
            "It may have done what was asked: see %maas endpoints and %maas history NAME.",
            sent=True,
        )
    return NoAnswer(f"The model server at {url} does not answer.", hint, sent=sent)


def _tls_failure(error: BaseException | None) -> ssl.SSLError | None:
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    # A connection that is cut reads as a failure of TLS too, but passes.
    return None if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) else error


def is_loopback(url: str) -> bool:
    """Say whether an address is of this machine."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
