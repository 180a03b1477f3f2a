"""Servers that this product did not start, recognised and watched through the watcher."""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import sys
import time
from pathlib import Path

import pytest
import trustme

from maas_jupyter.errors import Conflict, InvalidInput, MaasError, NotFound, Unauthorized, Unavailable, UsageError
from maas_jupyter.monitoring import Watcher
from maas_jupyter.monitoring.foreign import AttachedServer, AttachedServers, ForeignSource, attach

sys.path.insert(0, str(Path(__file__).parent))

from foreign_servers import VLLM, BentoML, ForeignServer, KServe, MLServer, TFServing, Triton, TritonMetrics


def how_to_set(variable):
    return f"Set {variable}."


@pytest.fixture
def servers(tmp_path):
    return AttachedServers(tmp_path / "home")


@pytest.fixture
def kept(tmp_path):
    """The file of `servers`."""
    return tmp_path / "home" / "attached.json"


@pytest.fixture
def run_server():
    """Start servers that end with the test."""
    running = []

    def start(kind, **options):
        server = kind(**options)
        running.append(server)
        return server

    yield start
    for server in running:
        server.stop()


@pytest.fixture
def clock():
    now = iter(range(1_000, 10_000_000, 2))
    return lambda: float(next(now))


def watcher_of(attached, clock, **options):
    source = ForeignSource(attached, how_to_set, patience=options.pop("patience", 2.0))
    return Watcher(list, list, [source], interval=0.0, clock=clock, **options)


def attach_to(servers, server, **options):
    return attach(servers, server.url, how_to_set=how_to_set, **options)


def rows_of(snapshot):
    return {row.name: row for row in snapshot.endpoints}


def is_unwell(rows, name):
    return rows[name].state == "unavailable"


async def look_until(watcher, seen):
    """Look until the rows are as they should be: after a look that took long, some snapshots take none."""
    while True:
        snapshot = await watcher.snapshot()
        if seen(rows_of(snapshot)):
            return snapshot


def watch(servers, server, clock, *, answered, failed=0):
    """Attach, look twice with requests in between, and return the attached server, its rows and the new samples."""
    attached = attach_to(servers, server)
    watcher = watcher_of(attached, clock)

    async def session():
        await watcher.snapshot()
        for turn in (1, 2):  # a version that had no request before the first one gets its base
            server.serve(answered, failed)
            last = await look_until(
                watcher,
                lambda rows, turn=turn: any(row.requests_total == turn * (answered + failed) for row in rows.values()),
            )
        return last

    last = asyncio.run(session())
    samples = {key.partition("/")[2]: values[-1] for key, values in last.samples.items()}
    return attached, rows_of(last), samples


def test_triton(servers, run_server, clock):
    server = run_server(Triton)
    attached, rows, samples = watch(servers, server, clock, answered=18, failed=2)
    assert (attached.name, attached.kind, attached.metrics) == ("triton", "Triton", f"{server.url}/metrics")
    assert list(rows) == ["broken", "resnet"]
    row, sample = rows["resnet"], samples["resnet"]
    assert (row.target, row.kind, row.state, row.url) == ("triton", "Triton", "ready", f"{server.url}/v2/models/resnet")
    assert [(each.version, each.weight, each.state) for each in row.traffic] == [
        ("1", 0, "unloaded"),
        ("2", 100, "ready"),
    ]
    assert (row.requests_total, row.errors_total) == (40, 4)
    assert (sample.requests_per_second, sample.errors_per_second) == (10.0, 1.0)
    assert sample.codes == {"200": 9.0, "500": 1.0}
    assert sample.versions == {"2": 10.0}
    assert (sample.mean_ms, sample.p50_ms, sample.waiting, sample.batch_rows) == (2.5, None, 3, 4.0)
    assert {"p50_ms", "p95_ms", "p99_ms", "memory"} <= set(row.untold)
    assert (rows["broken"].state, rows["broken"].reason) == ("failed", "Internal: no model.plan")


