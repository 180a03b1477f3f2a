import asyncio
import json
import os

import pytest

from maas_jupyter.errors import InvalidInput, NotFound, Unavailable
from maas_jupyter.monitoring import WatchedEndpoint, Watcher
from maas_jupyter.monitoring.alerts import Alerts, Rule
from maas_jupyter.monitoring.alerts.eventlog import EventLog
from maas_jupyter.monitoring.rows import AlertEvent
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.schema import VersionStatus

STEP = 2.0


class Served:
    """A target of which the test says what each step counts."""

    name = "local"

    def __init__(self):
        self.names = ["digits"]
        self.state = "ready"
        self.quick = self.slow = self.failed = self.agree = self.disagree = 0
        self.error = None

    def endpoints(self):
        traffic = [VersionStatus("1", "d1", 100, "ready")]
        return [WatchedEndpoint(name, "http://127.0.0.1:1", self.state, "", traffic) for name in self.names]

    def scrape(self):
        if self.error:
            raise self.error
        total = self.quick + self.slow
        series = {
            'maas_requests_total{model="digits",version="1",protocol="v2",code="200"}': total - self.failed,
            'maas_requests_total{model="digits",version="1",protocol="v2",code="500"}': self.failed,
            'maas_request_duration_seconds_bucket{model="digits",version="1",le="0.01"}': self.quick,
            'maas_request_duration_seconds_bucket{model="digits",version="1",le="0.5"}': total,
            'maas_request_duration_seconds_bucket{model="digits",version="1",le="+Inf"}': total,
            'maas_shadow_requests_total{model="digits",version="2",outcome="agree"}': self.agree,
            'maas_shadow_requests_total{model="digits",version="2",outcome="disagree"}': self.disagree,
        }
        return parse("\n".join(f"{name} {value}" for name, value in series.items()))


class World:
    """A watcher with alerts whose clock the test moves."""

    def __init__(self, folder):
        self.folder = folder
        self.now = 10_000.0
        self.target = Served()
        self.alerts = None
        self.start()

    def start(self):
        if self.alerts:
            self.alerts.close()
        self.alerts = Alerts(self.folder / "alerts.yml", clock=lambda: self.now)
        self.watcher = Watcher(
            list, list, [self.target], interval=0.0, alerts=self.alerts, clock=lambda: self.now, patience=60.0
        )

    async def look(self, seconds=STEP, **counted):
        """Let time pass, in which something is counted at each look, and return the states."""
        states = []
        end = self.now + seconds
        while self.now < end:
            self.now += STEP
            for name, number in counted.items():
                setattr(self.target, name, getattr(self.target, name) + number)
            await self.watcher.watch_endpoints()
            states += [row.state for row in self.alerts.rows()]
        return states

    async def events(self):
        return [(event.change, event.kind) for event in (await self.alerts.history())[::-1]]


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "monitoring")


WELL_AND_UNWELL = {
    "p95_above": (100.0, {"quick": 10}, {"quick": 5, "slow": 5}),
    "error_rate_above": (0.1, {"quick": 10}, {"quick": 10, "failed": 5}),
    "no_traffic": (None, {"quick": 10}, {}),
    "shadow_disagreement_above": (0.1, {"quick": 1, "agree": 10}, {"quick": 1, "agree": 5, "disagree": 5}),
}


@pytest.mark.parametrize("kind", WELL_AND_UNWELL)
def test_an_alert_is_pending_fires_and_clears(world, kind):
    threshold, well, unwell = WELL_AND_UNWELL[kind]

    async def session():
        await world.look(4, **well)
        await world.alerts.put(Rule("local", "digits", kind, threshold, 30))
        assert set(await world.look(60, **well)) == {"inactive"}
        states = await world.look(120, **unwell)
        first_pending, first_firing = states.index("pending"), states.index("firing")
        assert set(states[:first_pending]) <= {"inactive"}
        assert set(states[first_firing:]) == {"firing"}
        assert (first_firing - first_pending) * STEP == 30
        (row,) = world.alerts.rows()
        assert row.since < world.now
        states = await world.look(120, **well)
        assert states[0] == "firing" or kind == "no_traffic"  # it is the last minute that counts
        assert states[-1] == "inactive"
        assert await world.events() == [("fired", kind), ("cleared", kind)]

    asyncio.run(session())


