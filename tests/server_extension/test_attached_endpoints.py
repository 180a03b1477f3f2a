"""Attaching an endpoint through the panel's routes, and its row in the snapshot."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_extension import look_until, snapshot_of
from tornado.httpclient import HTTPClientError

from maas_jupyter.targets.connections import Connection, Connections

sys.path.insert(0, str(Path(__file__).parents[1] / "monitoring"))

from foreign_servers import ForeignServer, Triton


@pytest.fixture
def triton():
    server = Triton()
    yield server
    server.stop()


def post(jp_fetch, body, **options):
    text = body if isinstance(body, str) else json.dumps(body)
    return jp_fetch("maas-jupyter", "attached", method="POST", body=text, **options)


def delete(jp_fetch, name, **options):
    return jp_fetch("maas-jupyter", "attached", name, method="DELETE", **options)


async def listed(jp_fetch):
    return json.loads((await jp_fetch("maas-jupyter", "attached")).body)


async def refused(request):
    with pytest.raises(HTTPClientError) as caught:
        await request
    return caught.value.code, json.loads(caught.value.response.body)


def rows(snapshot):
    return {(row["target"], row["name"]): row for row in snapshot["endpoints"]}


async def test_one_is_attached_shown_live_and_detached(jp_fetch, triton, maas_home):
    assert await listed(jp_fetch) == []
    response = await post(jp_fetch, {"url": triton.url, "name": "gpu"})
    assert response.code == 201
    server = json.loads(response.body)
    assert (server["name"], server["kind"], server["url"]) == ("gpu", "Triton", triton.url)
    assert await listed(jp_fetch) == [server]
    row = rows(await look_until(jp_fetch, lambda snapshot: ("gpu", "resnet") in rows(snapshot)))["gpu", "resnet"]
    assert (row["kind"], row["state"]) == ("Triton", "ready")
    assert "p95_ms" in row["untold"]
    triton.serve(7)
    await look_until(jp_fetch, lambda snapshot: rows(snapshot)["gpu", "resnet"]["requests_total"] == 7)
    assert (await delete(jp_fetch, "gpu")).code == 204
    assert await listed(jp_fetch) == []
    await look_until(jp_fetch, lambda snapshot: not snapshot["endpoints"])


async def test_what_cannot_be_attached_is_refused_in_words(jp_fetch, triton):
    unknown = ForeignServer()
    unknown.routes = dict
    try:
        code, said = await refused(post(jp_fetch, {"url": unknown.url}))
    finally:
        unknown.stop()
    assert code == 400
    assert "no kind that is known" in said["message"]
    assert "GET /v2: 404" in said["message"]
    assert "Triton" in said["hint"]
    assert (await refused(post(jp_fetch, {"url": "gpu-box:8000"})))[0] == 400
    assert (await refused(post(jp_fetch, {"url": unknown.url})))[0] == 503  # it is gone by now
    assert (await refused(post(jp_fetch, {"url": triton.url, "name": "../x"})))[0] == 400
    assert (await refused(post(jp_fetch, {"url": triton.url, "name": "local"})))[0] == 409
    assert (await refused(post(jp_fetch, {"url": triton.url, "token_env": "NOT_SET_HERE"})))[0] == 502
    assert await listed(jp_fetch) == []
    await post(jp_fetch, {"url": triton.url})
    code, said = await refused(post(jp_fetch, {"url": triton.url, "name": "again"}))
    assert (code, said["message"]) == (409, f"{triton.url} is watched already, as 'triton'.")


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"url": 1}', '{"url": "http://x", "more": 1}', "\\xff"])
async def test_a_body_that_says_nothing_is_refused(jp_fetch, body):
    code, said = await refused(post(jp_fetch, body))
    assert code == 400
    assert "what is to be watched" in said["message"]


@pytest.mark.parametrize("name", ["nothing", "%2e%2e", "a%2Fb", "x" * 500])
async def test_an_unknown_name_is_not_found(jp_fetch, name):
    code, said = await refused(delete(jp_fetch, name))
    assert code == 404
    assert "is watched" in said["message"]


async def test_the_anonymous_attach_nothing(jp_fetch, triton):
    for authorization in ("", "token wrong"):
        headers = {"Authorization": authorization}
        assert (await refused(post(jp_fetch, {"url": triton.url}, headers=headers)))[0] == 403
        assert (await refused(delete(jp_fetch, "gpu", headers=headers)))[0] == 403
        assert (await refused(jp_fetch("maas-jupyter", "attached", headers=headers)))[0] == 403
    assert triton.seen == []


async def test_a_damaged_list_is_named_and_hides_nothing_else(jp_fetch, maas_home):
    maas_home.mkdir(exist_ok=True)
    (maas_home / "attached.json").write_text("{")
    assert (await snapshot_of(jp_fetch))["endpoints"] == []
    code, said = await refused(jp_fetch("maas-jupyter", "attached"))
    assert code == 422
    assert "attached.json" in said["message"]


async def test_a_list_that_becomes_unreadable_hides_nothing(jp_fetch, triton, maas_home):
    await post(jp_fetch, {"url": triton.url, "name": "gpu"})
    await look_until(jp_fetch, lambda snapshot: ("gpu", "resnet") in rows(snapshot))
    kept = (maas_home / "attached.json").read_bytes()
    (maas_home / "attached.json").unlink()
    (maas_home / "attached.json").mkdir()
    for _ in range(2):
        assert ("gpu", "resnet") in rows(await snapshot_of(jp_fetch))
    code, said = await refused(jp_fetch("maas-jupyter", "attached"))
    assert code == 503
    assert said["hint"]
    (maas_home / "attached.json").rmdir()
    (maas_home / "attached.json").write_bytes(kept)


async def test_the_name_of_a_target_is_the_targets(jp_fetch, triton, maas_home):
    await post(jp_fetch, {"url": triton.url, "name": "gpu"})
    await look_until(jp_fetch, lambda snapshot: ("gpu", "resnet") in rows(snapshot))
    Connections(maas_home).add(Connection(name="gpu", url="http://127.0.0.1:1", token_env="NOT_SET_HERE"))
    await look_until(jp_fetch, lambda snapshot: list(rows(snapshot)) == [("gpu", "*")])


async def test_an_authority_file_is_of_the_servers_machine(jp_fetch, triton, tmp_path):
    code, said = await refused(post(jp_fetch, {"url": triton.url, "ca_file": str(tmp_path / "ca.pem")}))
    assert code == 400
    assert "There is no file" in said["message"]
    (tmp_path / "ca.pem").write_text("")
    await post(jp_fetch, {"url": triton.url, "ca_file": str(tmp_path / "ca.pem")})
    assert [each["ca_file"] for each in await listed(jp_fetch)] == [str(tmp_path / "ca.pem")]