def test_a_repository_that_is_restricted_leaves_what_the_metrics_name(servers, run_server, clock):
    server = run_server(Triton)
    server.restricted = True
    attached = attach_to(servers, server)
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.name, row.state, row.traffic) == ("resnet", "ready", [])
    server.ready = False
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.state, row.reason) == (
        "unavailable",
        "Triton says that it is not ready: /v2/health/ready answers 400.",
    )


def test_the_metrics_of_triton_are_found_on_their_own_port(servers, run_server, clock):
    host = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(2, 255)}"
    server = run_server(Triton, host=host)
    server.with_metrics = False
    run_server(TritonMetrics, host=host, port=8002).serve(5)
    attached = attach_to(servers, server)
    assert attached.metrics == f"http://{host}:8002/metrics"
    row = rows_of(asyncio.run(watcher_of(attached, clock).snapshot()))["resnet"]
    assert (row.state, row.requests_total) == ("ready", 5)


def test_the_metrics_alone_are_enough(servers, run_server, clock):
    server = run_server(TritonMetrics)
    server.serve(3)
    attached = attach(servers, f"{server.url}/metrics", how_to_set=how_to_set)
    assert (attached.url, attached.kind) == (server.url, "Triton")
    rows = rows_of(asyncio.run(watcher_of(attached, clock).snapshot()))
    assert [(row.name, row.state, row.requests_total) for row in rows.values()] == [("resnet", "ready", 3)]


def test_a_server_whose_metrics_are_off_says_so(servers, run_server):
    server = run_server(Triton)
    server.with_metrics = False
    with pytest.raises(Unavailable, match="but its metrics were not found") as caught:
        attach_to(servers, server)
    assert ":8002/metrics" in caught.value.message
    assert "--metrics" in caught.value.hint
    elsewhere = run_server(TritonMetrics)
    assert attach_to(servers, server, metrics=elsewhere.url).metrics == f"{elsewhere.url}/metrics"


def test_mlserver(servers, run_server, clock):
    server = run_server(MLServer)
    attached, rows, samples = watch(servers, server, clock, answered=6, failed=2)
    row, sample = rows["iris"], samples["iris"]
    assert (attached.kind, row.state, row.requests_total, row.errors_total) == ("MLServer", "ready", 16, 4)
    assert [(each.version, each.weight) for each in row.traffic] == [("v1", 100)]
    assert (sample.requests_per_second, sample.mean_ms, sample.p95_ms) == (4.0, 4.0, None)
    server.ready = False
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.state, row.reason) == ("stopped", "It is not loaded.")


def test_kserve(servers, run_server, clock):
    server = run_server(KServe)
    attached, rows, samples = watch(servers, server, clock, answered=10)
    row, sample = rows["sklearn-iris"], samples["sklearn-iris"]
    assert (attached.kind, row.state, row.requests_total) == ("KServe", "ready", 20)
    assert (sample.requests_per_second, sample.mean_ms, sample.p50_ms) == (5.0, 8.0, 7.5)
    assert (sample.codes, sample.memory) == ({}, 250_000_000)
    assert {"errors_per_second", "codes"} <= set(row.untold)
    server.ready = False
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert row.state == "unavailable"
    assert row.reason == "The model 'sklearn-iris' says that it is not ready: /v1/models/sklearn-iris answers 503."


def test_vllm(servers, run_server, clock):
    server = run_server(VLLM)
    attached, rows, samples = watch(servers, server, clock, answered=4, failed=2)
    assert list(rows) == ["meta-llama/Llama-3-8B"]  # neither its second name nor an adapter is counted apart
    row, sample = rows["meta-llama/Llama-3-8B"], samples["meta-llama/Llama-3-8B"]
    assert (attached.name, row.state, row.requests_total, row.errors_total) == ("vllm", "ready", 12, 4)
    assert (sample.requests_per_second, sample.waiting, sample.p50_ms, sample.mean_ms) == (3.0, 2, 400.0, 400.0)
    assert sample.codes == {"200": 2.0, "500": 1.0}
    server.ready = False
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.state, row.reason) == ("unavailable", "vLLM says that it is not ready: /health answers 503.")


