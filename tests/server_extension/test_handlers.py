import json
import threading

import pytest
import tornado.web
from jupyter_server.auth import Authorizer
from jupyter_server.auth.decorator import authorized
from tornado.httpclient import HTTPClientError
from traitlets.config import Config

from maas_jupyter.errors import InvalidInput, MaasError, NotFound, Unauthorized, Unavailable
from maas_jupyter.monitoring import RecentRuns, WatchedEndpoint, Watcher
from maas_jupyter.monitoring.rows import ModelVersions, Snapshot, VersionRow
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.schema import VersionStatus
from maas_jupyter.server_extension.handlers import add_handlers
from maas_jupyter.server_extension.handlers.base import MaasHandler

BASE_URL = "/user/a.b%40c/"
ROUTE = ("maas-jupyter", "snapshot")
VERSION = VersionRow(
    version="1",
    aliases=["champion"],
    task="classification",
    precision="fp32",
    size=1000,
    metric_name="accuracy",
    metric=0.97,
    change=None,
    parent=None,
    created=1.0,
)


class OneEndpoint:
    name = "local"

    def endpoints(self):
        return [WatchedEndpoint("digits", "http://127.0.0.1:1", "ready", "", [VersionStatus("1", "d1", 100, "ready")])]

    def scrape(self):
        return parse('maas_requests_total{model="digits",version="1",protocol="v2",code="200"} 3')


@pytest.fixture
def jp_base_url():
    return BASE_URL


@pytest.fixture
def jp_server_config():
    """A server without the extension: these tests bring what is watched themselves."""
    return Config()


@pytest.fixture
def serverapp(jp_serverapp, maas_home):
    models = [ModelVersions("digits", 1.0, [VERSION])]
    watcher = Watcher(lambda: models, RecentRuns(maas_home), [OneEndpoint()], interval=0.0)
    add_handlers(jp_serverapp.web_app, watcher, maas_home)
    return jp_serverapp


async def test_a_snapshot_is_answered_as_json_under_the_base_url(serverapp, jp_fetch):
    response = await jp_fetch(*ROUTE)
    assert response.headers["Content-Type"] == "application/json"
    snapshot = json.loads(response.body)
    assert tuple(snapshot) == Snapshot.__struct_fields__
    assert snapshot["models"] == 1
    assert snapshot["endpoints"][0]["requests_total"] == 3
    assert snapshot["registry_error"] is None


async def test_a_cursor_asks_for_what_is_new(serverapp, jp_fetch):
    first = json.loads((await jp_fetch(*ROUTE)).body)
    second = json.loads((await jp_fetch(*ROUTE, params={"since": first["cursor"]})).body)
    assert second["endpoints"] is None
    assert len(second["samples"]["local/digits"]) == 1
    assert json.loads((await jp_fetch(*ROUTE, params={"since": "foreign"})).body)["endpoints"]


async def test_models_are_listed_by_pages(serverapp, jp_fetch):
    await jp_fetch(*ROUTE)
    page = json.loads((await jp_fetch("maas-jupyter", "models", params={"search": "dig", "limit": 10})).body)
    (row,) = page["rows"]
    assert (page["total"], row["name"], row["aliases"]) == (1, "digits", {"champion": "1"})
    assert json.loads((await jp_fetch("maas-jupyter", "models", params={"search": "wine"})).body)["total"] == 0
    found = json.loads((await jp_fetch("maas-jupyter", "models", "digits")).body)
    assert [version["version"] for version in found["versions"]] == ["1"]


async def test_a_model_is_found_before_anybody_asked_for_the_list(serverapp, jp_fetch):
    found = json.loads((await jp_fetch("maas-jupyter", "models", "digits")).body)
    assert [version["version"] for version in found["versions"]] == ["1"]


async def test_a_model_is_found_that_was_registered_since_the_last_look(jp_serverapp, maas_home, jp_fetch):
    models = []
    watcher = Watcher(lambda: list(models), RecentRuns(maas_home), [], interval=3600.0)
    add_handlers(jp_serverapp.web_app, watcher, maas_home)
    await jp_fetch(*ROUTE)
    models.append(ModelVersions("digits", 1.0, [VERSION]))
    found = json.loads((await jp_fetch("maas-jupyter", "models", "digits")).body)
    assert [version["version"] for version in found["versions"]] == ["1"]


