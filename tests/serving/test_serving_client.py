from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from maas_jupyter.errors import BundleError, InvalidInput, MaasError, NotFound, Unauthorized, Unavailable
from maas_jupyter.serving.client import ServingClient


@pytest.fixture
def answering():
    """Return a function that starts a server with one answer for everything, and gives a client of it."""
    servers = []

    def answer(status, body):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return ServingClient(f"http://127.0.0.1:{server.server_port}", "secret")

    yield answer
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_server_that_is_not_there():
    with socket.socket() as bound:  # bound but not listening: nobody else gets the port, and nobody answers
        bound.bind(("127.0.0.1", 0))
        client = ServingClient(f"http://127.0.0.1:{bound.getsockname()[1]}", "secret")
        with pytest.raises(Unavailable, match="does not answer") as raised:
            client.status()
    assert raised.value.hint
    assert "secret" not in repr(client) + str(raised.value)


def test_a_server_that_never_answers():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        client = ServingClient(f"http://127.0.0.1:{listening.getsockname()[1]}", "secret", timeout=0.1)
        with pytest.raises(Unavailable, match="in time"):
            client.metadata("digits")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthorized),
        (404, NotFound),
        (413, InvalidInput),
        (422, BundleError),
        (500, MaasError),
        (503, Unavailable),
    ],
)
def test_errors_come_back_as_what_they_were(answering, status, kind):
    with pytest.raises(MaasError) as raised:
        answering(status, b'{"error": "what\\nnext step"}').status()
    assert type(raised.value) is kind
    assert (raised.value.message, raised.value.hint) == ("what", "next step")


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error"'])
def test_answers_of_something_else(answering, body):
    with pytest.raises(Unavailable, match="is not this version's model server"):
        answering(200, body).status()
    with pytest.raises(MaasError, match="answered 502"):
        answering(502, body).status()


def test_arrays_that_cannot_be_sent():
    client = ServingClient("http://127.0.0.1:1", "secret")
    with pytest.raises(InvalidInput, match="complex128"):
        client.infer("m", {"x": np.zeros(1, complex)})