def test_the_time_begins_anew_when_the_condition_did_not_hold_once(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "endpoint_down", None, 10))
        world.target.state = "unavailable"
        assert set(await world.look(8)) == {"pending"}
        world.target.state = "ready"
        assert await world.look() == ["inactive"]
        world.target.state = "unavailable"
        assert await world.look(12) == ["pending"] * 5 + ["firing"]
        assert await world.events() == [("fired", "endpoint_down")]

    asyncio.run(session())


def test_without_a_time_it_fires_at_once(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "endpoint_down"))
        world.target.error = Unavailable("The server is gone.")
        assert await world.look() == ["firing"]
        (row,) = world.alerts.rows()
        assert (row.since, row.reason) == (world.now, "The server is gone.")

    asyncio.run(session())


def test_an_endpoint_that_disappears_is_down_and_has_no_traffic_and_nothing_else(world):
    async def session():
        await world.look(20, slow=5, failed=3)
        for kind, threshold in (
            ("p95_above", 1.0),
            ("error_rate_above", 0.1),
            ("no_traffic", None),
            ("endpoint_down", None),
        ):
            await world.alerts.put(Rule("local", "digits", kind, threshold))
        await world.look(4, slow=5, failed=3)
        assert {row.kind for row in world.alerts.rows() if row.state == "firing"} == {"p95_above", "error_rate_above"}
        world.target.names = []
        await world.look()
        assert {row.kind for row in world.alerts.rows() if row.state == "firing"} == {"no_traffic", "endpoint_down"}

    asyncio.run(session())


def test_a_server_that_started_again_counts_from_zero(world):
    async def session():
        await world.look(10, quick=100)
        await world.alerts.put(Rule("local", "digits", "error_rate_above", 0.5))
        await world.look(4, quick=100)
        world.target.quick = world.target.failed = 0
        assert set(await world.look(10, quick=1)) == {"inactive"}

    asyncio.run(session())


def test_a_restart_keeps_rules_and_states_and_says_nothing_again(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "p95_above", 100.0, 4))
        await world.look(10, slow=5)
        (before,) = world.alerts.rows()
        assert before.state == "firing"
        world.start()
        # One reading says nothing yet of a minute: what fired goes on.
        assert set(await world.look(10, slow=5)) == {"firing"}
        assert world.alerts.rows() == [before]
        await world.look(120, quick=5)
        assert await world.events() == [("fired", "p95_above"), ("cleared", "p95_above")]
        world.start()
        assert set(await world.look(10, quick=5)) == {"inactive"}
        assert len(await world.events()) == 2

    asyncio.run(session())


def test_a_rule_that_is_removed_while_it_fires_clears(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "endpoint_down"))
        world.target.state = "stopped"
        assert await world.look() == ["firing"]
        await world.alerts.remove(("local", "digits", "endpoint_down"))
        assert await world.events() == [("fired", "endpoint_down"), ("cleared", "endpoint_down")]
        with pytest.raises(NotFound, match="no alert of the kind"):
            await world.alerts.remove(("local", "digits", "endpoint_down"))
        await world.alerts.put(Rule("local", "digits", "endpoint_down"))
        world.alerts.path.unlink()  # by hand, while no server runs
        await world.look()
        world.start()
        await world.look()
        assert (await world.events())[-1] == ("cleared", "endpoint_down")

    asyncio.run(session())


