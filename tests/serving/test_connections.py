"""Connections that do not behave, on real sockets."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from data_plane_parts import TOKENS, DataPlaneServer
from fake_runtimes import Doubling, QuickDoubling

from maas_jupyter.serving.options import Limits

LIMITS = Limits(header_seconds=0.5, body_seconds=0.5, body_bytes=100_000)
BODY = json.dumps({"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}).encode()
KIND = b"Content-Type: application/json\r\n"
TOKEN = f"authorization: Bearer {TOKENS[0].token}\r\n".encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    import fake_runtimes

    from maas_jupyter import plugins

    plugins.BUILTIN["runtime"]["fake"] = plugins.Plugin("fake_runtimes:make")
    fake_runtimes.make = QuickDoubling
    made = DataPlaneServer(tmp_path_factory.mktemp("connections"), limits=LIMITS)
    made.serve_one()
    fake_runtimes.make = Doubling
    made.serve_one("slow", created_by="slow")
    yield made
    made.close()
    del plugins.BUILTIN["runtime"]["fake"]


@pytest.fixture
def connect(server):
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(socket.create_connection(server.address, timeout=30))


def request(*headers, body=BODY, path=b"/v2/models/m/infer", version=b"HTTP/1.1"):
    lines = b"".join(header + b"\r\n" for header in headers)
    length = b"content-length: %d\r\n" % len(body) if not any(b"transfer-encoding" in h for h in headers) else b""
    return b"POST " + path + b" " + version + b"\r\nhost: x\r\n" + TOKEN + length + lines + b"\r\n" + body


def answer(connection, *, rest=b""):
    """Read one answer; return its status, its headers, its body, and what came after it."""
    data = rest
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, f"the connection was closed after {data!r}"
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    length = int(headers.get("content-length", 0))
    return int(status.split()[1]), headers, body[:length], body[length:]


def closed(connection):
    """Wait for the end of a connection; return what came before it."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            data += part
    return data


# -- whole requests, which take the shorter way -----------------------------------------------------------------------


def test_one_connection_carries_many_requests(connect):
    connection = connect()
    for _ in range(3):
        connection.sendall(request())
        status, headers, body, rest = answer(connection)
        assert (status, rest) == (200, b"")
        assert headers["content-type"] == "application/json"
        assert {"date", "server", "x-request-id"} <= headers.keys()
        assert json.loads(body)["outputs"][0]["data"] == [2, 4]


@pytest.mark.parametrize(
    "path", [b"/v2/models/m/infer", b"/v2/models/slow/infer", b"/v2/models/%6d/infer", b"/v2/models/m/infer?a=b"]
)
def test_requests_one_behind_the_other_are_answered_in_order(connect, path):
    connection = connect()
    count = 5
    connection.sendall(b"".join(request(b"x-request-id: %d" % number, path=path) for number in range(count)))
    rest = b""
    for number in range(count):
        status, headers, body, rest = answer(connection, rest=rest)
        assert (status, headers["x-request-id"]) == (200, str(number))
        assert json.loads(body)["outputs"][0]["data"] == [2, 4]


@pytest.mark.parametrize("cut", [1, 30, 70, 170, -len(BODY), -20, -1])
def test_a_request_in_two_parts(connect, cut):
    connection = connect()
    whole = request()
    for _ in range(2):
        connection.sendall(whole[:cut])
        time.sleep(0.02)  # so that they arrive apart
        connection.sendall(whole[cut:])
        assert answer(connection)[0] == 200


def test_a_whole_request_and_a_part_of_the_next(connect):
    connection = connect()
    whole = request()
    connection.sendall(whole + whole[:-5])
    status, _, _, rest = answer(connection)
    assert status == 200
    connection.sendall(whole[-5:])
    assert answer(connection, rest=rest)[0] == 200


@pytest.mark.parametrize(("headers", "version"), [((b"connection: close",), b"HTTP/1.1"), ((), b"HTTP/1.0")])
def test_the_last_request_of_a_connection(connect, headers, version):
    connection = connect()
    connection.sendall(request(*headers, version=version))
    status, found, body, _ = answer(connection)
    assert (status, found["connection"]) == (200, "close")
    assert json.loads(body)["model_name"] == "m"
    assert closed(connection) == b""


