"""The server in the foreground: checks what it is asked for, takes lock and ports, starts and supervises workers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec.structs import replace

from maas_jupyter.errors import MaasError, UsageError
from maas_jupyter.serving.auth import Token, make_tokens, read_tokens
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.record import ALREADY_RUNS, log_path
from maas_jupyter.serving.supervisor.launch import AlreadyRuns, bind, hold, launch, share_memory


def serve(options: ServerOptions) -> int:
    """Serve until a signal or a request to shut down, with a record in the home from readiness to the end.

    SIGTERM and SIGINT end it; SIGHUP reads the token file again and replaces the workers one by one.

    Parameters
    ----------
    options : ServerOptions
        Settings.

    Returns
    -------
    int
        Exit status: 0 after an orderly end; `ALREADY_RUNS` where another server has the home; 1 after an error, which
        was said on stderr.
    """
    try:
        _serve(_resolved(options))
    except AlreadyRuns as error:
        sys.stderr.write(f"{error}\n")
        return ALREADY_RUNS
    except MaasError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _serve(options: ServerOptions) -> None:
    options.check()
    tokens = _tokens(options)
    if options.tls_cert and options.tls_key:
        _check_certificate(options.tls_cert, options.tls_key)
    lock = hold(options.folder)
    try:
        _supervise(options, tokens)
    finally:
        os.close(lock)


def _supervise(options: ServerOptions, tokens: list[Token]) -> None:
    listening = bind(options.address, options.port)
    grpc = None if options.grpc_port is None else bind(options.address, options.grpc_port, share=True)
    shares = share_memory(options.workers)
    first = [launch(options, listening, shares) for _ in range(options.workers)]
    # Not before the workers were started: they import their part meanwhile.
    import asyncio

    from maas_jupyter.serving import logs
    from maas_jupyter.serving.supervisor.lifecycle import Supervisor

    logs.configure("supervisor", log_path(options.folder))

    async def supervise() -> None:
        await Supervisor(options, tokens, listening, grpc, shares).run(first)

    asyncio.run(supervise())


def _resolved(options: ServerOptions) -> ServerOptions:
    """Return the settings with absolute paths."""
    paths = {
        name: str(Path(value).expanduser().absolute())
        for name in ("home", "token_file", "tls_cert", "tls_key")
        if (value := getattr(options, name)) is not None
    }
    return replace(options, **paths)


def _tokens(options: ServerOptions) -> list[Token]:
    if options.token_file is None:
        return []
    path = Path(options.token_file)
    if path.exists():
        return read_tokens(path)
    tokens = make_tokens(path)
    sys.stdout.write(f"Made a token for an admin and one for predicting: {path}\n")
    sys.stdout.flush()
    return tokens


def _check_certificate(certificate: str, key: str) -> None:
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The certificate {certificate} and the key {key} cannot be used: {error}",
            hint="Give a PEM certificate chain and its unencrypted private key.",
        ) from error
