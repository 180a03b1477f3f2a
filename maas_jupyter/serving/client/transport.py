"""How both clients use httpx: its settings, and its exceptions in the user's words."""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from pathlib import Path
from typing import Any, TypeVar

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
# A connection that is cut reads as a failure of TLS too, but passes.
_CUT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
# OpenSSL's codes for what is wrong with a certificate.
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64

E = TypeVar("E", bound=BaseException)


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
        "verify": trusting(verify) if secure and verify else secure,
    }


def trusting(path: Path) -> ssl.SSLContext:
    """Return what checks certificates against an authority's PEM file.

    Raises
    ------
    InvalidInput
        If the file holds no certificate.
    """
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
    sent = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    if unsafe := unsafety(error):
        why, hint = unsafe
        return NoAnswer(f"The connection to {url} is not safe: {why}", hint, sent=False, lasting=True)
    if sent and not call.repeatable:
        return NoAnswer(
            f"The connection to the model server at {url} was lost before its answer came.",
            "It may have done what was asked: see %maas endpoints and %maas history NAME.",
            sent=True,
        )
    why, hint = silence(url, error)
    return NoAnswer(f"The model server at {url} does not answer{why}.", hint, sent=sent)


def unsafety(error: BaseException) -> tuple[str, str] | None:
    """Return why TLS refused a connection, and what to do; None where it failed for another reason."""
    failure = _found(error, ssl.SSLError)
    return None if failure is None or isinstance(failure, _CUT) else (_unsafe(failure), _safer(failure))


def silence(url: str, error: httpx.HTTPError) -> tuple[str, str]:
    """Return why nothing answers, to stand behind a sentence without its point, and what to look at."""
    if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
        return (
            f" in time: no connection came about within {CONNECT_TIMEOUT:.0f} s",
            "See whether the address is right, the server runs, and no firewall is between.",
        )
    if isinstance(error, httpx.TimeoutException):
        return " in time", "It may be busy: try again, or look at its log where it runs."
    if _found(error, ConnectionRefusedError):
        return (
            ": the connection was refused",
            "Nothing listens at this port: see whether the server runs, and whether the port is right.",
        )
    if _found(error, socket.gaierror):
        return (
            f": no address is known for the name '{httpx.URL(url).host}'",
            "See whether the name is right, and whether this machine can look it up.",
        )
    failure = _found(error, OSError)
    if not isinstance(error, httpx.ConnectError):
        return (
            ": it closed the connection",
            "See whether what listens at this port is a model server"
            + (", and whether it speaks https." if url.startswith("http:") else "."),
        )
    why = f": {failure.strerror}" if failure is not None and failure.strerror else ""
    return why, "See whether the address is right, and whether this machine reaches it."


def _found(error: BaseException | None, kind: type[E]) -> E | None:
    """Return the cause of an error that is of a kind."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def _unsafe(failure: ssl.SSLError) -> str:
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is refused ({failure.verify_message.rstrip('.')})."
    if failure.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return "what answers there does not speak TLS."
    return f"{failure}."


def _safer(failure: ssl.SSLError) -> str:
    if not isinstance(failure, ssl.SSLCertVerificationError):
        return "See whether the server speaks https at this port."
    return {
        _EXPIRED: "Have the certificate renewed where the server runs, and look at this machine's clock.",
        _OTHER_NAME: "Use the name that the certificate was issued for, or have one issued for this name.",
        _OTHER_ADDRESS: "Use the name that the certificate was issued for, or have one issued for this address.",
    }.get(failure.verify_code, "Name the file of the authority that signed the server's certificate: --ca-file FILE")


def is_loopback(url: str) -> bool:
    """Say whether an address is of this machine."""
    host = httpx.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