def test_errors_take_the_same_way(connect):
    connection = connect()
    for path, status in ((b"/v2/models/nothing/infer", 404), (b"/v2/models/m/versions/7/infer", 404)):
        connection.sendall(request(path=path))
        found, _, body, _ = answer(connection)
        assert found == status
        assert "error" in json.loads(body)
    connection.sendall(request(body=b"{"))
    assert answer(connection)[0] == 400
    connection.sendall(request().replace(b"POST", b"GET", 1))
    assert answer(connection)[0] == 405
    connection.sendall(request())
    assert answer(connection)[0] == 200


def test_expect_continue_is_told_to_go_on(connect):
    connection = connect()
    connection.sendall(request(b"expect: 100-continue")[: -len(BODY)])
    assert connection.recv(100).startswith(b"HTTP/1.1 100 ")
    connection.sendall(BODY)
    assert answer(connection)[0] == 200


def test_chunked_bodies(connect):
    connection = connect()
    for _ in range(2):
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, BODY[at : at + 1]) for at in range(len(BODY))) + b"0\r\n\r\n"
        connection.sendall(request(b"transfer-encoding: chunked", body=chunks))
        assert answer(connection)[0] == 200


def test_an_upgrade_is_not_made(connect):
    connection = connect()
    connection.sendall(request(b"connection: upgrade", b"upgrade: h2c"))
    assert answer(connection)[0] in (200, 400)


def test_a_half_closed_connection_counts_as_hung_up(connect):
    connection = connect()
    connection.sendall(request())
    connection.shutdown(socket.SHUT_WR)
    found = closed(connection)
    assert found == b"" or found.startswith(b"HTTP/1.1 200")
    assert answer_of_another(connect) == 200


def test_without_httptools(tmp_path, fake_runtime, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.http.httptools_impl", None)
    fake_runtime(QuickDoubling)
    server = DataPlaneServer(tmp_path, limits=LIMITS)
    try:
        server.serve_one()
        with contextlib.ExitStack() as stack:
            silent, dripping, good = (
                stack.enter_context(socket.create_connection(server.address, timeout=30)) for _ in range(3)
            )
            dripping.sendall(request()[:50])
            for _ in range(2):
                good.sendall(request())
                assert answer(good)[0] == 200
            assert [closed(each) for each in (silent, dripping, good)] == [b"", b"", b""]
    finally:
        server.close()


def answer_of_another(connect):
    connection = connect()
    connection.sendall(request())
    return answer(connection)[0]


# -- slow senders -----------------------------------------------------------------------------------------------------


def drip(connection, data, stop):
    """Send a byte now and then."""
    with contextlib.suppress(OSError):
        for byte in data:
            connection.sendall(bytes([byte]))
            if stop.wait(0.05):
                return


def test_a_connection_that_sends_nothing_is_closed(connect):
    assert closed(connect()) == b""


def test_a_connection_that_sends_nothing_more_is_closed(connect):
    connection = connect()
    connection.sendall(request())
    assert answer(connection)[0] == 200
    assert closed(connection) == b""


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("start", [b"", b"\r\n" * 1000, b"POST /v2/models/m/infer HTTP/1.1\r\n" + b"x-a: b\r\n" * 1000])
def test_a_slow_head_is_cut_off(connect, before, start):
    connection, stop = connect(), threading.Event()
    for _ in range(before):
        connection.sendall(request())
        assert answer(connection)[0] == 200
    with ThreadPoolExecutor(1) as pool:
        dripping = pool.submit(drip, connection, start or request(), stop)
        closed(connection)
        stop.set()
        dripping.result()


def test_a_slow_body_is_408(connect):
    for sent in (0, 5):
        connection, stop = connect(), threading.Event()
        connection.sendall(request()[: sent - len(BODY)])
        with ThreadPoolExecutor(1) as pool:
            dripping = pool.submit(drip, connection, b" " * 1000 if sent else b"", stop)
            status, _, body, _ = answer(connection)
            assert (status, "0.5 s" in json.loads(body)["error"]) == (408, True)
            stop.set()
            dripping.result()


@pytest.mark.parametrize(
    "line",
    [
        b"POST /v2/repository/index",
        b"POST /v2/repository/models/m/load",
        b"POST /maas/v1/models/m/publish",
        b"POST /maas/v1/models/m/promote",
        b"DELETE /maas/v1/models/m",
        b"POST /invocations?model=m",
        b"POST /v1/models/m/labels/stable:predict",
    ],
)
def test_a_slow_body_is_408_on_every_route(connect, line):
    connection, stop = connect(), threading.Event()
    connection.sendall(line + b" HTTP/1.1\r\nHost: x\r\n" + KIND + TOKEN + b"Content-Length: 1000\r\n\r\n{")
    with ThreadPoolExecutor(1) as pool:
        dripping = pool.submit(drip, connection, b" " * 900, stop)
        assert answer(connection)[0] == 408
        stop.set()
        dripping.result()


def test_a_slow_answer_is_no_slow_sender(server, connect):
    runtime = server.repository.router("slow").pick().servable.runtime
    runtime.free.clear()
    connection = connect()
    connection.sendall(request(path=b"/v2/models/slow/infer"))
    assert runtime.began.acquire(timeout=30)
    assert closed(connect()) == b"", "as long as a head may take"
    assert closed(connect()) == b""
    runtime.free.set()
    assert answer(connection)[0] == 200


def test_a_thousand_idle_connections_keep_nobody_out(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    try:
        with contextlib.ExitStack() as stack:
            idle = [stack.enter_context(socket.create_connection(server.address, timeout=30)) for _ in range(1000)]
            for number, connection in enumerate(idle):
                if number % 2:
                    connection.sendall(b"POST /v2/mod")
            assert server.infer(1).status_code == 200
            assert all(closed(connection) == b"" for connection in idle)
        assert server.infer(1).status_code == 200
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- what is no request -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\xff" * 100, b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"POST / HTTP/9.9\r\n\r\n"],
)
def test_garbage_is_400_and_the_end(connect, garbage):
    connection = connect()
    connection.sendall(garbage)
    assert closed(connection).startswith(b"HTTP/1.1 400")
    assert answer_of_another(connect) == 200


def test_garbage_after_a_request(connect):
    connection = connect()
    connection.sendall(request() + b"\x00garbage\r\n\r\n")
    closed(connection)
    assert answer_of_another(connect) == 200


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 10_000_000,
        b"GET / HTTP/1.1\r\nx: " + b"a" * 10_000_000,
        b"GET / HTTP/1.1\r\n" + b"x: a\r\n" * 2_000_000,
    ],
)
def test_a_huge_head_is_cut_off(connect, head):
    connection = connect()
    with contextlib.suppress(OSError):
        connection.sendall(head)
    connection.settimeout(30)
    found = closed(connection)
    assert found == b"" or found.startswith(b"HTTP/1.1 431")
    assert answer_of_another(connect) == 200


