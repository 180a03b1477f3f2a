import json
import shlex
from urllib.parse import quote

import numpy as np
import pytest
from test_extension import look_until, versions_of
from tornado.httpclient import HTTPClientError

from maas_jupyter.errors import NotFound
from maas_jupyter.serving.record import read_record
from maas_jupyter.targets.local import LocalTarget

ENDPOINT = ("endpoints", "local", "square")


@pytest.fixture
def local(maas_home):
    """The local target; its server ends with the test."""
    target = LocalTarget(maas_home / "server")
    yield target
    target.stop()


@pytest.fixture
def versions(registry, bundle):
    """A model with three versions; the first is the champion."""
    run_id = registry.start_run("square", {}, {})
    return [registry.register("square", bundle, run_id=run_id, metrics={"accuracy": 0.9}) for _ in range(3)]


@pytest.fixture
def act(jp_fetch):
    """Ask for an action; return what is said of it."""

    async def act(method, *path, body=None, params=None, **options):
        # An action may start a server, which takes longer than what is asked by default.
        words = json.dumps(body or {}) if method in ("POST", "PUT") else None
        route = [quote(each, safe="") for each in path]
        response = await jp_fetch(
            "maas-jupyter", *route, method=method, body=words, params=params, request_timeout=60, **options
        )
        return json.loads(response.body)["message"]

    return act


@pytest.fixture
def refused(act):
    """Ask for an action that must be refused; return the status, the message and the hint."""

    async def refused(method, *path, **options):
        with pytest.raises(HTTPClientError) as caught:
            await act(method, *path, **options)
        said = json.loads(caught.value.response.body)
        return caught.value.code, said["message"], said.get("hint", "")

    return refused


def weights(local):
    return [(row.version, row.weight) for row in local.endpoint("square").traffic]


async def test_a_model_goes_all_the_way(jp_fetch, act, refused, versions, local):
    said = await act("POST", *ENDPOINT, "publish", body={"version": "1", "reason": "the first"})
    assert said == "square is ready on local: version 1 100%"
    assert weights(local) == [("1", 100)]
    status, message, _ = await refused("POST", *ENDPOINT, "promote")
    assert status == 409
    assert "canary" in message

    await act("POST", *ENDPOINT, "publish", body={"version": "2", "canary": 25})
    assert weights(local) == [("1", 75), ("2", 25)]
    await look_until(
        jp_fetch, lambda snapshot: [row["weight"] for row in snapshot["endpoints"][0]["traffic"]] == [75, 25]
    )
    assert "version 2 100%" in await act("POST", *ENDPOINT, "promote", body={"reason": "better"})
    await act("POST", *ENDPOINT, "publish", body={"version": "3", "shadow": True})
    assert local.endpoint("square").labels == {"2": "stable", "3": "shadow"}
    await act("POST", *ENDPOINT, "rollback")
    await act("POST", *ENDPOINT, "rollback", body={"reason": "worse after all"})
    assert weights(local) == [("1", 75), ("2", 25)]
    assert [(entry.action, entry.reason) for entry in local.history("square")][:3] == [
        ("publish", "the first"),
        ("canary", ""),
        ("promote", "better"),
    ]
    assert local.endpoint("square").predict(np.ones((1, 2), np.float32)).version in ("1", "2")

    assert "is stopped on local" in await act("POST", *ENDPOINT, "unload")
    assert "is ready on local" in await act("POST", *ENDPOINT, "load")
    assert "no longer published" in await act("POST", *ENDPOINT, "unpublish")
    with pytest.raises(NotFound):
        local.endpoint("square")


async def test_the_local_server_stops_and_comes_back_with_what_it_served(act, refused, versions, local):
    await act("POST", *ENDPOINT, "publish", body={"version": "1"})
    assert "stopped" in await act("POST", "targets", "local", "stop")
    assert local.endpoint("square").state == "stopped"
    assert "square" in await act("POST", "targets", "local", "start")
    assert local.endpoint("square").state == "ready"
    assert (await refused("POST", "targets", "nowhere", "start"))[0] in (400, 404)


async def test_the_line_for_a_shell_holds_no_token(jp_fetch, act, refused, versions, local):
    await act("POST", *ENDPOINT, "publish", body={"version": "1"})
    line = json.loads((await jp_fetch("maas-jupyter", *ENDPOINT, "curl")).body)["text"]
    record = read_record(local.home)
    assert local.endpoint("square").url in line
    assert record.token not in line


async def test_an_alias_moves(jp_fetch, act, versions):
    assert await act("PUT", "models", "square", "aliases", "champion", body={"version": "2"}) == (
        "square/2 is @champion now."
    )
    await look_until(jp_fetch, lambda snapshot: snapshot["models"])
    assert [row["aliases"] for row in await versions_of(jp_fetch, "square")] == [[], ["champion"], []]


async def test_what_serves_is_not_deleted(act, refused, versions, local, registry):
    await act("POST", *ENDPOINT, "publish", body={"version": "1"})
    await act("POST", *ENDPOINT, "publish", body={"version": "2", "shadow": True})
    for served in ("1", "2"):
        status, message, hint = await refused(
            "DELETE", "models", "square", "versions", served, params={"confirm": f"square/{served}"}
        )
        assert (status, "is published on local" in message) == (409, True)
        assert "%maas unpublish square" in hint
    status, *_ = await refused("DELETE", "models", "square", "versions", params={"confirm": "square"})
    assert status == 409
    assert "deleted" in await act("DELETE", "models", "square", "versions", "3", params={"confirm": "square/3"})
    # A server that was stopped comes back with what it served.
    local.stop()
    status, message, _ = await refused("DELETE", "models", "square", "versions", "2", params={"confirm": "square/2"})
    assert (status, "square is stopped on local" in message) == (409, True)
    assert [version.version for version in registry.models("square")[0].versions] == ["2", "1"]


