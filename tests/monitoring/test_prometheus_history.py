"""The past of endpoints from a Prometheus server that keeps what their servers told."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import trustme

from maas_jupyter.errors import InvalidInput, NotFound, Unauthorized, Unavailable
from maas_jupyter.monitoring import SampleStore, WatchedEndpoint, Watcher
from maas_jupyter.monitoring.prometheus import MOST, Prometheus
from maas_jupyter.monitoring.scrape import parse

sys.path.insert(0, str(Path(__file__).parent))

from foreign_servers import VLLM, BentoML, KServe, MLServer, TFServing, Triton
from prometheus_server import PrometheusServer

NOW = 1_700_000_000.0
HERE = "127.0.0.1:4000"
DIGITS = WatchedEndpoint("digits", f"http://{HERE}/v2/models/digits", "ready")
EVERY = 15


def how_to_set(variable):
    return f"Set {variable}."


@pytest.fixture
def server():
    server = PrometheusServer()
    yield server
    server.stop()


@pytest.fixture
def prometheus(server):
    return Prometheus(server.url, how_to_set=how_to_set)


def told(requests, *, failed=0, name="digits", seconds=0.004, cpu=1.0, version="1"):
    """What a model server tells that has had so many requests."""
    of = f'model="{name}",version="{version}"'
    return (
        f'maas_requests_total{{{of},protocol="v2",code="200"}} {requests - failed}\n'
        f'maas_requests_total{{{of},protocol="v2",code="503"}} {failed}\n'
        f'maas_request_duration_seconds_bucket{{{of},le="0.005"}} {requests if seconds <= 0.005 else 0}\n'
        f'maas_request_duration_seconds_bucket{{{of},le="0.1"}} {requests}\n'
        f'maas_request_duration_seconds_bucket{{{of},le="+Inf"}} {requests}\n'
        f"maas_request_duration_seconds_sum{{{of}}} {requests * seconds}\n"
        f"maas_request_duration_seconds_count{{{of}}} {requests}\n"
        f"maas_batch_rows_sum{{{of}}} {requests * 4}\n"
        f"maas_batch_rows_count{{{of}}} {requests}\n"
        f"maas_queue_depth{{{of}}} 3\n"
        'maas_process_resident_memory_bytes{process="worker"} 5e+07\n'
        f'maas_process_cpu_seconds_total{{process="worker"}} {cpu}\n'
    )


def scrapes(server, seconds, text, *, every=EVERY, until=NOW, **labels):
    """Keep what ``text`` makes of the number of each scrape, of a time that ends now."""
    labels = labels or {"instance": HERE, "job": "maas"}
    count = int(seconds / every)
    for number in range(count + 1):
        if (now := text(number)) is not None:
            server.scrape(until - (count - number) * every - 3, now, **labels)


def test_what_was_scraped_is_what_it_is_live(server, prometheus):
    scrapes(server, 3600, lambda number: told(30 * number, failed=3 * number, cpu=1.5 * number))
    samples = prometheus.samples("local", DIGITS, NOW - 3600, NOW)
    times = [sample.time for sample in samples]
    assert times == sorted(times)
    assert NOW - 3600 < times[0] < NOW - 3570
    assert NOW - EVERY <= times[-1] <= NOW
    steady = samples[1:]
    assert {later - earlier for earlier, later in pairwise(times)} == {EVERY}
    assert {sample.requests_per_second for sample in steady} == {2.0}
    assert {sample.errors_per_second for sample in steady} == {0.2}
    assert {sample.cpu for sample in steady} == {0.1}
    assert {sample.memory for sample in steady} == {50_000_000}
    assert {sample.waiting for sample in steady} == {3}
    assert {sample.batch_rows for sample in steady} == {4.0}
    assert {sample.mean_ms for sample in steady} == {4.0}
    assert all(2.0 < sample.p50_ms <= 5.0 for sample in steady)
    assert steady[0].versions == {"1": 2.0}
    assert steady[0].codes == {"200": 1.8, "503": 0.2}


@pytest.mark.parametrize("every", [5, 15, 60])
def test_the_steps_are_whole_scrapes_and_not_too_many(server, prometheus, every):
    scrapes(server, 21_600, lambda number: told(every * number), every=every)
    samples = prometheus.samples("local", DIGITS, NOW - 21_600, NOW)
    assert len(samples) in range(MOST - 5, MOST + 2)
    assert {sample.requests_per_second for sample in samples[1:]} == {1.0}
    (step,) = {float(query["step"]) for route, query in server.asked if route == "query_range"}
    assert step % every == 0


def test_a_gap_and_a_restart_are_no_peaks(server, prometheus):
    def text(number):
        if 40 <= number < 80:
            return None  # it was down
        return told(15 * number if number < 120 else 15 * (number - 119))

    scrapes(server, 3600, text)
    samples = prometheus.samples("local", DIGITS, NOW - 3600, NOW)
    assert max(sample.requests_per_second for sample in samples) <= 1.0
    steps = [later.time - earlier.time for earlier, later in pairwise(samples)]
    assert max(steps) > 300


def test_the_right_one_of_several_servers_is_asked_for(server, prometheus):
    scrapes(server, 600, lambda number: told(15 * number), instance=HERE, job="maas")
    scrapes(server, 600, lambda number: told(150 * number), instance="gpu-box:8443", job="maas")
    gpu = WatchedEndpoint("digits", "https://gpu-box:8443/v2/models/digits", "ready")
    for endpoint, rate in ((DIGITS, 1.0), (gpu, 10.0)):
        samples = prometheus.samples("any", endpoint, NOW - 300, NOW)
        assert {sample.requests_per_second for sample in samples} == {rate}
    other = WatchedEndpoint("digits", "https://elsewhere/v2/models/digits", "ready")
    with pytest.raises(NotFound, match=r"of 127\.0\.0\.1:4000, gpu-box:8443, and not of elsewhere:443") as caught:
        prometheus.samples("prod", other, NOW - 300, NOW)
    assert "maas_target: prod" in caught.value.hint
    with pytest.raises(NotFound, match="nothing of 'wine'") as caught:
        prometheus.samples("local", WatchedEndpoint("wine", DIGITS.url, "ready"), NOW - 300, NOW)
    assert f"Let it scrape {HERE}" in caught.value.hint


def test_a_label_says_which_target_it_is_and_several_servers_are_one(server, prometheus):
    for start in (0, 30):
        labels = {"instance": f"10.0.0.{start}:8443", "job": "maas", "maas_target": "prod"}
        # One of them starts again in between.
        scrapes(
            server,
            600,
            lambda number, start=start: told(15 * (number if number < start else number - start + 1)),
            **labels,
        )
    scrapes(server, 600, lambda number: told(1500 * number), instance=HERE, job="maas")
    samples = prometheus.samples("prod", WatchedEndpoint("digits", "https://balancer/", "ready"), NOW - 500, NOW)
    rates = [sample.requests_per_second for sample in samples]
    assert rates.count(2.0) > 25
    assert max(rates) <= 2.0
    assert {sample.memory for sample in samples} == {100_000_000}


def test_this_machine_has_several_names_to_a_prometheus_that_runs_here(server, prometheus):
    scrapes(server, 300, lambda number: told(15 * number), instance="localhost:4000", job="maas")
    assert prometheus.samples("local", DIGITS, NOW - 200, NOW)


FOREIGN = {
    "Triton": (Triton, "resnet", {"version": "2"}),
    "vLLM": (VLLM, None, {}),
    "KServe": (KServe, None, {}),
    "MLServer": (MLServer, None, {}),
    "TF Serving": (TFServing, None, {}),
    "BentoML": (BentoML, None, {}),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_the_past_of_servers_that_are_not_ours(server, prometheus, kind):
    from maas_jupyter.monitoring.foreign.kinds import KINDS

    made, name, _ = FOREIGN[kind]
    foreign = made()
    try:
        place = next(iter(KINDS[kind].places)).path
        texts = []
        for _ in range(21):
            texts.append(foreign.answer("GET", place, {})[1])
            foreign.serve(30)
    finally:
        foreign.stop()
    name = name or next(iter(KINDS[kind].read(texts[-1]).models))
    # Its metrics are at another port than its requests.
    scrapes(server, 300, lambda number: texts[number], instance="gpu-box:8002", job="theirs")
    endpoint = WatchedEndpoint(
        name, "http://gpu-box:8000/v1", "ready", kind=kind, metrics="http://gpu-box:8002/metrics"
    )
    samples = prometheus.samples("theirs", endpoint, NOW - 250, NOW)
    assert {sample.requests_per_second for sample in samples} == {2.0}
    assert all(sample.mean_ms is not None for sample in samples)


@pytest.mark.parametrize(
    ("override", "kind", "words"),
    [
        (
            (400, {"status": "error", "errorType": "bad_data", "error": "parse error: what?"}),
            Unavailable,
            "400: parse error",
        ),
        (
            (503, {"status": "error", "errorType": "timeout", "error": "query timed out"}),
            Unavailable,
            "503: query timed out",
        ),
        ((200, b"<html>Grafana</html>"), Unavailable, "not as Prometheus does"),
        ((404, b"404 page not found"), Unavailable, "404, and not as Prometheus does"),
        ((200, {"status": "success", "data": 3}), Unavailable, "no series"),
        ((302, b""), Unavailable, "302"),
        (
            (200, {"status": "success", "data": {"result": [{"metric": {}, "values": [[NOW, "many"]]}]}}),
            Unavailable,
            "no series",
        ),
    ],
)
def test_what_goes_wrong_is_said(server, prometheus, override, kind, words):
    server.override = override
    with pytest.raises(kind, match=words):
        prometheus.samples("local", DIGITS, NOW - 300, NOW)


def test_a_token_goes_with_the_question_and_into_no_message(server, monkeypatch):
    scrapes(server, 300, lambda number: told(15 * number))
    server.token = "s3cret"
    with pytest.raises(Unauthorized, match="401") as caught:
        Prometheus(server.url, how_to_set=how_to_set).samples("local", DIGITS, NOW - 200, NOW)
    assert "prometheus_token_env" in caught.value.hint
    protected = Prometheus(server.url, token_env="PROM_TOKEN", how_to_set=how_to_set)
    with pytest.raises(Unauthorized, match="PROM_TOKEN is not set"):
        protected.samples("local", DIGITS, NOW - 200, NOW)
    monkeypatch.setenv("PROM_TOKEN", "s3cret")
    assert protected.samples("local", DIGITS, NOW - 200, NOW)
    assert "s3cret" not in repr(protected) + repr(vars(protected))
    with pytest.raises(InvalidInput, match="could read the token"):
        Prometheus("http://far.example", token_env="PROM_TOKEN", how_to_set=how_to_set).samples(
            "local", DIGITS, NOW - 200, NOW
        )


def test_a_private_authority_is_trusted_where_its_file_is_named(tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server = PrometheusServer(context)
    try:
        scrapes(server, 300, lambda number: told(15 * number))
        with pytest.raises(Unavailable, match="certificate is refused"):
            Prometheus(server.url, how_to_set=how_to_set).samples("local", DIGITS, NOW - 200, NOW)
        trusting = Prometheus(server.url, ca_file=str(tmp_path / "ca.pem"), how_to_set=how_to_set)
        assert trusting.samples("local", DIGITS, NOW - 200, NOW)
    finally:
        server.stop()


def test_nobody_there(prometheus, server):
    server.stop()
    with pytest.raises(Unavailable, match="cannot be reached"):
        prometheus.samples("local", DIGITS, NOW - 300, NOW)


class Served:
    """A target whose one endpoint has 15 requests a second."""

    name = "local"

    def __init__(self):
        self.requests = 100_000

    def endpoints(self):
        return [DIGITS]

    def scrape(self):
        self.requests += 30
        return parse(told(self.requests))


@pytest.fixture
def watcher(prometheus, tmp_path):
    now = [NOW - 60]

    def clock():
        return now[0]

    watcher = Watcher(
        list,
        list,
        [Served()],
        interval=0.0,
        store=SampleStore(tmp_path / "s.db", clock),
        archive=prometheus,
        clock=clock,
    )

    async def look(times=1):
        for _ in range(times):
            now[0] += 2
            await watcher.snapshot()

    watcher.look = look
    return watcher


def test_the_past_is_prometheus_and_the_last_moments_are_what_was_seen(server, watcher):
    scrapes(server, 3600, lambda number: told(15 * number))

    async def session():
        await watcher.look(30)
        return await watcher.past(("local", "digits"), 3600)

    past = asyncio.run(session())
    assert past.source == f"Prometheus at {server.url}"
    assert past.trouble == ""
    times = [sample.time for sample in past.samples]
    assert times == sorted(set(times))
    rates = (
        {sample.requests_per_second for sample in past.samples if sample.time < NOW - 60},
        {sample.requests_per_second for sample in past.samples[-20:]},
    )
    assert rates == ({1.0}, {15.0})
    assert len(times) > 200


def test_a_dashboard_that_asks_before_anybody_looked_is_answered_too(server, watcher):
    scrapes(server, 300, lambda number: told(15 * number))
    assert asyncio.run(watcher.past(("local", "digits"), 200)).samples


def test_what_was_seen_is_shown_instead_with_the_reason(server, watcher):
    async def session():
        await watcher.look(5)
        server.override = 503, {"status": "error", "error": "starting"}
        return await watcher.past(("local", "digits"), 300), await watcher.past(("local", "wine"), 300)

    past, unknown = asyncio.run(session())
    assert len(past.samples) == 4
    assert past.source == ""
    assert past.trouble == f"Prometheus at {server.url} answers 503: starting."
    assert "does not list 'wine'" in unknown.trouble
    assert json.dumps(unknown.samples) == "[]"
