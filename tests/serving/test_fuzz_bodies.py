"""Requests that are nearly right: bodies, lengths and headers, altered by hypothesis, over real HTTP."""

from __future__ import annotations

import gzip
import http.client
import json
import sys
import zlib
from collections import Counter
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from bundles import Bundles
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rest_server import picture, publish_all
from supervised import Server
from test_fuzz_documented import resident

X = np.eye(2, 4, dtype=np.float32)


def v2(*tensors, tail=b"", **fields):
    head = json.dumps({"inputs": list(tensors), **fields}).encode()
    return head + tail, {"Inference-Header-Content-Length": str(len(head))} if tail else {}


def tensor(name, shape, datatype, **rest):
    return {"name": name, "shape": shape, "datatype": datatype, **rest}


BINARY = v2(tensor("x", [2, 4], "FP32", parameters={"binary_data_size": 32}), tail=X.tobytes())
TEXTS = (3).to_bytes(4, "little") + b"abc" + (0).to_bytes(4, "little")
MIXED = v2(
    tensor("text", [2], "BYTES", parameters={"binary_data_size": len(TEXTS)}),
    tensor("n", [2], "INT64", data=[1, 2]),
    tail=TEXTS,
    parameters={"binary_data_output": True},
)
PICTURE = v2(
    tensor("image", [1], "BYTES", parameters={"binary_data_size": 4 + len(picture())}),
    tail=len(picture()).to_bytes(4, "little") + picture(),
)
JSON = v2(
    tensor("x", [2, 4], "FP32", data=X.tolist()),
    id="a",
    parameters={"timeout": 5_000_000},
    outputs=[{"name": "scores", "parameters": {"classification": 2, "binary_data": False}}],
)


def of_json(body):
    return json.dumps(body).encode(), {"Content-Type": "application/json"}


#: Requests that are answered with 200.
RIGHT = [
    ("/v2/models/digits/infer", *BINARY),
    ("/v2/models/digits/infer", *JSON),
    ("/v2/models/words/infer", *MIXED),
    ("/v2/models/picture/infer", *PICTURE),
    ("/v2/models/digits/infer", X.tobytes(), {"Inference-Header-Content-Length": "0"}),
    ("/v1/models/digits:predict", *of_json({"instances": [{"x": row} for row in X.tolist()]})),
    ("/v1/models/echo:predict", *of_json({"inputs": {"text": ["a", {"b64": "Yg=="}]}})),
    ("/v1/models/digits:classify", *of_json({"examples": [{"x": [1, 2, 3, 4]}], "context": {"x": [0, 0, 0, 0]}})),
    ("/v1/models/pair/labels/stable:regress", *of_json({"examples": [{"a": 1.5, "i": [2]}]})),
    ("/models/pair/invocations", *of_json({"dataframe_split": {"columns": ["a", "i"], "data": [[1, 0], [2.5, 1]]}})),
    ("/invocations?model=pair", *of_json({"dataframe_records": [{"a": 1, "i": 2}], "params": {}})),
    ("/models/words/invocations", b'n,text\n1,"a,b"\n-2,c\n', {"Content-Type": "text/csv"}),
    ("/v2/repository/index", *of_json({"ready": True})),
]
_ODD_BYTES = st.sampled_from(
    [
        b"",
        b"0",
        b"-1",
        b"1e400",
        b"9223372036854775808",
        b"NaN",
        b"null",
        b"true",
        b'"',
        b"\\",
        b"[" * 300,
        b"{",
        b"\xff",
        b"\x00",
        b'"\\ud800"',
        b",",
        b"\r\n",
    ]
)
_ODD_LENGTHS = st.sampled_from(
    ["-1", "+5", "5.0", "", " 7", "0x10", "999999999999", "1" * 5000, "\u0661"]
) | st.integers(0, 400).map(str)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Inference-Header-Content-Length": _ODD_LENGTHS,
        "Content-Type": st.sampled_from(
            ["", "text/csv", "application/json; charset=utf-7", "application/octet-stream", ";;", "\xff"]
        ),
        "Content-Encoding": st.sampled_from(["gzip", "deflate", "identity", "br", "gzip, gzip", ""]),
        "Accept-Encoding": st.sampled_from(["gzip", "deflate", "*", "gzip;q=0", ";q=", ","]),
        "X-Request-Timeout": st.sampled_from(["1", "-1", "nan", "inf", "1e-9", "x", "1_0"]),
        "X-Request-Id": st.sampled_from(["", "a", "a b", "\xff", "x" * 300]),
        "X-Routing-Key": st.text(
            st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=8
        ),
        "X-Model": st.sampled_from(["", "digits", "../x", "\xe9"]),
        "traceparent": st.sampled_from(["00", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"]),
    },
)


