import asyncio
import json

import pytest
from tornado.httpclient import HTTPClientError
from traitlets.config import Config

from maas_jupyter.monitoring import RecentRuns, WatchedEndpoint, Watcher
from maas_jupyter.monitoring.alerts import Alerts
from maas_jupyter.monitoring.rows import AlertEvent, AlertRow
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.schema import VersionStatus
from maas_jupyter.server_extension.guard import Guard
from maas_jupyter.server_extension.handlers import add_handlers

RULE = ("maas-jupyter", "alerts", "rules", "local", "digits", "endpoint_down")
RULES = ("maas-jupyter", "alerts", "rules")
HISTORY = ("maas-jupyter", "alerts", "history")


class Source:
    name = "local"

    def __init__(self):
        self.state = "ready"
        self.looks = 0

    def endpoints(self):
        self.looks += 1
        traffic = [VersionStatus("1", "d1", 100, "ready")]
        return [WatchedEndpoint("digits", "http://127.0.0.1:1", self.state, "", traffic)]

    def scrape(self):
        return parse('maas_requests_total{model="digits",version="1",protocol="v2",code="200"} 3')


@pytest.fixture
def jp_server_config():
    """A server without the extension: these tests bring what is watched themselves."""
    return Config()


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def alerts(maas_home):
    return Alerts(maas_home / "monitoring" / "alerts.yml")


@pytest.fixture
def watcher(maas_home, source, alerts):
    return Watcher(list, RecentRuns(maas_home), [source], interval=0.0, alerts=alerts)


@pytest.fixture
def guard(watcher, alerts):
    guard = Guard(watcher, alerts, 0.0)
    yield guard
    guard._timer.stop()


@pytest.fixture
def serverapp(jp_serverapp, maas_home, watcher, guard):
    add_handlers(jp_serverapp.web_app, watcher, maas_home)
    return jp_serverapp


async def json_of(jp_fetch, *path, **more):
    return json.loads((await jp_fetch(*path, **more)).body)


async def put(jp_fetch, *rule, **body):
    return await json_of(jp_fetch, *(rule or RULE), method="PUT", body=json.dumps(body))


async def test_a_rule_comes_fires_and_goes(serverapp, jp_fetch, source, maas_home):
    assert await json_of(jp_fetch, *RULES) == []
    row = await put(jp_fetch, for_seconds=0)
    assert tuple(row) == AlertRow.__struct_fields__
    assert (row["target"], row["name"], row["kind"], row["state"]) == ("local", "digits", "endpoint_down", "inactive")
    source.state = "stopped"
    while (await json_of(jp_fetch, *RULES))[0]["state"] != "firing":
        await json_of(jp_fetch, "maas-jupyter", "snapshot")
    (event,) = await json_of(jp_fetch, *HISTORY)
    assert tuple(event) == AlertEvent.__struct_fields__
    assert event["change"] == "fired"
    response = await jp_fetch(*RULE, method="DELETE")
    assert json.loads(response.body)["state"] == "firing"
    assert await json_of(jp_fetch, *RULES) == []
    newest, _ = await json_of(jp_fetch, *HISTORY, params={"target": "local", "name": "digits"})
    assert newest["change"] == "cleared"
    assert len(await json_of(jp_fetch, *HISTORY, params={"limit": 1})) == 1
    assert await json_of(jp_fetch, *HISTORY, params={"name": "wine"}) == []