def test_a_changed_rule_that_fires_goes_on_and_a_pending_one_waits_anew(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "endpoint_down", None, 10))
        world.target.state = "failed"
        await world.look(6)
        await world.alerts.put(Rule("local", "digits", "endpoint_down", None, 4))
        assert await world.look(6) == ["pending", "pending", "firing"]
        await world.alerts.put(Rule("local", "digits", "endpoint_down", None, 60))
        assert await world.look() == ["firing"]
        assert await world.events() == [("fired", "endpoint_down")]

    asyncio.run(session())


def test_a_target_that_was_not_looked_at_yet_says_nothing(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "endpoint_down"))
        await world.alerts.evaluate([], unknown={"local"})
        assert [row.state for row in world.alerts.rows()] == ["inactive"]
        await world.alerts.evaluate([])
        assert [row.state for row in world.alerts.rows()] == ["firing"]

    asyncio.run(session())


def test_a_rule_needs_an_endpoint(world):
    async def session():
        await world.look()
        with pytest.raises(NotFound, match="no endpoint 'digit'") as caught:
            await world.alerts.put(Rule("local", "digit", "endpoint_down"))
        assert "digits" in caught.value.hint
        assert not world.folder.exists()
        world.target.names = ["*"]  # it does not answer: which ones there are is not known
        await world.look()
        await world.alerts.put(Rule("local", "digit", "endpoint_down"))

    asyncio.run(session())


@pytest.mark.parametrize("name", ["", "a\nb", "{{ template }}", "x" * 300])
def test_what_is_no_name_is_said(name):
    for target, endpoint in (("local", name), (name, "digits")):
        with pytest.raises(InvalidInput):
            Rule(target, endpoint, "no_traffic")


@pytest.mark.parametrize(
    ("kind", "threshold", "seconds"),
    [
        ("p99_above", 1.0, 0),
        ("p95_above", None, 0),
        ("p95_above", 0.0, 0),
        ("p95_above", float("nan"), 0),
        ("error_rate_above", 1.0, 0),
        ("error_rate_above", -0.1, 0),
        ("no_traffic", 3.0, 0),
        ("endpoint_down", None, -1),
        ("endpoint_down", None, 10_000_000),
    ],
)
def test_what_is_no_rule_is_said(kind, threshold, seconds):
    with pytest.raises(InvalidInput):
        Rule("local", "digits", kind, threshold, seconds)


def test_snapshots_tell_of_alerts_when_they_change(world):
    async def session():
        first = await world.watcher.snapshot()
        assert first.alerts == []
        await world.alerts.put(Rule("local", "digits", "endpoint_down"))
        second = await world.watcher.snapshot(first.cursor)
        assert [row.state for row in second.alerts] == ["inactive"]
        third = await world.watcher.snapshot(second.cursor)
        assert third.alerts is None
        world.target.state = "stopped"
        fourth = await world.watcher.snapshot(third.cursor)
        assert [row.state for row in fourth.alerts] == ["firing"]
        assert (await world.watcher.snapshot()).alerts == fourth.alerts

    asyncio.run(session())


def test_a_file_that_is_edited_by_hand_is_read_again_and_a_broken_one_is_named(world):
    async def session():
        await world.watcher.snapshot()
        await world.alerts.put(Rule("local", "digits", "p95_above", 100.0, 30))
        text = world.alerts.path.read_text()
        world.alerts.path.write_text(
            text.replace("maas_threshold: '100'", "maas_threshold: 250").replace("30s", "1m30s")
        )
        await world.watcher.snapshot()
        (row,) = world.alerts.rows()
        assert (row.threshold, row.for_seconds) == (250.0, 90)

        world.alerts.path.write_text(text + "  - [")
        broken = await world.watcher.snapshot()
        assert "is not understood" in broken.alerts_error
        assert world.alerts.rows() == [row]  # what was known goes on
        with pytest.raises(InvalidInput, match="not understood"):
            await world.alerts.put(Rule("local", "digits", "no_traffic"))
        assert world.alerts.path.read_text() == text + "  - ["
        world.alerts.path.write_text(text)
        assert (await world.watcher.snapshot()).alerts_error is None

    asyncio.run(session())


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written_is_named(world):
    world.folder.mkdir()
    world.folder.chmod(0o500)
    with pytest.raises(Unavailable, match="cannot be written"):
        asyncio.run(world.alerts.put(Rule("local", "digits", "no_traffic")))


