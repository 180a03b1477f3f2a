"""What the client asks again, what it does not, and how often it asks; against a server that follows a script."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from maas_jupyter.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    MaasError,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from maas_jupyter.serving.client import AsyncServingClient, NoAnswer, ServingClient
from maas_jupyter.serving.client.calls import Call, Pause, ask

METADATA = {
    "name": "m",
    "versions": ["1"],
    "platform": "onnx",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
}
STATUS = {"name": "m", "versions": []}


def ok(content):
    return 200, {}, json.dumps(content).encode()


def error(status, text="what\nnext step", **headers):
    return (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        json.dumps({"error": text}).encode(),
    )


def answered(version="1", values=(1.0,)):
    """A binary answer of infer."""
    raw = np.array(values, np.float32).tobytes()
    output = {"name": "y", "shape": [len(values)], "datatype": "FP32", "parameters": {"binary_data_size": len(raw)}}
    head = json.dumps({"model_name": "m", "model_version": version, "outputs": [output]}).encode()
    return 200, {"Inference-Header-Content-Length": str(len(head))}, head + raw


CUT = "cut"


class Script:
    """A server that gives the answers of a list, one for each request, and keeps the requests."""

    def __init__(self):
        self.answers = []
        self.requests = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                script.requests.append((f"{self.command} {self.path}", dict(self.headers)))
                answer = script.answers.pop(0)
                if answer is CUT:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, body = answer
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PATCH = do_DELETE = answer

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def asked(self):
        return [line for line, _ in self.requests]

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def script():
    script = Script()
    yield script
    script.close()


class Asynchronous:
    """The asynchronous client, called as the other one."""

    def __init__(self, url, token, timeout=30.0):
        self._made = (url, token, timeout)

    def __getattr__(self, name):
        async def call(*arguments, **options):
            async with AsyncServingClient(*self._made) as client:
                return await getattr(client, name)(*arguments, **options)

        return lambda *arguments, **options: asyncio.run(call(*arguments, **options))


@pytest.fixture(params=[ServingClient, Asynchronous])
def make(request, script):
    return lambda timeout=30.0: request.param(script.url, "secret", timeout)


# -- again, or not ----------------------------------------------------------------------------------------------------


def test_a_lost_connection_is_made_again_for_what_can_be_repeated(script, make):
    client = make()
    script.answers = [CUT, ok(METADATA)]
    assert client.metadata("m").versions == ["1"]
    script.answers = [CUT, CUT, answered()]
    assert client.infer("m", {"x": np.ones((1, 2), np.float32)}).outputs["y"].tolist() == [1.0]
    assert len(script.requests) == 5


def test_a_lost_connection_is_given_up_after_three_attempts(script, make):
    script.answers = [CUT] * 10
    with pytest.raises(NoAnswer, match="does not answer"):
        make().metadata("m")
    assert len(script.requests) == 3
    assert len({headers["X-Request-Id"] for _, headers in script.requests}) == 1  # one call has one id


@pytest.mark.parametrize(
    "change",
    [
        lambda client: client.promote("m"),
        lambda client: client.rollback("m"),
        lambda client: client.unpublish("m"),
        lambda client: client.load("m"),
        lambda client: client.unload("m"),
    ],
)
def test_a_change_that_was_sent_is_never_sent_again(script, make, change):
    script.answers = [CUT] * 3
    with pytest.raises(NoAnswer, match="lost before its answer") as caught:
        change(make())
    assert "history" in caught.value.hint
    assert len(script.requests) == 1
    script.answers = [error(503, Retry_After="0"), ok(STATUS)]
    with pytest.raises(Unavailable):
        change(make())


def test_a_change_that_never_left_is_tried_again():
    call = Call("POST", "/maas/v1/models/m/promote", 30.0)
    attempts = ask(call)
    assert next(attempts).path == call.path
    assert isinstance(attempts.throw(NoAnswer("refused", sent=False)), Pause)
    assert attempts.send(None).path == call.path
    with pytest.raises(NoAnswer, match="lost"):
        attempts.throw(NoAnswer("lost", sent=True))


def test_what_would_fail_the_same_again_is_not_tried_again():
    attempts = ask(Call("GET", "/", 30.0, repeatable=True))
    next(attempts)
    with pytest.raises(NoAnswer):
        attempts.throw(NoAnswer("not trusted", sent=False, lasting=True))


@pytest.mark.parametrize(("status", "kind"), [(429, TooManyRequests), (503, Unavailable)])
def test_a_busy_server_says_when_to_come_back(script, make, status, kind):
    script.answers = [error(status, Retry_After="0"), error(status, Retry_After="0"), ok(METADATA)]
    assert make().metadata("m").name == "m"
    assert len(script.requests) == 3
    script.answers = [error(status, Retry_After="100")]  # longer than the client waits
    with pytest.raises(kind) as caught:
        make(timeout=5).metadata("m")
    assert caught.value.retry_after == 100
    script.answers = [error(status)]  # it does not say when
    with pytest.raises(kind) as caught:
        make().metadata("m")
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, InvalidInput),
        (504, Unavailable),
        (507, Unavailable),
        (500, MaasError),
        (302, MaasError),
    ],
)
def test_errors_come_back_as_what_they_were(script, make, status, kind):
    script.answers = [error(status)]
    with pytest.raises(MaasError) as caught:
        make().metadata("m")
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == ("what", "next step")
    assert len(script.requests) == 1


@pytest.mark.parametrize("token", ["", "with space", "line\nbreak", "ünicode"])
def test_what_cannot_be_a_token_is_not_shown(token):
    for client in (ServingClient, AsyncServingClient):
        with pytest.raises(Unauthorized) as caught:
            client("http://127.0.0.1:1", token)
        assert not token or token not in str(caught.value)


# -- how often --------------------------------------------------------------------------------------------------------


def test_a_prediction_is_one_request_after_the_first(script):
    client = ServingClient(script.url, "secret")
    script.answers = [ok(METADATA), *[answered()] * 5]
    for _ in range(5):
        assert client.predict("m", [[1, 2]]).version == "1"
    assert script.asked == ["GET /v2/models/m", *["POST /v2/models/m/infer"] * 5]


def test_clients_of_both_kinds_share_what_they_know(script):
    client = ServingClient(script.url, "secret")
    script.answers = [ok(METADATA), answered(), answered()]
    client.predict("m", [[1, 2]])

    async def ask():
        found = await client.asynchronous().predict("m", [[1, 2]])
        assert client.asynchronous() is client.asynchronous()
        await client.asynchronous().aclose()
        return found

    assert asyncio.run(ask()).version == "1"
    assert len(script.requests) == 3


def integers(versions):
    return {**METADATA, "versions": versions, "inputs": [{"name": "n", "datatype": "INT64", "shape": [-1]}]}


def test_another_version_is_asked_what_it_takes_the_next_time(script):
    client = ServingClient(script.url, "secret")
    script.answers = [ok(METADATA), answered(), answered("2"), ok(integers(["2"])), answered("2")]
    for rows in ([[1, 2]], [[1, 2]], [7]):
        client.predict("m", rows)
    assert [line.split()[0] for line in script.asked] == ["GET", "POST", "POST", "GET", "POST"]


@pytest.mark.parametrize("refused", [error(400), error(404)])
def test_a_refusal_is_answered_with_a_look_at_the_signature(script, refused):
    client = ServingClient(script.url, "secret")
    script.answers = [ok(METADATA), answered(), refused, ok({**METADATA, "versions": ["2"]})]
    client.predict("m", [[1, 2]])
    with pytest.raises(MaasError, match="what"):  # it is the same: the refusal was about the rows
        client.predict("m", [[1, 2]])
    script.answers = [refused, ok(integers(["3"]))]
    with pytest.raises(InvalidInput, match="expects"):  # it is another: the rows do not fit that one
        client.predict("m", [[1.5, 2]])
    assert len(script.requests) == 6


def test_rows_that_fit_only_the_new_signature_are_sent(script):
    client = ServingClient(script.url, "secret")
    script.answers = [ok(METADATA), answered(), ok(integers(["2"])), answered("2")]
    client.predict("m", [[1, 2]])
    assert client.predict("m", [1, 2, 3]).version == "2"
    assert [line.split()[0] for line in script.asked] == ["GET", "POST", "GET", "POST"]


def test_rows_that_never_fitted_ask_for_nothing_more(script):
    client = ServingClient(script.url, "secret")
    script.answers = [ok(METADATA)]
    with pytest.raises(InvalidInput):
        client.predict("m", [1, 2, 3])
    assert script.asked == ["GET /v2/models/m"]


def test_the_server_is_told_how_long_the_client_waits(script):
    script.answers = [ok(METADATA), answered()]
    ServingClient(script.url, "secret", timeout=7).predict("m", [[1, 2]])
    _, headers = script.requests[-1]
    assert headers["X-Request-Timeout"] == "7"
    assert re.fullmatch(r"[0-9a-f]{16}", headers["X-Request-Id"])


@pytest.mark.parametrize(
    "answer",
    [
        (200, {}, b"{}"),
        (200, {"Inference-Header-Content-Length": "x"}, b"{}"),
        (200, {"Inference-Header-Content-Length": "2"}, b"{}"),
        (200, {"Inference-Header-Content-Length": "-1"}, b"{}"),
        (200, {**answered()[1]}, answered()[2][:-1]),
        ok({"model_name": "m", "model_version": "1", "outputs": [{"name": "y", "shape": [1], "datatype": "FP32"}]}),
    ],
)
def test_answers_that_are_none(script, answer):
    script.answers = [ok(METADATA), answer]
    with pytest.raises(Unavailable, match="not this version's model server"):
        ServingClient(script.url, "secret").predict("m", [[1, 2]])
