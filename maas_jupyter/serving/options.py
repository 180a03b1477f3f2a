"""How a server is started: one definition for the command line, the supervisor and its workers."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, field

from maas_jupyter.errors import UsageError


class Limits(Struct, frozen=True, kw_only=True):
    """What one client may ask of a worker.

    Attributes
    ----------
    body_bytes : int
        Largest body of an inference request.
    queue : int
        Requests that wait for one version; more are refused with 429.
    request_seconds : float
        Deadline of a request that names none.
    header_seconds : float
        How long a connection may take to send a request's head, the first one included.
    body_seconds : float
        How long a body may take to arrive.
    """

    body_bytes: int = 64 * 1024 * 1024
    queue: int = 256
    request_seconds: float = 60.0
    header_seconds: float = 20.0
    body_seconds: float = 60.0


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ServerOptions(Struct, frozen=True, kw_only=True):
    """Settings of one server.

    Attributes
    ----------
    home : str
        Folder of the server's state.
    host : str
        Address to listen on.
    port : int
        Port of HTTP; 0 takes the one that the last server of this home had, where it is free, else any that is.
    grpc_port : int, optional
        Port of gRPC; 0 takes a free one, None serves no gRPC.
    workers : int
        Worker processes.
    threads : int
        Threads that compute one run in each worker.
    token_file : str, optional
        File with the tokens (see `maas_jupyter.serving.auth.read_tokens`); without it the server makes one for itself.
    tls_cert, tls_key : str, optional
        Certificate chain and private key, PEM.
    insecure : bool
        Allow to listen on other than loopback addresses without TLS.
    load_seconds : float
        How long a bundle may take to load before it counts as one that hangs.
    """

    home: str
    host: str = "127.0.0.1"
    port: int = 0
    grpc_port: int | None = None
    workers: int = field(default_factory=cores)
    threads: int = 0
    token_file: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    insecure: bool = False
    load_seconds: float = 300.0
    limits: Limits = field(default_factory=Limits)

    @property
    def folder(self) -> Path:
        """The home as a path."""
        return Path(self.home)

    @property
    def inference_threads(self) -> int:
        """Threads of one run: as asked for, else the cores shared out among the workers."""
        return self.threads or max(1, cores() // self.workers)

    @property
    def address(self) -> str:
        """The host as an IP address.

        Raises
        ------
        UsageError
            If it is none.
        """
        try:
            return str(ipaddress.ip_address("127.0.0.1" if self.host == "localhost" else self.host))
        except ValueError as error:
            raise UsageError(
                f"'{self.host}' is not an IP address.",
                hint="Use --host 127.0.0.1 for this machine alone, --host 0.0.0.0 for all of its addresses.",
            ) from error

    def check(self) -> None:
        """Refuse what cannot be or would lay the server open.

        Raises
        ------
        UsageError
            If an option has a value that cannot be, or others could read tokens and data on their way.
        """
        for name in ("port", "grpc_port"):
            if not 0 <= (getattr(self, name) or 0) <= 65535:
                raise UsageError(
                    f"--{name.replace('_', '-')} {getattr(self, name)} is not a port.",
                    hint="Ports go from 1 to 65535; 0 takes a free one.",
                )
        for option, value, wrong, otherwise in (
            ("workers", self.workers, self.workers < 1, "one for each processor core"),
            ("threads", self.threads, self.threads < 0, "the cores shared out among the workers"),
            ("load-seconds", self.load_seconds, not 0 < self.load_seconds < 1e9, "300"),
        ):
            if wrong:
                raise UsageError(
                    f"--{option} {value} cannot be.", hint=f"Give a greater one, or leave it out: {otherwise}."
                )
        if bool(self.tls_cert) != bool(self.tls_key):
            there, other = ("--tls-cert", "--tls-key") if self.tls_cert else ("--tls-key", "--tls-cert")
            raise UsageError(
                f"{there} is given without {other}; TLS needs the certificate and its key.", hint=f"Add {other} FILE"
            )
        exposed = not ipaddress.ip_address(self.address).is_loopback
        missing = [
            option
            for option, given in (
                ("--token-file FILE", self.token_file),
                ("--tls-cert FILE --tls-key FILE", self.tls_cert),
            )
            if not given
        ]
        if exposed and missing and not self.insecure:
            raise UsageError(
                f"Listening on {self.host} without a token file and TLS would let others read or use what is sent.",
                hint=f"Give {' and '.join(missing)}, use --host 127.0.0.1, or say --insecure.",
            )


def parse(arguments: Sequence[str] | None = None) -> ServerOptions:
    """Return the settings that a command line names; ends the process with its usage where it names others."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m maas_jupyter.serving", description="Serve published models.")
    add = parser.add_argument
    add("--home", required=True, help="folder of the server's state")
    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=0, help="port of HTTP; 0 takes the last one again, or a free one")
    add("--grpc-port", type=int, help="port of gRPC; 0 takes a free one; without it there is no gRPC")
    add("--workers", type=int, default=cores(), help="worker processes; default one per core")
    add("--threads", type=int, default=0, help="threads of one run; default the cores shared among the workers")
    add("--token-file", help="file with lines ROLE NAME TOKEN; made if it does not exist")
    add("--tls-cert", help="certificate chain, PEM")
    add("--tls-key", help="private key, PEM")
    add("--load-seconds", type=float, default=300.0, help="how long a bundle may take to load")
    add("--insecure", action="store_true", help="listen beyond this machine without tokens of a file or TLS")
    return ServerOptions(**vars(parser.parse_args(arguments)))