def test_what_could_not_be_written_down_is_written_later(world):
    async def session():
        await world.look()
        await world.alerts.put(Rule("local", "digits", "endpoint_down"))
        log = world.folder / "alerts.jsonl"
        log.mkdir()
        world.target.state = "stopped"
        assert await world.look() == ["firing"]
        assert "cannot be written" in (await world.watcher.snapshot()).alerts_error
        log.rmdir()
        assert (await world.watcher.snapshot()).alerts_error is None
        assert await world.events() == [("fired", "endpoint_down")]

    asyncio.run(session())


def event(time, change="fired", name="digits"):
    return AlertEvent(float(time), change, "local", name, "endpoint_down", None, 0, None, "")


def test_the_history_is_bounded_and_keeps_what_still_fires(tmp_path):
    log = EventLog(tmp_path / "alerts.jsonl", kept=10)
    log.append([event(0, name="old")])
    for number in range(1, 100):
        log.append([event(number, "fired" if number % 2 else "cleared")])
        assert len(log.read()) <= 20
    events = log.read()
    assert events[0] == event(0, name="old")
    assert [each.time for each in events[-10:]] == list(range(90, 100))


def test_a_line_that_was_cut_is_passed_over(tmp_path):
    log = EventLog(tmp_path / "alerts.jsonl")
    log.append([event(1)])
    with (tmp_path / "alerts.jsonl").open("a") as file:
        file.write(json.dumps({"time": 2})[:5])
    log.append([event(3)])
    assert [each.time for each in log.read()] == [1, 3]


@pytest.fixture
def two_servers(tmp_path):
    """Two Jupyter servers on one home, which see the same target."""
    one, other = World(tmp_path / "monitoring"), World(tmp_path / "monitoring")
    other.target = one.target
    other.start()

    async def look(*worlds, **counted):
        for name, number in counted.items():
            setattr(one.target, name, getattr(one.target, name) + number)
        one.now = other.now = max(one.now, other.now) + STEP
        for world in worlds:
            await world.watcher.watch_endpoints()

    return one, other, look


def test_two_servers_of_one_home_write_each_event_once(two_servers):
    one, other, look = two_servers
    changes = [("fired", "endpoint_down"), ("cleared", "endpoint_down")]

    async def session():
        await look(one, other)
        await other.alerts.put(Rule("local", "digits", "endpoint_down"))
        for round_ in range(1, 4):
            one.target.state = "stopped"
            await look(one, other)
            assert [world.alerts.rows()[0].state for world in (one, other)] == ["firing", "firing"]
            one.target.state = "ready"
            await look(other, one)
            assert await one.events() == await other.events() == changes * round_

    asyncio.run(session())


def test_the_server_that_is_left_takes_over_and_adds_what_nobody_wrote(two_servers):
    one, other, look = two_servers

    async def session():
        await look(one)
        for kind in ("endpoint_down", "no_traffic"):
            await one.alerts.put(Rule("local", "digits", kind))
        one.target.state = "stopped"
        await look(one, other)
        assert sorted(await one.events()) == [("fired", "endpoint_down"), ("fired", "no_traffic")]
        # The one that writes sees nothing of this any more.
        one.target.state = "ready"
        await look(other, quick=1)
        await look(other, quick=1)
        assert len(await one.events()) == 2
        one.alerts.close()
        await look(other, quick=1)
        assert sorted((await other.events())[2:]) == [("cleared", "endpoint_down"), ("cleared", "no_traffic")]
        one.target.state = "failed"
        await look(other)
        assert ("fired", "endpoint_down") in (await other.events())[4:]

    asyncio.run(session())