def test_tf_serving(servers, run_server, clock):
    server = run_server(TFServing)
    attached, rows, samples = watch(servers, server, clock, answered=8, failed=2)
    assert list(rows) == ["half_plus_two"]
    row, sample = rows["half_plus_two"], samples["half_plus_two"]
    assert (attached.name, attached.kind, row.state, row.requests_total) == ("tf-serving", "TF Serving", "ready", 20)
    assert [(each.version, each.weight) for each in row.traffic] == [("10", 100)]
    assert (sample.requests_per_second, sample.codes) == (5.0, {"200": 4.0, "400": 1.0})
    assert (sample.mean_ms, sample.p50_ms) == (2.0, 2.52)
    server.ready = False
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.state, row.reason) == ("failed", "out of memory")


def test_bentoml(servers, run_server, clock):
    server = run_server(BentoML)
    attached, rows, samples = watch(servers, server, clock, answered=6, failed=2)
    row, sample = rows["Summary"], samples["Summary"]
    assert (attached.kind, row.state, row.requests_total, row.errors_total) == ("BentoML", "ready", 16, 4)
    assert (sample.requests_per_second, sample.p50_ms, sample.batch_rows) == (4.0, 55.0, 2.0)
    assert server.asked["/v2", 404]  # what finds out the kind is no work of the service


@pytest.mark.parametrize("copied", ["/", "/metrics", "/v2", "/v2/health/ready", "/v1/models"])
def test_an_address_is_normalised(servers, run_server, copied):
    server = run_server(Triton)
    assert attach(servers, f" HTTP{server.url[4:]}{copied}", how_to_set=how_to_set).url == server.url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gpu-box:8000", "not an address"),
        ("ftp://gpu-box", "not an address"),
        ("file:///etc/passwd", "not an address"),
        ("http://", "not an address"),
        ("", "not an address"),
        ("http://gpu-box:8000/?x=1", "not an address"),
        ("http://gpu box", "not an address"),
        ("http://[::1", "not an address"),
        ("http://x:99999999", "not an address"),
        ("http://user:secret@gpu-box", "user or a password"),
        ("http://gpu-box/" + "x" * 3000, "not an address"),
    ],
)
def test_what_is_no_address_is_refused(servers, kept, url, said):
    with pytest.raises(InvalidInput, match=said) as caught:
        attach(servers, url, how_to_set=how_to_set)
    assert "secret" not in str(caught.value)
    assert "http://HOST:PORT" in caught.value.hint
    assert not kept.exists()


def test_an_unknown_kind_is_refused_with_what_was_tried(servers, run_server):
    server = run_server(ForeignServer)
    server.routes = lambda: {("GET", "/metrics"): "# TYPE http_requests_total counter\nhttp_requests_total 3\n"}
    with pytest.raises(InvalidInput, match="no kind that is known") as caught:
        attach_to(servers, server)
    assert "GET /v2: 404" in caught.value.message
    assert f"GET {server.url}/metrics: 200, nothing that is known" in caught.value.message
    assert "Triton" in caught.value.hint
    assert servers.read() == {}


def test_our_own_server_belongs_to_connect(servers, run_server):
    server = run_server(ForeignServer)
    server.routes = lambda: {("GET", "/metrics"): "# TYPE maas_requests_total counter\n"}
    with pytest.raises(UsageError, match="model server of this product") as caught:
        attach_to(servers, server)
    assert "%maas connect" in caught.value.hint


def test_nobody_answers(servers):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(Unavailable) as caught:
            attach(servers, url, how_to_set=how_to_set)
    assert caught.value.message == f"Nothing answers at {url}: the connection was refused."
    assert "see whether the server runs" in caught.value.hint