@st.composite
def altered(draw):
    path, body, headers = draw(st.sampled_from(RIGHT))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.sampled_from([0, 1, 2, 8, 40])))
        put = draw(_ODD_BYTES | st.binary(max_size=6) | st.just(body[start:end] * 2))
        body = body[:start] + put + body[end:]
    headers = {**headers, **draw(st.just({}) | _HEADERS)}
    squeezed = draw(st.sampled_from([None, None, None, "gzip", "deflate"]))
    if squeezed:
        body = gzip.compress(body) if squeezed == "gzip" else zlib.compress(body)
        body = body[: len(body) - draw(st.sampled_from([0, 0, 1, 9]))]
        headers["Content-Encoding"] = squeezed
    return path, body, headers


def ask_altered(address, token, examples):
    """Ask so often; return how many answers had which status."""
    statuses = Counter()
    # The standard library's client sends headers that others refuse to.
    connection = http.client.HTTPConnection(address, timeout=60)

    @seed(20_000)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(altered())
    def ask(request):
        path, body, headers = request
        sent = {name: value.encode("utf-8" if name.startswith("Inf") else "latin-1") for name, value in headers.items()}
        connection.request("POST", path, body, {"Authorization": f"Bearer {token}", **sent})
        answer = connection.getresponse()
        content = answer.read()
        statuses[answer.status] += 1
        assert answer.status < 500 or answer.status == 503, (request, content)
        if answer.status != 200 and answer.headers["X-Request-Id"]:  # else no HTTP at all, says uvicorn
            assert set(json.loads(content)) in ({"error"}, {"error_code", "message"})

    try:
        ask()
    finally:
        connection.close()
    return statuses


@pytest.mark.parametrize(("path", "body", "headers"), RIGHT)
def test_unaltered_they_are_right(rest, path, body, headers):
    answer = rest.http.post(path, content=body, headers=headers)
    assert answer.status_code == 200, answer.text


def test_a_few_hundred_requests(rest):
    statuses = ask_altered(rest.address, "the-token-of-an-admin", 400)
    assert {200, 400} <= set(statuses)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_twenty_thousand_altered_requests(tmp_path, capsys):
    server = Server(tmp_path / "home", "--workers", "1").start()
    try:
        headers = {"Authorization": f"Bearer {server.record.token}"}
        with httpx.Client(base_url=server.record.url, headers=headers, timeout=60) as sender:
            publish_all(sender, Bundles(tmp_path / "made"))
        workers = server.workers()
        sender = (urlsplit(server.record.url).netloc, server.record.token)
        ask_altered(*sender, 2000)
        before = resident(server)
        statuses = ask_altered(*sender, 20_000)
        after = resident(server)
        with capsys.disabled():
            sys.stdout.write(
                f"\n{statuses.total()} requests, {sorted(statuses.items())}, {before:.1f} -> {after:.1f} MiB\n"
            )
        assert statuses.total() >= 20_000
        assert server.workers() == workers
        assert after < before + 10
    finally:
        server.close()
