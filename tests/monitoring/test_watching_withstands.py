"""Snapshots stay quick, small and right beside slow disks, busy threads, other Jupyter servers and odd clocks."""

import asyncio
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing

import pytest

from maas_jupyter.errors import Unavailable
from maas_jupyter.monitoring import SampleStore, WatchedEndpoint, Watcher
from maas_jupyter.monitoring.alerts import Alerts, Rule
from maas_jupyter.monitoring.alerts.conditions import Windows
from maas_jupyter.monitoring.counts import EndpointCounts, VersionCounts
from maas_jupyter.monitoring.history import History, Reading
from maas_jupyter.monitoring.rows import Sample
from maas_jupyter.monitoring.scrape import parse

KEY = ("local", "digits")


class Served:
    name = "local"

    def __init__(self, name="local"):
        self.name = name
        self.state = "ready"
        self.seconds = 0.0

    def endpoints(self):
        time.sleep(self.seconds)
        return [WatchedEndpoint("digits", "http://127.0.0.1:1", self.state)]

    def scrape(self):
        return parse('maas_requests_total{model="digits",version="1",protocol="v2",code="200"} 3')


def counts(requests):
    return EndpointCounts({"1": VersionCounts(by_code=Counter({"200": requests}))})


def sample(at):
    return Sample(at, 1.0, 0.0, 1.5, 2.5, None, 0, None, None, None, {}, {})


def test_an_alert_that_two_requests_see_at_once_is_written_down_once(tmp_path):
    source = Served()
    alerts = Alerts(tmp_path / "alerts.yml")
    watcher = Watcher(list, list, [source], interval=0.0, alerts=alerts)

    async def session():
        await watcher.snapshot()
        await alerts.put(Rule("local", "digits", "endpoint_down"))
        source.state = "stopped"
        await asyncio.gather(*(watcher.snapshot() for _ in range(8)))
        source.state = "ready"
        await asyncio.gather(*(watcher.snapshot() for _ in range(8)))
        await watcher.snapshot()
        return [event.change for event in await alerts.history()]

    assert asyncio.run(session()) == ["cleared", "fired"]


def test_rules_that_two_servers_of_a_home_add_at_once_are_all_kept(tmp_path):
    servers = [Alerts(tmp_path / "alerts.yml") for _ in range(4)]

    async def session():
        await asyncio.gather(
            *(alerts.put(Rule("local", f"digits-{number}", "no_traffic")) for number, alerts in enumerate(servers))
        )
        await servers[0].catch_up()
        return [row.name for row in servers[0].rows()]

    assert asyncio.run(session()) == [f"digits-{number}" for number in range(4)]


def test_threads_that_hang_elsewhere_hold_up_no_snapshot(tmp_path):
    alerts = Alerts(tmp_path / "alerts.yml")
    source = Served()
    watcher = Watcher(list, list, [source], interval=0.0, alerts=alerts, store=SampleStore(tmp_path / "samples.db"))
    end = threading.Event()

    async def session():
        await watcher.snapshot()
        await alerts.put(Rule("local", "digits", "endpoint_down"))
        busy = [asyncio.create_task(asyncio.to_thread(end.wait)) for _ in range(64)]
        try:
            source.state = "stopped"
            found = await asyncio.wait_for(watcher.snapshot(), 5.0)
            await asyncio.wait_for(watcher.past(KEY, 300.0), 5.0)
        finally:
            end.set()
            await asyncio.gather(*busy)
        return found.alerts[0].state

    assert asyncio.run(session()) == "firing"


def test_a_history_that_is_locked_holds_up_no_snapshot(tmp_path):
    path = tmp_path / "samples.db"
    store = SampleStore(path)
    store.add(KEY, sample(time.time()))
    store.flush()
    store.add(KEY, sample(time.time()))
    watcher = Watcher(list, list, [Served()], interval=0.0, store=store)

    async def session():
        began = time.monotonic()
        await watcher.snapshot()
        return time.monotonic() - began

    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert asyncio.run(session()) < 2.0
        other.rollback()


def test_samples_are_there_while_they_are_written(tmp_path):
    path = tmp_path / "samples.db"
    store = SampleStore(path)
    store.add(KEY, sample(time.time() - 4))
    store.flush()
    store.add(KEY, sample(time.time() - 2))
    with closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = threading.Thread(target=store.flush)
        writing.start()
        found = []
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            found.append(len(store.read(KEY, 0.0)))
        other.rollback()
    writing.join()
    assert set(found) == {2}
    assert len(store.read(KEY, 0.0)) == 2


def test_one_that_is_always_slow_holds_up_the_first_snapshot_at_most():
    slow = Served("far")
    slow.seconds = 0.8
    watcher = Watcher(list, list, [slow, Served()], interval=0.0)

    async def session():
        took = []
        for _ in range(4):
            began = time.monotonic()
            await watcher.snapshot()
            took.append(time.monotonic() - began)
        return took

    took = asyncio.run(session())
    assert max(took[1:]) < 0.5


def test_what_was_counted_before_a_restart_within_the_windowcounts():
    windows = Windows()
    for at, requests in ((0.0, 100), (2.0, 110), (4.0, 3), (6.0, 110)):
        windows.add(KEY, Reading(at, counts(requests)))
    assert windows.counted(KEY).requests == 10 + 110


def test_after_the_clock_was_set_back_time_goes_forward_in_the_series():
    history = History()
    for at in (100.0, 102.0, 104.0, 50.0, 52.0, 54.0):
        history.add(KEY, Reading(at, counts(1)))
    times = [each.time for each in history.samples(KEY)]
    assert times == sorted(times)
    assert times[-1] == 54.0


def test_a_clock_that_was_ahead_leaves_nothing_in_the_future(tmp_path):
    now = 1_000_000.0
    store = SampleStore(tmp_path / "samples.db", clock=lambda: now)
    now += 7 * 86_400
    store.add(KEY, sample(now))
    store.flush()
    now -= 7 * 86_400
    for _ in range(2):
        now += 120
        store.add(KEY, sample(now))
        store.flush()
    assert [each.time for each in store.read(KEY, 0.0)] == [now - 120, now]
    now += 2 * 3600
    store.flush()
    with closing(sqlite3.connect(tmp_path / "samples.db")) as database:
        assert database.execute("SELECT COUNT(*) FROM samples WHERE time < ?", (now,)).fetchone() == (0,)


def test_a_damaged_history_says_what_to_do(tmp_path):
    (tmp_path / "samples.db").write_text("no database" * 100)
    with pytest.raises(Unavailable) as caught:
        SampleStore(tmp_path / "samples.db").read(KEY, 0.0)
    assert "away" in caught.value.hint