def test_a_redirect_is_not_followed(servers, run_server):
    elsewhere, server = run_server(Triton), run_server(ForeignServer)
    leads = {"Location": f"{elsewhere.url}/v2?session=secret"}
    server.answer = lambda *_: (302, "", leads)
    with pytest.raises(InvalidInput, match="leads elsewhere") as caught:
        attach_to(servers, server)
    assert elsewhere.seen == []
    assert elsewhere.url in caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_watched_server_that_redirects_is_unwell_and_not_followed(servers, run_server, clock):
    server, elsewhere = run_server(VLLM), run_server(VLLM)
    attached = attach_to(servers, server)
    server.answer = lambda *_: (307, "", {"Location": elsewhere.url})
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert row.state == "unavailable"
    assert f"leads to {elsewhere.url}, which is not followed" in row.reason
    assert elsewhere.seen == []


def test_an_answer_that_is_too_large_is_refused(servers, run_server, clock):
    server = run_server(VLLM)
    attached = attach_to(servers, server)
    server.overrides["/metrics"] = (200, b"x" * 5_000_000, {})
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.name, row.state) == ("*", "unavailable")
    assert "larger than 4 MB" in row.reason


def test_metrics_that_cannot_be_read_are_named_and_the_model_stays(servers, run_server, clock):
    server = run_server(VLLM)
    watcher = watcher_of(attach_to(servers, server), clock)
    name = "meta-llama/Llama-3-8B"

    async def session():
        await watcher.snapshot()
        for text in ('vllm:request_success_total{model_name="a} 1', 'vllm:num_requests_waiting{model_name="a"} NaN'):
            server.overrides["/metrics"] = (200, f"{text}\n", {})
            rows = rows_of(await look_until(watcher, lambda rows: is_unwell(rows, name)))
            assert "cannot be read" in rows[name].reason
            server.overrides.clear()
            await look_until(watcher, lambda rows: not is_unwell(rows, name))

    asyncio.run(session())


def test_one_that_dies_keeps_its_rows_and_comes_back(servers, run_server, clock):
    server = run_server(VLLM)
    watcher = watcher_of(attach_to(servers, server), clock)
    name = "meta-llama/Llama-3-8B"

    async def session():
        server.serve(50)
        await watcher.snapshot()
        server.stop()
        rows = rows_of(await look_until(watcher, lambda rows: is_unwell(rows, name)))
        assert "cannot be reached" in rows[name].reason
        server.answered = 0  # it counts from zero again
        server.start()
        await look_until(watcher, lambda rows: not is_unwell(rows, name))
        server.serve(8)
        last = await look_until(watcher, lambda rows: rows[name].requests_total == 8)
        assert last.samples["vllm/meta-llama/Llama-3-8B"][-1].requests_per_second == 4.0

    asyncio.run(session())


def test_one_that_hangs_holds_up_nothing(servers, run_server, clock):
    hanging, sound = run_server(VLLM), run_server(MLServer)
    sources = [ForeignSource(attach_to(servers, server), how_to_set, patience=1.0) for server in (hanging, sound)]
    watcher = Watcher(list, list, sources, interval=0.0, patience=0.1, clock=clock)
    hanging.hanging.clear()

    async def session():
        rows = {}
        while "iris" not in rows:
            began = time.monotonic()
            rows = rows_of(await watcher.snapshot())
            assert time.monotonic() - began < 0.9
        assert rows["iris"].state == "ready"
        while "*" not in rows:
            rows = rows_of(await watcher.snapshot())
        assert (rows["*"].target, rows["*"].state) == ("vllm", "unavailable")
        assert "did not answer within 1 s" in rows["*"].reason

    asyncio.run(session())


def test_a_token_goes_to_its_server_and_nowhere_else(servers, kept, run_server, clock, monkeypatch):
    server, metrics = run_server(MLServer), run_server(MLServer)
    server.token = "t0ken"
    with pytest.raises(Unauthorized, match="wants a token") as caught:
        attach_to(servers, server, metrics=run_server(ForeignServer).url)
    assert "--token-env" in caught.value.hint
    with pytest.raises(Unauthorized, match="MODEL_TOKEN is not set"):
        attach_to(servers, server, token_env="MODEL_TOKEN")
    monkeypatch.setenv("MODEL_TOKEN", "t0ken")
    attached = attach_to(servers, server, token_env="MODEL_TOKEN", metrics=metrics.url)
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert row.state == "ready"
    assert "Bearer t0ken" in {token for _, token in server.seen}
    assert {token for _, token in metrics.seen} == {None}
    assert "t0ken" not in kept.read_text() + repr(attached)
    monkeypatch.setenv("MODEL_TOKEN", "wrong")
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.name, row.state) == ("*", "unavailable")
    assert "401" in row.reason
    assert "wrong" not in row.reason


