"""Which remote servers are connected: their addresses, and where their tokens are; never the tokens."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
from msgspec import Struct

from maas_jupyter.addresses import AddressFile
from maas_jupyter.errors import NotFound, Unauthorized, UsageError, nearest
from maas_jupyter.schema import check_name
from maas_jupyter.serving.client.transport import is_loopback

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Connection(Struct, frozen=True, kw_only=True):
    """A remote server.

    Attributes
    ----------
    name, url : str
        What it is called here, and its address.
    token_env : str
        Name of the environment variable that holds its token.
    ca_file : str, optional
        PEM file of the authority that signed its certificate.
    """

    name: str
    url: str
    token_env: str
    ca_file: str | None = None

    def token(self, how_to_set: Callable[[str], str]) -> str:
        """Return the token, from the environment of this process.

        Parameters
        ----------
        how_to_set : callable
            Given the variable, returns how it is set where errors are shown.

        Raises
        ------
        Unauthorized
            If the variable is not set.
        """
        token = os.environ.get(self.token_env, "").strip()
        if not token:
            raise Unauthorized(
                f"The token of '{self.name}' is missing: {self.token_env} is not set here.",
                hint=how_to_set(self.token_env),
            )
        return token


def set_variable(name: str) -> str:
    """Return how a token gets into the environment without being shown."""
    return (
        f"In a cell: import os, getpass; os.environ[{name!r}] = getpass.getpass('token: '). "
        f"In a shell, before Jupyter or maas starts: read -rs {name}; export {name}"
    )


class Connections:
    """The file ``targets.json`` of a home, which only its owner may read.

    Parameters
    ----------
    home : Path
        Folder of the settings in force.
    """

    def __init__(self, home: Path) -> None:
        self._file = AddressFile(home / "targets.json", "targets", Connection, "The connected servers")
        #: Returns all connections by name, as `AddressFile.read` does.
        self.read = self._file.read

    def token_variables(self) -> set[str]:
        """Return the names of the environment variables that hold tokens."""
        return {connection.token_env for connection in self.read().values()}

    def add(self, connection: Connection) -> None:
        """Keep a connection; one of the same name is replaced."""
        with self._file.changed() as found:
            found[connection.name] = connection

    def remove(self, name: str) -> Connection:
        """Forget a connection, and return it.

        Raises
        ------
        NotFound
            If there is none of that name.
        """
        with self._file.changed() as found:
            if name not in found:
                raise NotFound(
                    f"No target called '{name}' is connected.",
                    hint=nearest(
                        name, found, what="targets", otherwise="None is: %maas connect NAME URL --token-env VAR"
                    ),
                )
            return found.pop(name)


def new_connection(name: str, url: str, token_env: str, ca_file: str | None, *, insecure: bool) -> Connection:
    """Check what a user typed.

    Raises
    ------
    InvalidInput
        If the name cannot be one.
    UsageError
        If the address, the variable or the file cannot be used. No message shows what could be a token.
    """
    check_name(name, what="target")
    if not _VARIABLE.fullmatch(token_env) or token_env not in os.environ:
        # Whoever mistakes the option types the token itself here: it must not be shown again.
        known = token_env if re.fullmatch(r"[A-Z][A-Z0-9_]{0,40}", token_env) else "VAR"
        raise UsageError(
            "--token-env does not name an environment variable that is set in this process.", hint=set_variable(known)
        )
    path = None
    if ca_file is not None:
        path = Path(ca_file).expanduser().absolute()
        if not path.is_file():
            raise UsageError(f"There is no file {path}.", hint="--ca-file names a PEM file on this machine.")
    return Connection(
        name=name, url=_address(url, insecure), token_env=token_env, ca_file=None if path is None else str(path)
    )


def _address(url: str, insecure: bool) -> str:
    hint = "Write it as https://HOST:PORT"
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise UsageError(f"This is not an address of a server: {error}", hint=hint) from error
    if parsed.userinfo:
        raise UsageError(
            "The address holds a user or a password.", hint=f"{hint}; the token comes from --token-env VAR."
        )
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query or parsed.fragment:
        known = "" if "://" in url else f", such as https://{url}"
        raise UsageError(f"'{url[:200]}' is not an address of a server.", hint=hint + known)
    if parsed.scheme == "http" and not is_loopback(url) and not insecure:
        raise UsageError(
            f"Others on the way to {parsed.host} could read the token: the address is http.",
            hint="Use https, or say --insecure where the network is trusted.",
        )
    return str(parsed).rstrip("/")


def without_path(url: str) -> str:
    """Return scheme, host and port of an address."""
    return str(httpx.URL(url).copy_with(raw_path=b"/")).rstrip("/")


def user_name() -> str:
    """Return the name of who uses this process; empty where the system knows none."""
    with suppress(OSError, KeyError):
        return getpass.getuser()
    return ""
