from __future__ import annotations

import asyncio
import json
import logging
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from data_plane_parts import TOKENS, DataPlaneServer, until
from fake_runtimes import Doubling
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from maas_jupyter.errors import UsageError
from maas_jupyter.schema import ServedVersion
from maas_jupyter.serving.app import create_app
from maas_jupyter.serving.auth import Token
from maas_jupyter.serving.logs import JsonLines
from maas_jupyter.serving.options import Limits

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PREDICT = TOKENS[1].token


class Breaking(Doubling):
    def compute(self, x):
        if x[0, 0] == 13:
            self.running = 0
            raise ZeroDivisionError("secret detail")
        return super().compute(x)


@pytest.fixture
def server(tmp_path, fake_runtime):
    fake_runtime(Breaking)
    made = DataPlaneServer(tmp_path, limits=Limits(queue=1, body_bytes=10_000))
    made.serve_one(max_batch=1)
    yield made
    for loaded in made.repository.router("m").versions.values():
        loaded.servable.runtime.free.set()
    made.close()


@pytest.fixture
def runtime(server):
    return server.repository.router("m").pick().servable.runtime


# -- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/maas/v1/status"),
        ("POST", "/maas/v1/models/m/publish"),
        ("DELETE", "/maas/v1/models/m"),
        ("POST", "/v2/repository/models/m/unload"),
        ("POST", "/v2/repository/models/m/load"),
        ("GET", "/maas/"),
    ],
)
def test_a_token_for_predicting_may_not_administer(server, method, path):
    with server.client(PREDICT) as client:
        answer = client.request(method, path)
        assert answer.status_code == 403
        assert "not administer" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/v2", "/v2/models/m", "/v1/models/m", "/v1/models"])
def test_a_token_for_predicting_may_look(server, path):
    with server.client(PREDICT) as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready", "/openapi.json", "/docs"])
@pytest.mark.parametrize("token", ["", "wrong"])
def test_some_paths_are_open(server, path, token):
    with server.client(token) as client:
        assert client.get(path).status_code == 200


def test_a_wrong_token_is_refused_again_and_again(server):
    with server.client("wrong") as client:
        for _ in range(3):
            answer = server.infer(1, client=client)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    assert server.infer(1).status_code == 200


def test_two_principals_are_counted_apart(server):
    with server.client(PREDICT) as client:
        for _ in range(3):
            assert server.infer(1, client=client).status_code == 200
    assert server.infer(1).status_code == 200
    assert server.counts().principals == {"ann": 1, "rob": 3}


@pytest.mark.parametrize("root", ["", "/m", "/maas", "/maas/", "/maas/v1", "/v2", "/v2/repository", "/", "m", "/m/"])
@pytest.mark.parametrize("mounted", [False, True])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/maas/v1/status"), ("POST", "/v2/repository/models/m/unload"), ("GET", "/maas/v1/logs")],
)
def test_a_token_for_predicting_reaches_no_admin_function_whatever_the_root_path(server, root, mounted, method, path):
    async def ask():
        transport = httpx.ASGITransport(server.app, root_path=root)
        headers = {"Authorization": f"Bearer {PREDICT}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://x", headers=headers) as client:
            return await client.request(method, root + path if mounted and root.startswith("/") else path)

    assert asyncio.run(ask()).status_code in (403, 404)


def test_the_roles_are_kept_apart_under_the_prefix_of_a_host(tmp_path):
    inner = create_app(tmp_path, TOKENS)
    with TestClient(Starlette(routes=[Mount("/ma", inner), Mount("/v2", inner)])) as host:
        for role, statuses in ((TOKENS[0].token, {200}), (PREDICT, {403})):
            host.headers["Authorization"] = f"Bearer {role}"
            paths = ("/ma/maas/v1/status", "/v2/maas/v1/status")
            assert {host.get(path).status_code for path in paths} == statuses
            assert host.get("/ma/v2").status_code == host.get("/v2/v2").status_code == 200


@pytest.mark.parametrize("tokens", ["", " ", "short", "größer-als-sechzehn", [Token("rob", "predict", "")]])
def test_tokens_that_would_let_others_in_are_refused(tmp_path, tokens):
    with pytest.raises(UsageError, match="shorter than 16 characters") as refused:
        create_app(tmp_path, tokens)
    assert "short'" not in str(refused.value)


@pytest.mark.parametrize("authorization", ["Bearer", "bearer", "", "Basic"])
def test_no_token_is_no_token(server, authorization):
    with server.client("") as client:
        assert client.get("/v2", headers={"Authorization": authorization}).status_code == 401


# -- what comes in and goes out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v2/models/nothing/infer", "/v2", "/nothing"])
def test_request_ids_and_traces_are_passed_on(server, path):
    headers = {"X-Request-Id": "the-request", "traceparent": TRACE}
    answer = server.http.request("POST" if "infer" in path else "GET", path, headers=headers, content=b"{}")
    assert (answer.headers["x-request-id"], answer.headers["traceparent"]) == ("the-request", TRACE)
    unlike = {"X-Request-Id": "a b", "traceparent": "00-xyz"}
    first, second = (server.http.post(path, headers=unlike, content=b"{}") for _ in range(2))
    assert first.headers["x-request-id"] not in ("a b", second.headers["x-request-id"])
    assert "traceparent" not in first.headers