@pytest.fixture
def authority(tmp_path):
    """A certificate authority that no system trusts: the file of its certificate, and what its servers show."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("127.0.0.1").configure_cert(context)
    return tmp_path / "ca.pem", context


def test_a_server_of_a_private_authority(servers, run_server, clock, authority):
    ca_file, context = authority
    triton = run_server(Triton, context=context)
    with pytest.raises(Unavailable, match="certificate is refused") as caught:
        attach_to(servers, triton)
    assert "--ca-file" in caught.value.hint
    attached = attach_to(servers, triton, ca_file=str(ca_file))
    assert servers.read()["triton"].ca_file == str(ca_file)
    rows = rows_of(asyncio.run(watcher_of(attached, clock).snapshot()))
    assert rows["resnet"].state == "ready"
    # Whoever moves the file is told in the panel.
    ca_file.write_text("no certificate")
    rows = rows_of(asyncio.run(watcher_of(attached, clock).snapshot()))
    assert "cannot be read as a certificate authority" in rows["*"].reason


def test_an_authority_file_that_is_not_there_is_said_before_anything_is_asked(servers, run_server):
    triton = run_server(Triton)
    with pytest.raises(UsageError, match="There is no file"):
        attach_to(servers, triton, ca_file="~/no-such-file.pem")
    assert triton.seen == []


def test_a_token_is_not_sent_in_the_open_nor_shown(servers, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", "t0ken")
    with pytest.raises(UsageError, match="could read the token"):
        attach(servers, "http://gpu-box:8000", token_env="MODEL_TOKEN", how_to_set=how_to_set)
    with pytest.raises(UsageError) as caught:
        attach(servers, "https://gpu-box", token_env="sk-secret", how_to_set=how_to_set)
    assert "secret" not in str(caught.value)


def test_names_and_addresses_are_there_once(servers, run_server):
    first, second, third = run_server(Triton), run_server(Triton), run_server(Triton)
    assert attach_to(servers, first).name == "triton"
    with pytest.raises(Conflict, match="watched already, as 'triton'"):
        attach_to(servers, first, name="other")
    with pytest.raises(Conflict, match="'triton' is watched already"):
        attach_to(servers, second, name="triton")
    assert attach_to(servers, second).name == "triton-2"
    with pytest.raises(Conflict, match="name of a target"):
        attach_to(servers, third, name="gpu", taken={"gpu"})
    assert attach_to(servers, third, taken={"triton-3"}).name == "triton-4"
    with pytest.raises(InvalidInput):
        attach(servers, "http://127.0.0.1:1", name="a/b", how_to_set=how_to_set)
    assert list(servers.read()) == ["triton", "triton-2", "triton-4"]


def test_the_list_is_kept_for_its_owner_and_damage_is_named(servers, kept, tmp_path):
    server = AttachedServer(name="far", url="http://far", kind="Triton", metrics="http://far/metrics")
    servers.add(server)
    assert AttachedServers(tmp_path / "home").read() == {"far": server}
    assert kept.stat().st_mode & 0o777 == 0o600
    assert servers.remove("far") == server
    with pytest.raises(NotFound, match="No endpoint called 'far'"):
        servers.remove("far")
    kept.write_text("{")
    with pytest.raises(MaasError, match=r"attached\.json"):
        servers.read()


def test_a_kind_of_a_newer_release_is_named(clock):
    attached = AttachedServer(name="far", url="http://far", kind="Newer", metrics="http://far/metrics")
    (row,) = asyncio.run(watcher_of(attached, clock).snapshot()).endpoints
    assert (row.name, row.state, row.reason) == ("*", "unavailable", "'Newer' is no kind of server that is known.")
