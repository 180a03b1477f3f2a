import asyncio
import threading

import pytest

from maas_jupyter.errors import Unavailable
from maas_jupyter.monitoring import WatchedEndpoint, Watcher
from maas_jupyter.monitoring.rows import ModelVersions, ShadowCounts, TrafficRow, VersionRow
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.schema import VersionStatus

VERSION = VersionRow("1", [], "classification", "fp32", 1000, None, None, None, None, 1.0)
INTERVAL = 0.0  # every request takes a look; tests of the interval say otherwise
URL = "http://127.0.0.1:1/v2/models/digits"


def prometheus(total, model="digits"):
    return "\n".join(
        [
            f'maas_requests_total{{model="{model}",version="1",protocol="v2",code="200"}} {total}',
            f'maas_request_duration_seconds_bucket{{model="{model}",version="1",le="0.01"}} {total}',
            f'maas_request_duration_seconds_bucket{{model="{model}",version="1",le="+Inf"}} {total}',
        ]
    )


class Target:
    """A target whose server the test plays."""

    def __init__(self, name="local"):
        self.name = name
        self.state = "ready"
        self.names = ["digits"]
        self.traffic = [VersionStatus("1", "d1", 100, "ready")]
        self.more = ""
        self.total = 0
        self.looks = 0
        self.scrape_error = None
        self.endpoints_error = None
        self.gate = threading.Event()
        self.gate.set()

    def endpoints(self):
        self.looks += 1
        self.gate.wait()
        if self.endpoints_error:
            raise self.endpoints_error
        return [WatchedEndpoint(name, URL, self.state, "", self.traffic) for name in self.names]

    def scrape(self):
        if self.scrape_error:
            raise self.scrape_error
        return parse(prometheus(self.total) + self.more)


class Models:
    """A registry that the test plays."""

    def __init__(self, *names):
        self.names = list(names)
        self.error = None
        self.looks = 0
        self.threads = set()
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self):
        self.looks += 1
        self.threads.add(threading.current_thread())
        self.gate.wait()
        if self.error:
            raise self.error
        return [ModelVersions(name, 1.0, [VERSION]) for name in self.names]


def listed(watcher):
    return [row.name for row in watcher.catalogue.page().rows]


@pytest.fixture
def target():
    target = Target()
    yield target
    target.gate.set()


@pytest.fixture
def models():
    models = Models("digits")
    yield models
    models.gate.set()


@pytest.fixture
def clock():
    """Epoch seconds that advance by two whenever they are read."""
    now = iter(range(1_000, 10_000_000, 2))
    return lambda: float(next(now))


@pytest.fixture
def watcher(models, target, clock):
    return Watcher(models, list, [target], interval=INTERVAL, clock=clock)


def test_the_first_snapshot_has_everything_and_a_later_one_what_is_new(watcher, target, models):
    async def session():
        first = await watcher.snapshot()
        assert (first.models, listed(watcher)) == (1, ["digits"])
        (row,) = first.endpoints
        assert (row.name, row.target, row.url, row.state) == ("digits", "local", URL, "ready")
        assert row.traffic == [TrafficRow("1", 100, "ready", None)]
        assert (row.requests_total, first.samples) == (0, {})

        target.total = 10
        second = await watcher.snapshot(first.cursor)
        assert (second.models, second.models_number) == (1, first.models_number)
        assert second.endpoints[0].requests_total == 10
        (sample,) = second.samples["local/digits"]
        assert (sample.requests_per_second, sample.p50_ms) == (5.0, 5.0)

        third = await watcher.snapshot(second.cursor)
        assert third.endpoints is None
        assert [sample.requests_per_second for sample in third.samples["local/digits"]] == [0.0]

        models.names.append("wine")
        fourth = await watcher.snapshot(third.cursor)
        assert fourth.models_number != third.models_number
        assert (fourth.models, listed(watcher)) == (2, ["digits", "wine"])

        # Another tab that was away since the first one gets what it missed.
        late = await watcher.snapshot(first.cursor)
        assert len(late.samples["local/digits"]) == 4
        assert late.endpoints is not None

    asyncio.run(session())