async def test_a_deletion_is_confirmed_by_what_is_deleted(act, refused, versions, registry):
    for typed in ("", "square", "square/2", "square/11"):
        status, message, hint = await refused("DELETE", "models", "square", "versions", "1", params={"confirm": typed})
        assert (status, "@champion" in message) == (400, True)
        assert hint.endswith("--confirm square/1")
    assert len(registry.models("square")[0].versions) == 3
    await act("DELETE", "models", "square", "versions", "1", params={"confirm": "square/1"})
    assert [(version.version, version.aliases) for version in registry.models("square")[0].versions] == [
        ("3", []),
        ("2", []),
    ]
    status, message, _ = await refused("DELETE", "models", "square", "versions", params={"confirm": "square/1"})
    assert (status, "with its 2 versions" in message) == (400, True)
    await act("DELETE", "models", "square", "versions", params={"confirm": "square"})
    assert not registry.models()


#: Method, path, body, and what is answered: the status, and words of the message.
IMPOSSIBLE = [
    ("POST", ("endpoints", "local", "nothing", "publish"), {"version": "1"}, 404, "no model called 'nothing'"),
    ("POST", (*ENDPOINT, "publish"), {"version": "9"}, 404, "no version 9"),
    ("POST", (*ENDPOINT, "publish"), {"version": "latest"}, 400, "no version"),
    ("POST", (*ENDPOINT, "publish"), {"version": "1", "canary": 100}, 400, "no share"),
    ("POST", (*ENDPOINT, "publish"), {"version": "1", "canary": 5, "shadow": True}, 400, "exclude"),
    ("POST", (*ENDPOINT, "publish"), {"version": "1", "canary": "half"}, 400, "cannot be read"),
    ("POST", (*ENDPOINT, "publish"), {"version": "1", "force": True}, 400, "cannot be read"),
    ("POST", (*ENDPOINT, "publish"), {}, 400, "version"),
    ("POST", ("endpoints", "moon", "square", "publish"), {"version": "1"}, 404, "no target called 'moon'"),
    ("POST", ("endpoints", "local", "nothing", "promote"), {}, 404, "no endpoint 'nothing'"),
    ("POST", ("endpoints", "local", "nothing", "rollback"), {}, 404, "no endpoint 'nothing'"),
    ("POST", ("endpoints", "local", "nothing", "unpublish"), {}, 404, "no endpoint 'nothing'"),
    ("POST", ("endpoints", "local", "../x", "unpublish"), {}, 400, "name"),
    ("GET", ("endpoints", "local", "nothing", "curl"), None, 404, "no endpoint 'nothing'"),
    ("PUT", ("models", "square", "aliases", "9 lives"), {"version": "1"}, 400, "alias"),
    ("PUT", ("models", "square", "aliases", "best"), {"version": "9"}, 404, "no version 9"),
    ("PUT", ("models", "nothing", "aliases", "best"), {"version": "1"}, 404, "no model called 'nothing'"),
    ("DELETE", ("models", "square", "versions", "9"), None, 404, "no version 9"),
    ("DELETE", ("models", "square", "versions", "latest"), None, 400, "no version"),
    ("DELETE", ("models", "nothing", "versions"), None, 404, "no model called 'nothing'"),
]


async def test_what_cannot_be_done_is_said(refused, registered, maas_home):
    # In one test: a registry takes seconds to be made, and none of these may change it.
    for method, path, body, status, words in IMPOSSIBLE:
        answer = await refused(method, *path, body=body)
        assert (answer[0], words in answer[1]) == (status, True), answer
    assert not read_record(maas_home / "server")
    assert registered.aliases == ["champion"]


class TestSilentRegistry:
    @pytest.fixture
    def jp_server_config(self, jp_server_config):
        jp_server_config.MaasConfig.registry_uri = "http://127.0.0.1:9"
        jp_server_config.MaasConfig.registry_timeout = 0.2
        return jp_server_config

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("POST", (*ENDPOINT, "publish"), {"version": "1"}),
            ("PUT", ("models", "square", "aliases", "best"), {"version": "1"}),
            ("DELETE", ("models", "square", "versions"), None),
        ],
    )
    async def test_a_registry_that_does_not_answer_is_named(self, refused, method, path, body):
        status, message, hint = await refused(method, *path, body=body)
        assert (status, "does not answer" in message, bool(hint)) == (503, True, True)


class TestPagesOfMlflow:
    @pytest.fixture
    def jp_server_config(self, jp_server_config):
        jp_server_config.MaasConfig.registry_uri = "https://me:secret@mlflow.example:5000/team/"
        return jp_server_config

    async def test_their_address_holds_no_password(self, jp_fetch):
        answer = await jp_fetch("maas-jupyter", "targets")
        assert json.loads(answer.body) == {
            "targets": ["local"],
            "default": "local",
            "mlflow_url": "https://mlflow.example:5000/team",
            "mlflow_command": None,
        }
        assert b"secret" not in answer.body


async def test_of_a_registry_that_is_a_file_the_program_that_shows_its_pages_is_named(jp_fetch, maas_home):
    answer = json.loads((await jp_fetch("maas-jupyter", "targets")).body)
    assert answer["mlflow_url"] is None
    words = shlex.split(answer["mlflow_command"])
    assert words == ["mlflow", "ui", "--backend-store-uri", f"sqlite:///{maas_home / 'mlflow.db'}"]
