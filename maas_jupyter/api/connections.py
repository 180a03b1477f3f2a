"""Where to publish: ``connect``, ``disconnect``, ``targets`` and ``serve``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from maas_jupyter import config, plugins
from maas_jupyter.api.subjects import ask_all, connections
from maas_jupyter.api.watching import watched_servers
from maas_jupyter.errors import UsageError

if TYPE_CHECKING:
    from maas_jupyter.targets import Notice, TargetList, TargetStatus


def connect(name: str, url: str, *, token_env: str, ca_file: str | None = None, insecure: bool = False) -> TargetStatus:
    """Connect a model server that runs elsewhere, so that models can be published to it.

    The name of the variable is kept, the token never.

    Parameters
    ----------
    name : str
        What to call it.
    url : str
        Its address, such as https://gpu-box:8443.
    token_env : str
        Name of the environment variable that holds its token.
    ca_file : str
        PEM file of the authority that signed its certificate, where that is not a public one.
    insecure : bool
        Allow an address without TLS on another machine.

    Returns
    -------
    TargetStatus

    Raises
    ------
    Unavailable
        If the server does not answer.
    Unauthorized
        If it does not know the token.
    """
    from maas_jupyter.targets.connections import new_connection
    from maas_jupyter.targets.remote import RemoteTarget

    if name in plugins.available("target"):
        raise UsageError(f"'{name}' is the name of a target already.", hint="Choose another name.")
    if name in watched_servers().read():
        raise UsageError(f"An endpoint is watched as '{name}'.", hint=f"Choose another name, or: %maas unwatch {name}")
    connection = new_connection(name, url, token_env, ca_file, insecure=insecure)
    status = RemoteTarget(connection).check()
    connections().add(connection)
    return status


def disconnect(name: str) -> Notice:
    """Forget a connected server; what it serves goes on.

    Parameters
    ----------
    name : str
        What it is called.

    Returns
    -------
    Notice
        What was done.

    Raises
    ------
    NotFound
        If no server of that name is connected.
    """
    from maas_jupyter.targets import Notice

    url = connections().remove(name).url
    return Notice(f"{name} is no longer connected; what it serves at {url} goes on.")


def targets() -> TargetList:
    """List where models can be published: this machine and every connected server.

    Returns
    -------
    TargetList
    """
    from maas_jupyter.targets import TargetList

    return TargetList(ask_all(lambda target: target.status()))


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    grpc_port: int | None = None,
    home: str | None = None,
    workers: int | None = None,
    threads: int = 0,
    token_file: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    insecure: bool = False,
) -> None:
    """Run a model server in this terminal until it is interrupted, for this machine or for others.

    Others connect to it with %maas connect. An address beyond this machine needs a token file and TLS.

    Parameters
    ----------
    host : str
        Address to listen on.
    port : int
        Port of HTTP; 0 takes the one that the last server of this home had, where it is free, else any that is.
    grpc_port : int
        Port of gRPC; 0 takes a free one. Without it there is no gRPC.
    home : str
        Folder of the server's state; by default the one of the local server.
    workers : int
        Worker processes; by default one per processor core.
    threads : int
        Threads that compute one run in each worker; 0 shares the cores out.
    token_file : str
        File with the tokens, lines of ROLE NAME TOKEN with the role predict or admin; made if it does not exist.
        Without it there is one token, in server.json of the home, new at each start.
    tls_cert : str
        Certificate chain, PEM.
    tls_key : str
        Private key, PEM.
    insecure : bool
        Allow to listen beyond this machine without TLS.

    Raises
    ------
    UsageError
        If an option cannot be; and in a notebook: a server in a cell would end with the kernel.
    Unavailable
        If another server has the home, or a port cannot be had.
    """
    changed = {name: value for name, value in locals().items() if value != (serve.__kwdefaults__ or {})[name]}
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        words = [
            f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in changed.items()
        ]
        raise UsageError(
            "A server in a cell would end with the kernel. %maas start starts a local one that does not.",
            hint=f"For a server of its own, in a terminal: {shlex.join(['maas', 'serve', *words])}",
        )
    from maas_jupyter.serving.options import ServerOptions
    from maas_jupyter.serving.supervisor.process import serve as run

    run(ServerOptions(**{"home": str(config.current().server_home), **changed}))