def test_endpoints_keep_the_order_of_their_targets_whichever_answers_first(models, target, clock):
    target.gate.clear()
    watcher = Watcher(models, list, [target, Target("gpu")], interval=INTERVAL, clock=clock, patience=0.05)

    async def session():
        early = await watcher.snapshot()
        assert [row.target for row in early.endpoints] == ["gpu"]
        target.gate.set()
        while len(found := (await watcher.snapshot()).endpoints) < 2:
            await asyncio.sleep(0.01)
        assert [row.target for row in found] == ["local", "gpu"]

    asyncio.run(session())


def test_versions_and_shadow_are_shown_apart(watcher, target):
    target.traffic = [
        VersionStatus("1", "d1", 90, "ready"),
        VersionStatus("2", "d2", 10, "loading"),
        VersionStatus("3", "d3", 0, "ready", shadow=True),
    ]

    async def session():
        await watcher.snapshot()
        target.total = 18
        target.more = "".join(
            f'\nmaas_shadow_requests_total{{model="digits",version="3",outcome="{outcome}"}} {number}'
            for outcome, number in {"agree": 6, "disagree": 2, "dropped": 5, "failed": 1}.items()
        )
        (row,) = (await watcher.snapshot()).endpoints
        assert row.traffic == [
            TrafficRow("1", 90, "ready", None),
            TrafficRow("2", 10, "loading", None),
            TrafficRow("3", 0, "ready", ShadowCounts(compared=8, disagreed=2, failed=1, dropped=5)),
        ]

    asyncio.run(session())


def test_runs_are_sent_when_they_changed(models, target, clock):
    found = []
    watcher = Watcher(models, lambda: list(found), [target], interval=INTERVAL, clock=clock)

    async def session():
        first = await watcher.snapshot()
        assert first.runs == []
        assert (await watcher.snapshot(first.cursor)).runs is None
        found.append("a row")
        second = await watcher.snapshot(first.cursor)
        assert second.runs == ["a row"]
        assert (await watcher.snapshot(second.cursor)).runs is None
        assert (await watcher.snapshot(first.cursor)).runs == ["a row"]

    asyncio.run(session())


def test_runs_that_cannot_be_read_are_named_and_hide_nothing_else(models, target):
    def fail():
        raise PermissionError("not yours")

    async def session():
        snapshot = await Watcher(models, fail, [target], interval=INTERVAL).snapshot()
        assert "not yours" in snapshot.runs_error
        assert (snapshot.runs, snapshot.models, len(snapshot.endpoints)) == (None, 1, 1)

    asyncio.run(session())


@pytest.mark.parametrize("cursor", ["", "0badcafe.1.1.1", "nonsense", "a.b.c.d", "1.2", f"x.{'9' * 5000}.1.1"])
def test_a_foreign_cursor_gives_everything(watcher, cursor):
    async def session():
        for _ in range(3):
            known = await watcher.snapshot()
        again = await watcher.snapshot(cursor)
        assert again.endpoints is not None
        assert len(again.samples["local/digits"]) == 3
        assert again.cursor.split(".")[0] == known.cursor.split(".")[0]

    asyncio.run(session())


def test_the_cursor_of_another_run_of_the_extension_gives_everything(watcher, models, target):
    async def session():
        before = await Watcher(models, list, [target], interval=INTERVAL).snapshot()
        after = await watcher.snapshot(before.cursor)
        assert after.endpoints is not None

    asyncio.run(session())


def test_a_registry_that_fails_keeps_the_last_known_models(watcher, models):
    async def session():
        first = await watcher.snapshot()
        models.error = Unavailable("The registry is down.", hint="Start it.")
        second = await watcher.snapshot(first.cursor)
        assert second.registry_error == "The registry is down. Start it."
        assert (second.models, second.models_number) == (1, first.models_number)
        assert listed(watcher) == ["digits"]
        models.error = None
        third = await watcher.snapshot(second.cursor)
        assert (third.registry_error, third.models_number) == (None, first.models_number)

    asyncio.run(session())


def test_a_registry_that_never_worked_has_no_models_but_the_endpoints_come(watcher, models):
    models.error = ZeroDivisionError("bug")

    async def session():
        snapshot = await watcher.snapshot()
        assert snapshot.models is None
        assert "ZeroDivisionError" in snapshot.registry_error
        assert [row.name for row in snapshot.endpoints] == ["digits"]

    asyncio.run(session())


