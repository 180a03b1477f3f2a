"""What a person at the terminal is told when the server serves."""

from __future__ import annotations

import ipaddress
import socket

from maas_jupyter.errors import counted
from maas_jupyter.schema import ServerRecord
from maas_jupyter.serving.options import ServerOptions
from maas_jupyter.serving.record import record_path


def started(options: ServerOptions, record: ServerRecord) -> str:
    """Return where the server is, what opens it, and how to reach and end it; never a token.

    Parameters
    ----------
    options : ServerOptions
        Settings, with absolute paths.
    record : ServerRecord
        What was found out at the start.
    """
    url = _for_others(record.url, options)
    wide = " (all addresses of this machine)" if ipaddress.ip_address(options.address).is_unspecified else ""
    tls = f"with the certificate {options.tls_cert}" if options.tls_cert else "none: requests and tokens go unencrypted"
    token = (
        f"{options.token_file} (a line for each: ROLE NAME TOKEN)"
        if options.token_file
        else f"{record_path(options.folder)} (new at each start; --token-file FILE for lasting ones)"
    )
    rows = [
        ("HTTP", f"{url}{wide}"),
        ("gRPC", _for_others(record.grpc, options) if record.grpc else "none; --grpc-port PORT adds it"),
        ("TLS", tls),
        ("tokens", token),
        ("home", options.home),
        ("workers", f"{options.workers}, with {counted(options.inference_threads, 'thread')} each"),
    ]
    # The authority of a certificate may be public; whose is not is for the reader to know.
    authority = " [--ca-file FILE]" if options.tls_cert else ""
    insecure = " --insecure" if not options.tls_cert and not ipaddress.ip_address(options.address).is_loopback else ""
    return "\n".join(
        [
            "The model server is ready.",
            *(f"  {name:<8} {value}" for name, value in rows),
            "To publish to it from a notebook, with an admin's token in an environment variable there:",
            f"  %maas connect NAME {url} --token-env VAR{authority}{insecure}",
            "Stop it with Ctrl-C; what it serves comes back with the next start.",
            "",
        ]
    )


def _for_others(address: str, options: ServerOptions) -> str:
    """Return an address with the name of this machine, where the server listens on all of its addresses."""
    if not ipaddress.ip_address(options.address).is_unspecified:
        return address
    return address.replace("127.0.0.1", socket.gethostname()).replace("[::1]", socket.gethostname())
