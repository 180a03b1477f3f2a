from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import ssl
import threading
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import trustme
from bundles import Bundles, linear_softmax
from data_plane_parts import until

from maas_jupyter.errors import (
    BundleError,
    Forbidden,
    InvalidInput,
    MaasError,
    NotFound,
    Unauthorized,
    Unavailable,
    UsageError,
)
from maas_jupyter.serving.client import AsyncServingClient, NoAnswer, ServingClient


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


# -- with a real server -----------------------------------------------------------------------------------------------


@pytest.fixture
def clients(rest):
    """Both clients of a real server that serves one model of each kind."""
    with ServingClient(f"http://{rest.address}", "the-token-of-an-admin") as client:
        yield client


def both(client, call):
    """Make the same call with both clients; return their answers."""

    async def asynchronously():
        async with AsyncServingClient(client.url, "the-token-of-an-admin") as other:
            return await call(other)

    return call(client), asyncio.run(asynchronously())


def test_numbers_come_back_bit_by_bit(clients):
    x = np.array([[1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    for found in both(clients, lambda client: client.infer("digits", {"x": x})):
        assert (found.model, found.version) == ("digits", "1")
        assert found.outputs["scores"].dtype == np.float32
        assert found.outputs["label"].dtype == np.int64
        assert found.outputs["scores"].shape == (2, 3)
        assert found.outputs["label"].tolist() == found.outputs["scores"].argmax(-1).tolist()
        assert found.request_id
        found.outputs["scores"][:] = 0  # the caller's own


def test_nan_and_infinity_travel(clients):
    a = np.array([np.nan, np.inf, -np.inf, 1.5], np.float32)
    for found in both(clients, lambda client: client.infer("pair", {"a": a, "i": np.zeros(4, np.int64)})):
        np.testing.assert_array_equal(found.outputs["prediction"], a + 10)


def test_texts_come_back_as_texts(clients):
    inputs = {"n": [1, 2], "text": ["ä", "b"]}
    for found in both(clients, lambda client: client.predict("words", inputs)):
        assert found.outputs["label"].tolist() == ["ä", "b"]
        assert found.outputs["number"].tolist() == [1, 2]


def test_arrays_in_any_layout(clients):
    x = np.arange(32, dtype=np.float32).reshape(4, 8)
    for part in (x[:, ::2], np.asfortranarray(x[:, :4]), x.astype(">f4")[:, :4].astype("<f4"), x[::-1, 4:]):
        found = clients.infer("digits", {"x": part})
        again = clients.infer("digits", {"x": np.ascontiguousarray(part)})
        np.testing.assert_array_equal(found.outputs["scores"], again.outputs["scores"])


def test_what_is_administered_is_the_same_for_both(clients):
    for call in (
        lambda client: client.model_status("digits"),
        lambda client: client.history("digits"),
        lambda client: client.metadata("digits"),
        lambda client: client.metadata("digits", "1"),
    ):
        first, second = both(clients, call)
        assert first == second
    for found in both(clients, lambda client: client.status()):
        assert "digits" in [model.name for model in found.models]
    for found in both(clients, lambda client: client.metrics_text()):
        assert "maas_requests_total" in found


def test_every_method_of_one_client_is_a_method_of_the_other():
    names = {name for name in vars(ServingClient) if not name.startswith("_")}
    others = {name for name in vars(AsyncServingClient) if not name.startswith("_")}
    assert names - others == {"close", "asynchronous", "shutdown", "index"}
    assert others - names == {"aclose", "sharing"}
    for name in names & others:
        mine, theirs = (inspect.signature(getattr(kind, name)) for kind in (ServingClient, AsyncServingClient))
        assert mine == theirs, name


def test_a_token_for_predicting(rest):
    with ServingClient(f"http://{rest.address}", "the-token-of-a-reader") as client:
        assert client.infer("digits", {"x": np.zeros((1, 4), np.float32)}).version == "1"
        assert "digits" in {entry.name for entry in client.index()}
        for attempt in (client.status, lambda: client.promote("digits"), lambda: client.history("digits")):
            with pytest.raises(Forbidden) as caught:
                attempt()
            assert caught.value.hint


def test_threads_share_a_client(clients):
    def ask(number):
        found = clients.predict("pair", {"a": [float(number)], "i": [0]})
        return found.outputs["prediction"].tolist() == [number + 10.0]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(200)))


def test_many_at_once_on_one_event_loop(clients):
    async def ask():
        async with AsyncServingClient(clients.url, "the-token-of-an-admin") as client:
            calls = (client.predict("pair", {"a": [float(number)], "i": [0]}) for number in range(100))
            return await asyncio.gather(*calls)

    found = asyncio.run(ask())
    assert [each.outputs["prediction"].tolist() for each in found] == [[number + 10.0] for number in range(100)]


def test_a_bundle_that_was_sent_is_not_sent_again(rest, clients):
    folder = rest.bundles.make(linear_softmax(5))
    sent = []
    send = clients._send

    def watched(call):
        sent.append(call.method)
        return send(call)

    clients._send = watched
    clients.publish("sent", "1", folder)
    assert sent == ["GET", "PATCH", "GET", "PATCH", "POST", "POST"]
    sent.clear()
    clients.publish("again", "1", folder)
    assert sent == ["GET", "POST"]


def test_what_an_earlier_upload_left_wrong_is_sent_anew(rest, clients):
    folder = rest.bundles.make(linear_softmax(6))
    base = f"/maas/v1/bundles/{Bundles.digest(folder)}/files"
    for name, data in (("maas.json", (folder / "maas.json").read_bytes()), ("model.onnx", b"wrong")):
        rest.http.patch(f"{base}/{name}", content=data, headers={"Upload-Offset": "0"}).raise_for_status()
    assert clients.publish("mended", "1", folder).versions[0].state == "ready"


def test_both_clients_publish(rest, clients):
    folders = iter([rest.bundles.make(linear_softmax(scale)) for scale in (7, 8)])
    for found in both(clients, lambda client: client.publish("twice", "1", next(folders), reason="again")):
        assert [row.state for row in found.versions] == ["ready"]
    assert [entry.reason for entry in clients.history("twice")] == ["again", "again"]


@pytest.mark.parametrize("damage", ["shorter", "altered", "gone", "manifest"])
def test_a_bundle_that_is_damaged_here(rest, clients, damage):
    folder = rest.bundles.make(linear_softmax(9))
    graph = folder / "model.onnx"
    if damage == "shorter":
        graph.write_bytes(graph.read_bytes()[:-1])
    elif damage == "altered":
        graph.write_bytes(b"X" + graph.read_bytes()[1:])
    elif damage == "gone":
        graph.unlink()
    else:
        (folder / "maas.json").unlink()
    with pytest.raises(BundleError, match=r"maas\.json" if damage == "manifest" else r"model\.onnx"):
        clients.publish("damaged", "1", folder)


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(tmp_path):
    """A server that speaks TLS and answers everything with 404; its port and its authority's file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port, tmp_path / "ca.pem"
    server.shutdown()
    server.server_close()


def test_only_the_named_authority_is_trusted(secure, tmp_path):
    port, authority = secure
    url = f"https://127.0.0.1:{port}"
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    for verify in (None, tmp_path / "other.pem"):
        with pytest.raises(NoAnswer, match=r"not safe.*certificate") as caught:
            ServingClient(url, "secret", verify=verify).metadata("m")
        assert "--ca-file" in caught.value.hint
        assert caught.value.lasting
    with pytest.raises(MaasError, match="answered 501"):
        ServingClient(url, "secret", verify=authority).metadata("m")
    with pytest.raises(NoAnswer):  # http to a port of https
        ServingClient(f"http://127.0.0.1:{port}", "secret", timeout=5).metadata("m")


def test_https_to_a_port_of_http(rest):
    with pytest.raises(NoAnswer, match="not safe") as caught:
        ServingClient(f"https://{rest.address}", "secret").metadata("m")
    assert "https" in caught.value.hint


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_an_authority_that_is_none(tmp_path, content):
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"ca\.pem cannot be read"):
        ServingClient("https://127.0.0.1:1", "secret", verify=path)


# -- the asynchronous client of a client, for as long as its event loop ------------------------------------------------


def test_without_an_event_loop_there_is_no_asynchronous_client():
    with (
        ServingClient("http://127.0.0.1:9", "t") as client,
        pytest.raises(UsageError, match="none runs here") as raised,
    ):
        client.asynchronous()
    assert "async function" in raised.value.hint


DESCRIPTORS = Path("/proc/self/fd")


async def descriptors():
    return sum(1 for _ in DESCRIPTORS.iterdir())


async def ask_within(client):
    found = await client.asynchronous().predict("pair", {"a": [1.0], "i": [0]})
    assert client.asynchronous() is client.asynchronous()
    return found.outputs["prediction"].tolist(), weakref.ref(asyncio.get_running_loop())


@pytest.mark.skipif(not DESCRIPTORS.exists(), reason="counts what /proc shows")
def test_every_event_loop_that_ends_takes_its_connections_along(clients):
    asyncio.run(ask_within(clients))
    gc.collect()
    before, loops = asyncio.run(descriptors()), []
    for _ in range(10):
        answer, loop = asyncio.run(ask_within(clients))
        assert answer == [11.0]
        loops.append(loop)
    gc.collect()
    assert [loop() for loop in loops] == [None] * 10

    async def as_before():
        while await descriptors() > before:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(as_before(), 30))


def test_an_event_loop_that_was_closed_without_an_end_is_forgotten(clients):
    loop = asyncio.new_event_loop()
    _, closed = loop.run_until_complete(ask_within(clients))
    loop.close()
    del loop
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # a loop with open connections was closed, as asyncio says
        asyncio.run(ask_within(clients))
        gc.collect()
    assert closed() is None


def test_closing_the_client_closes_those_of_running_event_loops(rest):
    async def scenario():
        client = ServingClient(f"http://{rest.address}", "the-token-of-an-admin")
        other = client.asynchronous()
        await other.model_status("pair")
        client.close()
        await until(lambda: other._http.is_closed)
        client.close()

    asyncio.run(scenario())


def test_answers_are_asked_for_as_they_are():
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.headers["Accept-Encoding"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with ServingClient(f"http://127.0.0.1:{server.server_port}", "secret") as client:
        client.metrics_text()
    server.shutdown()
    server.server_close()
    assert seen == ["identity"]