async def test_a_rule_is_changed_in_place(serverapp, jp_fetch):
    path = (*RULE[:-1], "p95_above")
    await put(jp_fetch, *path, threshold=250, for_seconds=60)
    row = await put(jp_fetch, *path, threshold=100.5, for_seconds=30)
    assert (row["threshold"], row["for_seconds"]) == (100.5, 30)
    assert await json_of(jp_fetch, *RULES) == [row]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("PUT", ("local", "digits", "p95_above"), "{}", 400, "threshold"),
        ("PUT", ("local", "digits", "p42_above"), "{}", 400, "no kind of alert"),
        ("PUT", ("local", "digits", "endpoint_down"), "[", 400, "cannot be read"),
        ("PUT", ("local", "digits", "endpoint_down"), '{"for_seconds": 1.5}', 400, "cannot be read"),
        ("PUT", ("local", "digits", "endpoint_down"), '{"seconds": 3}', 400, "cannot be read"),
        ("PUT", ("local", "wine", "endpoint_down"), "{}", 404, "no endpoint"),
        ("DELETE", ("local", "digits", "endpoint_down"), None, 404, "no alert"),
    ],
)
async def test_what_is_wrong_with_a_rule_is_said(serverapp, jp_fetch, method, path, body, status, words):
    await jp_fetch("maas-jupyter", "snapshot")
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*RULES, *path, method=method, body=body)
    assert caught.value.code == status
    assert words in json.loads(caught.value.response.body)["message"]
    assert await json_of(jp_fetch, *RULES) == []


async def test_a_broken_file_is_named_and_left_alone(serverapp, jp_fetch, alerts):
    alerts.path.parent.mkdir(parents=True)
    alerts.path.write_text("groups: [")
    for method, path, body in (("GET", RULES, None), ("PUT", RULE, "{}"), ("DELETE", RULE, None)):
        with pytest.raises(HTTPClientError) as caught:
            await jp_fetch(*path, method=method, body=body)
        assert caught.value.code == 400
        assert "not understood" in json.loads(caught.value.response.body)["message"]
    assert alerts.path.read_text() == "groups: ["


@pytest.mark.parametrize("limit", ["-1", "inf", "many"])
async def test_a_limit_is_a_number(serverapp, jp_fetch, limit):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*HISTORY, params={"limit": limit})
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", RULES, None), ("GET", HISTORY, None), ("PUT", RULE, "{}"), ("DELETE", RULE, None)],
)
async def test_strangers_are_refused(serverapp, jp_fetch, alerts, method, path, body):
    with pytest.raises(HTTPClientError) as caught:
        await jp_fetch(*path, method=method, body=body, headers={"Authorization": "token wrong"})
    assert caught.value.code == 403
    assert not alerts.path.exists()


async def test_endpoints_are_watched_while_there_are_rules_though_nobody_looks(serverapp, jp_fetch, source, guard):
    assert not guard.running
    await put(jp_fetch)
    assert guard.running
    looks, activity = source.looks, serverapp.web_app.last_activity()
    while source.looks < looks + 3:
        await asyncio.sleep(0.01)
    assert serverapp.web_app.last_activity() == activity  # an idle server stays idle
    source.state = "stopped"
    while not await json_of(jp_fetch, *HISTORY):
        await asyncio.sleep(0.01)
    await jp_fetch(*RULE, method="DELETE")
    assert not guard.running


async def test_rules_of_before_are_watched_from_the_start(serverapp, jp_fetch, watcher, maas_home, source):
    await put(jp_fetch)
    again = Alerts(maas_home / "monitoring" / "alerts.yml")
    guard = Guard(Watcher(list, list, [source], interval=0.0, alerts=again), again, 0.0)
    assert not guard.running
    guard.start(serverapp.io_loop)
    while not guard.running:
        await asyncio.sleep(0.01)
    again.path.write_text("groups: []")  # by hand
    while guard.running:
        await asyncio.sleep(0.01)


class TestOfTheExtension:
    @pytest.fixture
    def jp_server_config(self, maas_home):
        return Config(
            ServerApp={"jpserver_extensions": {"maas_jupyter": True}},
            MaasConfig={"home": str(maas_home), "refresh_interval": 0.0},
        )

    async def test_rules_are_kept_in_the_home(self, jp_serverapp, jp_fetch, maas_home):
        assert await json_of(jp_fetch, *RULES) == []
        assert not (maas_home / "monitoring").exists()
        await put(jp_fetch)
        assert "maas_kind: endpoint_down" in (maas_home / "monitoring" / "alerts.yml").read_text()
        await jp_fetch(*RULE, method="DELETE")
