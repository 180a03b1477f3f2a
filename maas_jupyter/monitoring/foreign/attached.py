"""Which servers are watched that are not ours: their addresses and kinds, and where their tokens are kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from maas_jupyter.addresses import AddressFile
from maas_jupyter.errors import Conflict, NotFound, Unauthorized, nearest


class AttachedServer(Struct, frozen=True, kw_only=True):
    """A server that is watched and that this product did not start.

    Attributes
    ----------
    name : str
        What it is called here.
    url : str
        Its address.
    kind : str
        What it is, as in `maas_jupyter.monitoring.foreign.kinds.KINDS`.
    metrics : str
        The address of its Prometheus text.
    token_env : str
        Name of the environment variable that holds its token; empty where it wants none.
    ca_file : str
        PEM file of the authority that signed its certificate; empty for those that the system trusts.
    """

    name: str
    url: str
    kind: str
    metrics: str
    token_env: str = ""
    ca_file: str = ""

    def token(self, how_to_set: Callable[[str], str]) -> str:
        """Return the token, from the environment of this process; empty where it wants none.

        Raises
        ------
        Unauthorized
            If the variable is not set.
        """
        return token_of(self.token_env, how_to_set)


def token_of(variable: str, how_to_set: Callable[[str], str]) -> str:
    """Return the token that an environment variable holds; empty without a variable.

    Raises
    ------
    Unauthorized
        If it is not set.
    """
    token = os.environ.get(variable, "").strip() if variable else ""
    if variable and not token:
        raise Unauthorized(f"The token is missing: {variable} is not set here.", hint=how_to_set(variable))
    return token


class AttachedServers:
    """The file ``attached.json`` of a home, which only its owner may read.

    Parameters
    ----------
    home : Path
        Folder of the settings in force.
    """

    def __init__(self, home: Path) -> None:
        self._file = AddressFile(home / "attached.json", "servers", AttachedServer, "The watched endpoints")
        #: Returns all of them by name, as `AddressFile.read` does.
        self.read = self._file.read

    def add(self, server: AttachedServer) -> None:
        """Keep a server.

        Raises
        ------
        Conflict
            If its name or its address is there already.
        """
        with self._file.changed() as found:
            self.check(server.name, server.url, found)
            found[server.name] = server

    def check(self, name: str, url: str, found: dict[str, AttachedServer] | None = None) -> None:
        """Refuse a name or an address that is there already.

        Raises
        ------
        Conflict
            If one is.
        """
        found = self.read() if found is None else found
        if name in found:
            raise Conflict(
                f"'{name}' is watched already, at {found[name].url}.", hint="Choose another name, or stop watching it."
            )
        same = next((each.name for each in found.values() if each.url == url), None)
        if same is not None:
            raise Conflict(f"{url} is watched already, as '{same}'.")

    def remove(self, name: str) -> AttachedServer:
        """Forget a server, and return it.

        Raises
        ------
        NotFound
            If there is none of that name.
        """
        with self._file.changed() as found:
            if name not in found:
                raise NotFound(
                    f"No endpoint called '{name[:128]}' is watched.",
                    hint=nearest(name, found, what="watched endpoints", otherwise="None is: %maas watch URL"),
                )
            return found.pop(name)
