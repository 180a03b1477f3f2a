"""``python -m maas_jupyter.serving --home DIR``: the model server as a process."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import logging
import os
import secrets
import socket
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

from maas_jupyter import schema
from maas_jupyter._version import __version__
from maas_jupyter.errors import MaasError, Unavailable, UsageError
from maas_jupyter.schema import ServerRecord
from maas_jupyter.serving.record import ALREADY_RUNS, lock_path, record_path

log = logging.getLogger("maas_jupyter.serving")


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening socket, so that the port is ours before anybody hears of it.

    Raises
    ------
    UsageError
        If the host is not a loopback address.
    Unavailable
        If the address cannot be bound.
    """
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as error:
        raise UsageError(f"'{host}' is not an IP address.", hint="Use --host 127.0.0.1.") from error
    if not address.is_loopback:
        raise UsageError(
            f"The server does not listen on {host}: without TLS others could read the token.",
            hint="Use --host 127.0.0.1, and an SSH tunnel from elsewhere.",
        )
    # With the protocol named, asyncio too switches Nagle's algorithm off, which costs 40 ms an answer.
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((str(address), port))
    except OSError as error:
        bound.close()
        raise Unavailable(f"{host}:{port} cannot be bound: {error}", hint="Use --port 0 for a free port.") from error
    return bound


def serve(home: Path, bound: socket.socket) -> None:
    """Serve until a signal or a request to shut down, with a record in the home from readiness to the end."""
    # Not before the lock is held: a second server for the same home ends without paying for these.
    import uvicorn

    from maas_jupyter.serving.app import create_app

    token = secrets.token_urlsafe(32)
    host, port = bound.getsockname()[:2]
    url = f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"

    class Server(uvicorn.Server):
        """Shows the record exactly while requests are answered."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                app.state.reconciled.add_done_callback(self.announce)

        def announce(self, reconciled: asyncio.Task[None]) -> None:
            if reconciled.cancelled():
                return
            if error := reconciled.exception():
                log.error("the desired state cannot be read", exc_info=error)
                self.should_exit = True
                return
            record = ServerRecord(os.getpid(), url, token, time.time(), __version__)
            schema.write_atomic(record_path(home), schema.encode(record), mode=0o600)
            log.info("listening on %s", url)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            record_path(home).unlink(missing_ok=True)
            log.info("stopping")
            await super().shutdown(sockets)

    def stop() -> None:
        server.should_exit = True

    app = create_app(home, token, stop=stop)
    server = Server(uvicorn.Config(app, access_log=False, log_config=None, timeout_graceful_shutdown=5, ws="none"))
    server.run(sockets=[bound])


def main(arguments: list[str] | None = None) -> int:
    """Run the server; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m maas_jupyter.serving", description="Serve published models.")
    parser.add_argument("--home", type=Path, required=True, help="folder of the server's state")
    parser.add_argument("--host", default="127.0.0.1", help="loopback address to listen on")
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes a free one")
    options = parser.parse_args(arguments)
    home: Path = options.home.expanduser().absolute()
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with FileLock(lock_path(home), timeout=0):
            from maas_jupyter.serving.logs import configure

            configure()
            serve(home, bind(options.host, options.port))
    except Timeout:
        sys.stderr.write(f"A model server already runs for {home}.\n")
        return ALREADY_RUNS
    except MaasError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