def test_a_failure_is_logged_once_not_at_every_look(watcher, models, caplog):
    models.error = ZeroDivisionError("bug")

    async def session():
        for _ in range(3):
            await watcher.snapshot()

    asyncio.run(session())
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_a_hanging_registry_is_not_waited_for_and_is_asked_once(models, target, clock):
    watcher = Watcher(models, list, [target], interval=INTERVAL, patience=0.05, clock=clock)
    models.gate.clear()

    async def session():
        first = await watcher.snapshot()
        assert first.models is None
        assert first.registry_error.startswith("The registry has not answered")
        assert first.endpoints[0].state == "ready"
        second = await watcher.snapshot(first.cursor)
        assert second.registry_error
        assert models.looks == 1
        assert second.samples
        models.gate.set()
        while (third := await watcher.snapshot(second.cursor)).models is None:
            pass
        assert third.registry_error is None

    asyncio.run(session())


def test_a_first_look_that_takes_long_is_waited_for_by_whom_it_would_refuse(models, target, clock):
    watcher = Watcher(models, list, [target], interval=INTERVAL, patience=0.5, clock=clock)
    models.gate.clear()

    async def session():
        assert (await watcher.snapshot()).registry_error
        asked = asyncio.create_task(watcher.versions("digits"))
        done, _ = await asyncio.wait([asked], timeout=0.1)
        assert not done
        models.gate.set()
        assert [row.version for row in (await asked).versions] == ["1"]

    asyncio.run(session())


def test_the_registry_is_read_off_the_event_loops_thread(watcher, models):
    asyncio.run(watcher.snapshot())
    assert threading.main_thread() not in models.threads


def test_many_requests_at_once_take_one_look(watcher, models, target):
    models.gate.clear()
    target.gate.clear()

    async def session():
        requests = [asyncio.create_task(watcher.snapshot()) for _ in range(20)]
        while not (models.looks and target.looks):
            await asyncio.sleep(0)
        models.gate.set()
        target.gate.set()
        snapshots = await asyncio.gather(*requests)
        assert (models.looks, target.looks) == (1, 1)
        assert all(snapshot == snapshots[0] for snapshot in snapshots)
        assert snapshots[0].models is not None

    asyncio.run(session())


def test_looks_are_only_taken_when_the_last_one_is_old_enough(models, target):
    watcher = Watcher(models, list, [target], interval=1000.0)

    async def session():
        for _ in range(5):
            snapshot = await watcher.snapshot()
        assert (models.looks, target.looks) == (1, 1)
        assert snapshot.models is not None
        assert snapshot.endpoints[0].name == "digits"

    asyncio.run(session())


def test_a_cancelled_request_does_not_end_the_look_of_the_others(watcher, models):
    models.gate.clear()

    async def session():
        gone, here = (asyncio.create_task(watcher.snapshot()) for _ in range(2))
        while not models.looks:
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        models.gate.set()
        assert (await here).models is not None
        assert gone.cancelled()

    asyncio.run(session())


@pytest.mark.parametrize("state", ["unavailable", "stopped"])
def test_a_dead_server_gives_its_rows_and_is_not_scraped(watcher, target, state):
    async def session():
        await watcher.snapshot()
        target.total = 7
        await watcher.snapshot()
        target.state, target.scrape_error = state, AssertionError("scraped a dead server")
        snapshot = await watcher.snapshot()
        (row,) = snapshot.endpoints
        assert (row.state, row.requests_total) == (state, 7)
        assert len(snapshot.samples["local/digits"]) == 1

    asyncio.run(session())


def test_a_server_that_dies_between_status_and_metrics_is_unavailable(watcher, target):
    async def session():
        target.scrape_error = Unavailable("No answer.", hint="Publish again.")
        (row,) = (await watcher.snapshot()).endpoints
        assert (row.state, row.reason) == ("unavailable", "No answer. Publish again.")

    asyncio.run(session())