def test_a_routing_key_always_finds_the_same_version(server):
    old = server.repository.router("m").pick()
    served = [ServedVersion("1", old.digest, 50), ServedVersion("2", server.bundle(created_by="two"), 50)]
    server.serve("m", *served)

    def versions(key):
        return {server.infer(1, headers={"X-Routing-Key": key}).json()["model_version"] for _ in range(5)}

    found = [versions(f"user-{number}") for number in range(20)]
    assert all(len(each) == 1 for each in found)
    assert set.union(*found) == {"1", "2"}


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan", "inf", "1e9"])
def test_a_deadline_that_is_none(server, value):
    answer = server.infer(1, headers={"X-Request-Timeout": value})
    assert answer.status_code == 400
    assert "X-Request-Timeout" in answer.json()["error"]


def test_a_deadline_during_the_wait_is_503_with_retry_after(server, runtime):
    runtime.free.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.infer, 1)
        assert runtime.began.acquire(timeout=30)
        late = server.infer(2, headers={"X-Request-Timeout": "0.05"})
        assert late.status_code == 503
        assert "deadline" in late.json()["error"]
        runtime.free.set()
        assert first.result().status_code == 200
    assert server.counts().requests["m", "1", "v2-rest", 503] == 1


def test_a_run_that_hangs_holds_neither_its_client_nor_the_next_version(server, runtime):
    runtime.free.clear()
    answer = server.infer(1, headers={"X-Request-Timeout": "0.2"})
    assert (answer.status_code, runtime.rows) == (503, [1])
    assert "deadline" in answer.json()["error"]
    assert server.counts().requests["m", "1", "v2-rest", 503] == 1
    server.serve("m", ServedVersion("2", server.bundle(created_by="two")))
    answer = server.infer(1)
    assert (answer.status_code, answer.json()["model_version"]) == (200, "2")
    assert not runtime.unloaded, "not while it computes"
    runtime.free.set()
    asyncio.run(until(lambda: runtime.unloaded))


def test_a_full_queue_is_429_with_retry_after(server, runtime):
    runtime.free.clear()
    batcher = server.repository.router("m").pick().batcher
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(server.infer, 1)]
        assert runtime.began.acquire(timeout=30)
        asked.append(pool.submit(server.infer, 2))
        asyncio.run(until(lambda: batcher.depth == 1))
        assert server.counts().queue_depth == {("m", "1"): 1}
        refused = server.infer(3)
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        runtime.free.set()
        assert [each.result().status_code for each in asked] == [200, 200]


def test_a_client_that_hangs_up_while_it_waits_is_counted_as_499(server, runtime):
    runtime.free.clear()
    batcher = server.repository.router("m").pick().batcher
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.infer, 1)
        assert runtime.began.acquire(timeout=30)
        with server.client() as impatient, pytest.raises(Exception, match="timed out"):
            server.infer(2, client=impatient, timeout=0.2)
        asyncio.run(until(lambda: batcher.depth == 0))
        runtime.free.set()
        assert first.result().status_code == 200
    asyncio.run(until(lambda: server.counts().requests.get(("m", "1", "v2-rest", 499)) == 1))
    assert runtime.rows == [1]


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_what_nobody_foresaw_is_500_and_one_line_in_the_log(server, caplog):
    caplog.set_level(logging.INFO)
    answer = server.infer(13, headers={"X-Request-Id": "the-request", "traceparent": TRACE})
    assert answer.status_code == 500
    assert answer.json() == {"error": "internal error (request the-request)"}
    (record,) = [record for record in caplog.records if "request failed" in record.message]
    line = json.loads(JsonLines("worker").format(record))
    assert (line["request_id"], line["traceparent"], line["principal"]) == ("the-request", TRACE, "ann")
    assert "secret detail" in line["traceback"]
    assert TOKENS[0].token not in json.dumps(line)
    assert server.infer(1).status_code == 200


def test_a_refusal_of_503_is_one_line_without_a_traceback(server, caplog):
    server.serve("m", ServedVersion("1", server.repository.router("m").pick().digest, 0))
    answer = server.infer(1)
    assert answer.status_code == 503
    (record,) = [record for record in caplog.records if "request failed" in record.message]
    assert (record.levelname, record.exc_info) == ("WARNING", None)


def test_unknown_routes_and_methods(server):
    answer = server.http.get("/nothing")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "There is no GET /nothing here.\nGET /docs shows every route."},
    )
    for path in ("/v2/models/m/infer", "/v1/models/m:predict"):
        answer = server.http.get(path)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.json() == {"error": f"There is no GET {path} here.\nIt takes POST."}


@pytest.mark.parametrize("length", [200, 1500, 30_000])
def test_names_longer_than_any_model(server, length):
    answer = server.http.post(f"/v2/models/{'m' * length}/infer", json={})
    assert answer.status_code == 404
    assert len(answer.json()["error"]) < 500


def test_a_browser_of_another_site_gets_no_leave(server):
    answer = server.http.options(
        "/v2/models/m/infer", headers={"Origin": "http://x", "Access-Control-Request-Method": "POST"}
    )
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]