def test_a_body_longer_than_its_content_length(connect):
    connection = connect()
    connection.sendall(request().replace(b"content-length: %d" % len(BODY), b"content-length: 5"))
    data = closed(connection)
    assert data.startswith(b"HTTP/1.1 400")
    assert answer_of_another(connect) == 200


@pytest.mark.parametrize("length", [b"-1", b"abc", b"1e3", b"99999999999999999999999999"])
def test_a_content_length_that_is_none(connect, length):
    connection = connect()
    connection.sendall(request().replace(b"content-length: %d" % len(BODY), b"content-length: " + length))
    assert closed(connection).startswith(b"HTTP/1.1 400")


def test_a_client_that_hangs_up_within_its_body(server, connect):
    connection = connect()
    connection.sendall(request()[:-10])
    connection.close()
    assert answer_of_another(connect) == 200


# -- bodies over the limit --------------------------------------------------------------------------------------------


def test_a_body_over_the_limit_is_413_and_its_connection_goes_on(connect):
    connection = connect()
    for _ in range(2):
        connection.sendall(request(body=b" " * 150_000))
        status, _, body, _ = answer(connection)
        assert (status, "100,000" in json.loads(body)["error"]) == (413, True)
        connection.sendall(request())
        assert answer(connection)[0] == 200


def test_chunks_over_the_limit_are_413_and_their_connection_goes_on(connect):
    connection = connect()
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    connection.sendall(request(b"transfer-encoding: chunked", body=chunk * 40 + b"0\r\n\r\n"))
    assert answer(connection)[0] == 413
    connection.sendall(request())
    assert answer(connection)[0] == 200


def test_chunks_without_end_are_413_and_cut_off(connect):
    connection, stop = connect(), threading.Event()
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"

    def send():
        with contextlib.suppress(OSError):
            connection.sendall(request(b"transfer-encoding: chunked", body=b""))
            while not stop.wait(0.005):
                connection.sendall(chunk)

    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        assert answer(connection)[0] == 413
        closed(connection)
        stop.set()
        sending.result()
