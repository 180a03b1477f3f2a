"""The server in the foreground: checks what it is asked for, takes lock and ports, starts and supervises workers."""

from __future__ import annotations

import os
import shlex
import socket
from pathlib import Path

from msgspec.structs import replace

from maas_jupyter.errors import UsageError
from maas_jupyter.serving.auth import Token, make_tokens, read_tokens
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.record import lock_path, log_path
from maas_jupyter.serving.supervisor.forkserver import Launcher
from maas_jupyter.serving.supervisor.launch import bind, check_address, hold, listen, share_memory


def serve(options: ServerOptions) -> None:
    """Serve until a signal or a request to shut down, with a record in the home from readiness to the end.

    SIGTERM and SIGINT end it; SIGHUP reads the token file again and replaces the workers one by one.

    Parameters
    ----------
    options : ServerOptions
        Settings. Until it is known that the server can have all that they ask for, nothing is made on disk.

    Raises
    ------
    UsageError
        If an option cannot be, or a file that it names cannot be used.
    AlreadyRuns
        If another server has the home.
    Unavailable
        If a port or the home cannot be had, or no worker can live.
    """
    options = _resolved(options)
    check_address(options.address)
    options.check()
    tokens = _tokens(options)
    if options.tls_cert and options.tls_key:
        _check_certificate(options.tls_cert, options.tls_key)
    if lock_path(options.folder).exists():
        # A second server is told of the first, not that its port is in use.
        os.close(hold(options.folder))
    listening, moved_from = listen(options.address, options.port, options.folder)
    grpc = None if options.grpc_port is None else bind(options.address, options.grpc_port, share=True)
    lock = hold(options.folder)
    try:
        if options.token_file and not tokens:
            tokens = make_tokens(Path(options.token_file))
        _supervise(options, tokens, listening, grpc, moved_from)
    finally:
        os.close(lock)


def _supervise(
    options: ServerOptions,
    tokens: list[Token],
    listening: socket.socket,
    grpc: socket.socket | None,
    moved_from: int | None,
) -> None:
    shares = share_memory(options.workers)
    launch = Launcher(options, listening, shares)
    first = [launch() for _ in range(options.workers)]
    # Not before the workers were asked for: they import their part meanwhile.
    import asyncio

    from maas_jupyter.serving import logs
    from maas_jupyter.serving.supervisor.lifecycle import Supervisor

    logs.configure("supervisor", log_path(options.folder))

    async def supervise() -> None:
        await Supervisor(options, tokens, listening, grpc, shares, launch, moved_from).run(first)

    try:
        asyncio.run(supervise())
    finally:
        launch.close()


def _resolved(options: ServerOptions) -> ServerOptions:
    """Return the settings with absolute paths."""
    paths = {
        name: str(Path(value).expanduser().absolute())
        for name in ("home", "token_file", "tls_cert", "tls_key")
        if (value := getattr(options, name)) is not None
    }
    return replace(options, **paths)


def _tokens(options: ServerOptions) -> list[Token]:
    """Return the tokens of the token file; none where it is still to be made."""
    if options.token_file is None:
        return []
    path = Path(options.token_file)
    if path.exists():
        return read_tokens(path)
    if not path.parent.is_dir():
        raise UsageError(
            f"There is no folder {path.parent} for the token file.",
            hint=f"Make it: mkdir -p {shlex.quote(str(path.parent))}",
        )
    if not os.access(path.parent, os.W_OK):
        raise UsageError(
            f"The token file {path} cannot be made: its folder is not yours to write.", hint="Name another one."
        )
    return []


def _check_certificate(certificate: str, key: str) -> None:
    import ssl

    for option, path in (("--tls-cert", certificate), ("--tls-key", key)):
        if not Path(path).is_file():
            raise UsageError(f"There is no file {path}.", hint=f"{option} names a PEM file on this machine.")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The certificate {certificate} and the key {key} cannot be used: {error}",
            hint="Give a PEM certificate chain and its unencrypted private key.",
        ) from error