async def test_a_registry_that_does_not_answer_is_no_missing_model(jp_serverapp, maas_home, jp_fetch):
    answer = threading.Event()
    watcher = Watcher(answer.wait, RecentRuns(maas_home), [], interval=0.0, patience=0.05)
    add_handlers(jp_serverapp.web_app, watcher, maas_home)
    try:
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch("maas-jupyter", "models", "digits")
    finally:
        answer.set()
    assert caught.value.code == 503
    assert "The registry has not answered" in json.loads(caught.value.response.body)["message"]


@pytest.mark.parametrize(
    ("path", "params", "status", "words"),
    [
        (("models",), {"sort": "colour"}, 400, "sorted by"),
        (("models",), {"limit": "many"}, 400, "no number"),
        (("models", "nothing"), {}, 404, "no model"),
        (("models",), {"offset": "nan"}, 400, "no number"),
        (("models",), {"limit": "inf"}, 400, "no number"),
        (("endpoints", "local", "digits", "samples"), {"seconds": "long"}, 400, "no number"),
        (("endpoints", "local", "digits", "samples"), {"seconds": "nan"}, 400, "no number"),
        (("endpoints", "local", "digits", "samples"), {"seconds": "1e300"}, 400, "no past of"),
    ],
)
async def test_what_cannot_be_asked_for_is_said(serverapp, jp_fetch, path, params, status, words):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("maas-jupyter", *path, params=params)
    assert caught.value.code == status
    assert words in json.loads(caught.value.response.body)["message"]


async def test_an_endpoint_has_a_past(serverapp, jp_fetch):
    for _ in range(3):
        await jp_fetch(*ROUTE)
    past = json.loads((await jp_fetch("maas-jupyter", "endpoints", "local", "digits", "samples")).body)
    assert len(past.pop("samples")) == 2
    assert past == {"source": "", "trouble": ""}
    past = json.loads((await jp_fetch("maas-jupyter", "endpoints", "local", "wine", "samples")).body)
    assert past["samples"] == []


@pytest.mark.parametrize("authorization", ["", "token wrong"])
async def test_the_anonymous_are_refused(serverapp, jp_fetch, authorization):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*ROUTE, headers={"Authorization": authorization})
    assert caught.value.code == 403
    assert b"digits" not in caught.value.response.body


@pytest.mark.parametrize("path", ["/maas-jupyter/snapshot", "/user/aXb%40c/maas-jupyter/snapshot"])
async def test_there_is_nothing_outside_the_base_url(serverapp, http_server_client, jp_auth_header, path):
    with pytest.raises(HTTPClientError) as caught:
        await http_server_client.fetch(path, headers=jp_auth_header)
    assert caught.value.code == 404


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_snapshot_is_only_read(serverapp, jp_fetch, method):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*ROUTE, method=method, allow_nonstandard_methods=True)
    assert caught.value.code == 405


async def test_a_poll_is_not_activity(serverapp, jp_fetch):
    await jp_fetch(*ROUTE)
    assert "api_last_activity" not in serverapp.web_app.settings
    await jp_fetch("api", "contents")
    assert "api_last_activity" in serverapp.web_app.settings


class OnlyOther(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        self.parent.asked = (action, resource)
        return resource != "maas-jupyter"


class TestWithoutPermission:
    @pytest.fixture
    def jp_server_config(self):
        return Config(ServerApp={"authorizer_class": OnlyOther})

    async def test_a_user_without_permission_is_refused(self, serverapp, jp_fetch):
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch(*ROUTE)
        assert caught.value.code == 403
        assert serverapp.authorizer.parent.asked == ("read", "maas-jupyter")


class Failing(MaasHandler):
    def initialize(self, error):
        self.error = error

    @tornado.web.authenticated
    @authorized
    async def get(self):
        raise self.error


@pytest.mark.parametrize(
    ("kind", "status"),
    [(InvalidInput, 400), (NotFound, 404), (Unauthorized, 502), (Unavailable, 503), (MaasError, 500)],
)
async def test_our_errors_keep_their_words_and_get_their_status(jp_serverapp, jp_fetch, kind, status):
    error = kind("What went wrong.", hint="What to do.")
    jp_serverapp.web_app.add_handlers(".*$", [(".*/failing", Failing, {"error": error})])
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("failing")
    assert caught.value.code == status
    assert json.loads(caught.value.response.body) == {"message": "What went wrong.", "hint": "What to do."}


async def test_a_bug_is_answered_as_jupyter_does_without_its_text(jp_serverapp, jp_fetch):
    jp_serverapp.web_app.add_handlers(".*$", [(".*/failing", Failing, {"error": ZeroDivisionError("secret")})])
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch("failing")
    assert caught.value.code == 500
    assert b"secret" not in caught.value.response.body