def test_a_target_that_fails_keeps_its_rows_as_unavailable(watcher, target):
    async def session():
        await watcher.snapshot()
        target.endpoints_error = OSError("disk gone")
        (row,) = (await watcher.snapshot()).endpoints
        assert row.state == "unavailable"
        assert "disk gone" in row.reason
        target.endpoints_error = None
        assert (await watcher.snapshot()).endpoints[0].state == "ready"

    asyncio.run(session())


def test_metrics_that_are_no_prometheus_text_do_not_break_the_snapshot(watcher, target):
    target.scrape = lambda: parse("maas_requests_total{ broken")

    async def session():
        await watcher.snapshot()
        target.scrape = lambda: parse(prometheus(1))
        assert (await watcher.snapshot()).endpoints[0].requests_total == 1

    asyncio.run(session())


def test_what_a_target_counts_cannot_break_the_snapshot(models, target, clock):
    odd = Target("odd")
    watcher = Watcher(models, list, [odd, target], interval=INTERVAL, clock=clock)

    async def session():
        assert {row.state for row in (await watcher.snapshot()).endpoints} == {"ready"}
        odd.more = '\nmaas_requests_total{model="digits",version="1",protocol="v2",code="teapot"} 1'
        first, second = sorted((await watcher.snapshot()).endpoints, key=lambda row: row.target != "odd")
        assert (first.target, first.state) == ("odd", "unavailable")
        assert "teapot" in first.reason
        assert second.state == "ready"

    asyncio.run(session())


def test_a_hanging_target_does_not_hold_up_the_others(models, target, clock):
    hanging = Target("far")
    watcher = Watcher(models, list, [hanging, target], interval=INTERVAL, patience=0.05, clock=clock)

    async def session():
        assert {row.state for row in (await watcher.snapshot()).endpoints} == {"ready"}
        hanging.gate.clear()
        far, local = (await watcher.snapshot()).endpoints
        assert (far.target, far.state) == ("far", "unavailable")
        assert far.reason.startswith("The target 'far' has not answered")
        assert local.state == "ready"
        hanging.gate.set()

    asyncio.run(session())


def test_a_restarted_server_counts_from_zero(watcher, target):
    async def session():
        target.total = 100
        await watcher.snapshot()
        target.total = 4
        snapshot = await watcher.snapshot()
        assert snapshot.endpoints[0].requests_total == 4
        assert [sample.requests_per_second for sample in snapshot.samples["local/digits"]] == [2.0]

    asyncio.run(session())


def test_an_endpoint_that_is_gone_takes_its_samples_with_it(watcher, target):
    async def session():
        for _ in range(3):
            await watcher.snapshot()
        target.names = []
        assert (await watcher.snapshot()).endpoints == []
        target.names = ["digits"]
        assert (await watcher.snapshot()).samples == {}

    asyncio.run(session())


def test_targets_come_and_go(models, target, clock):
    other = Target("gpu")
    sources = [target]
    watcher = Watcher(models, list, sources, interval=INTERVAL, clock=clock)

    async def session():
        assert [row.target for row in (await watcher.snapshot()).endpoints] == ["local"]
        sources.append(other)
        assert [row.target for row in (await watcher.snapshot()).endpoints] == ["local", "gpu"]
        other.total = 4
        assert (await watcher.snapshot()).samples["gpu/digits"]
        sources[1] = again = Target("gpu")  # connected anew under the same name
        again.names = ["wine"]
        snapshot = await watcher.snapshot()
        assert [row.name for row in snapshot.endpoints] == ["digits", "wine"]
        assert "gpu/wine" not in snapshot.samples
        sources.remove(again)
        assert [row.target for row in (await watcher.snapshot()).endpoints] == ["local"]

    asyncio.run(session())


def test_a_target_that_is_disconnected_while_it_is_looked_at(models, target, clock):
    slow = Target("gpu")
    sources = [target, slow]
    watcher = Watcher(models, list, sources, interval=INTERVAL, patience=0.05, clock=clock)
    slow.gate.clear()

    async def session():
        await watcher.snapshot()
        sources.remove(slow)
        await watcher.snapshot()
        slow.gate.set()
        for _ in range(20):
            await asyncio.sleep(0)
            assert [row.target for row in (await watcher.snapshot()).endpoints] == ["local"]

    asyncio.run(session())
