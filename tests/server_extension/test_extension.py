import json
import os
import signal
import socket

import msgspec
import numpy as np
import pytest

from maas_jupyter.errors import InvalidInput
from maas_jupyter.monitoring import endpoint_metrics
from maas_jupyter.monitoring.rows import Sample
from maas_jupyter.serving.client import ServingClient
from maas_jupyter.serving.record import read_record
from maas_jupyter.targets.local import LocalTarget

ROUTE = ("maas-jupyter", "snapshot")


async def snapshot_of(jp_fetch, since=""):
    return json.loads((await jp_fetch(*ROUTE, params={"since": since})).body)


async def look_until(jp_fetch, seen):
    """Ask as the panel does, until a snapshot shows what the test waits for; a vain wait ends with the test's limit."""
    while not seen(snapshot := await snapshot_of(jp_fetch)):
        pass
    return snapshot


@pytest.fixture
def silent_server():
    """The URL of a server that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


class TestSilentRegistry:
    @pytest.fixture
    def jp_server_config(self, jp_server_config, silent_server):
        jp_server_config.MaasConfig.registry_uri = silent_server
        jp_server_config.MaasConfig.registry_timeout = 0.2
        return jp_server_config

    async def test_a_registry_that_does_not_answer_is_named(self, jp_fetch, silent_server):
        snapshot = await look_until(jp_fetch, lambda snapshot: "does not answer" in snapshot["registry_error"])
        assert silent_server in snapshot["registry_error"]
        assert snapshot["models"] is None
        assert not snapshot["endpoints"]


async def models_of(jp_fetch):
    return json.loads((await jp_fetch("maas-jupyter", "models")).body)["rows"]


async def versions_of(jp_fetch, name):
    return json.loads((await jp_fetch("maas-jupyter", "models", name)).body)["versions"]


async def test_models_show_up_when_they_are_registered(jp_fetch, registry, bundle):
    run_id = registry.start_run("square", {}, {})
    first = await look_until(jp_fetch, lambda snapshot: snapshot["models"] is not None)
    assert (first["models"], await models_of(jp_fetch)) == (0, [])
    registry.register("square", bundle, run_id=run_id, metrics={"accuracy": 0.9})
    second = await look_until(jp_fetch, lambda snapshot: snapshot["models"])
    (row,) = await models_of(jp_fetch)
    assert (row["aliases"], row["newest"]["metric"]) == ({"champion": "1"}, 0.9)
    registry.register("square", bundle, run_id=run_id, metrics={"accuracy": 0.95}, parent="square/1")
    registry.set_alias("square/2", "champion")
    while (await models_of(jp_fetch))[0]["aliases"] != {"champion": "2"}:
        third = await look_until(jp_fetch, lambda snapshot: snapshot["models_number"] > second["models_number"])
    newest, oldest = await versions_of(jp_fetch, "square")
    assert (newest["version"], newest["parent"], oldest["aliases"]) == ("2", "square/1", [])
    assert newest["change"] == pytest.approx(0.05)
    assert (await snapshot_of(jp_fetch, third["cursor"]))["models_number"] >= third["models_number"]


@pytest.fixture
def target(maas_home, bundle):
    """The local target with a served model; its server ends with the test."""
    target = LocalTarget(maas_home / "server")
    try:
        target.publish("square", "1", bundle.folder)
        yield target
    finally:
        target.stop()


def ask(endpoint, times):
    for _ in range(times):
        endpoint.predict(np.ones((1, 2), np.float32))


def the_endpoint(snapshot):
    (row,) = snapshot["endpoints"]
    return row


async def test_requests_to_the_model_server_show_in_the_snapshot(jp_fetch, target):
    endpoint = target.endpoint("square")
    first = await snapshot_of(jp_fetch)
    row = the_endpoint(first)
    assert (row["name"], row["target"], row["url"], row["state"]) == ("square", "local", endpoint.url, "ready")
    (traffic,) = row["traffic"]
    assert (traffic["version"], traffic["weight"], traffic["state"], traffic["shadow"]) == ("1", 100, "ready", None)
    assert row["requests_total"] == 0

    ask(endpoint, 5)
    record = read_record(target.home)
    with ServingClient(record.url, record.token) as client, pytest.raises(InvalidInput):
        client.infer("square", {"x": np.ones((1, 3), np.float32)})
    second = await snapshot_of(jp_fetch, first["cursor"])
    row = the_endpoint(second)
    assert (row["requests_total"], row["errors_total"]) == (6, 1)
    (values,) = second["samples"]["local/square"]
    sample = msgspec.convert(values, Sample)
    assert sample.requests_per_second > sample.errors_per_second > 0
    assert 0 < sample.p50_ms <= sample.p95_ms <= sample.p99_ms
    assert sample.versions == {"1": sample.requests_per_second}
    assert set(sample.codes) == {"200", "400"}
    assert (sample.waiting, sample.batch_rows) == (0, 1.0)
    assert sample.memory > 10_000_000
    assert sample.cpu >= 0
    metrics = endpoint_metrics("square", endpoint.metrics_text(), endpoint.traffic)
    assert (metrics.requests_total, metrics.errors_total) == (6, 1)
    assert [(row.version, row.requests_total, row.share) for row in metrics.versions] == [("1", 6, 1.0)]
    assert metrics.by_code == {"200": 5, "400": 1}
    assert 0 < metrics.p50_ms <= metrics.p95_ms <= metrics.p99_ms
    assert metrics.memory_mb > 10


async def test_a_killed_server_shows_as_unavailable_until_it_is_back(jp_fetch, target, bundle):
    ask(target.endpoint("square"), 3)
    await snapshot_of(jp_fetch)
    os.kill(read_record(target.home).pid, signal.SIGKILL)
    dead = await look_until(jp_fetch, lambda snapshot: the_endpoint(snapshot)["state"] != "ready")
    row = the_endpoint(dead)
    assert (row["state"], row["requests_total"]) == ("unavailable", 3)
    assert "is gone" in row["reason"]
    assert dead["registry_error"] is None

    ask(target.publish("square", "2", bundle.folder), 1)
    row = the_endpoint(await look_until(jp_fetch, lambda snapshot: the_endpoint(snapshot)["state"] == "ready"))
    assert [traffic["version"] for traffic in row["traffic"]] == ["2"]
    assert row["requests_total"] == 1  # counted from zero again


async def test_a_stopped_server_shows_as_stopped(jp_fetch, target):
    target.stop()
    row = the_endpoint(await snapshot_of(jp_fetch))
    assert (row["state"], row["url"]) == ("stopped", "")


async def test_a_server_that_hangs_is_named_and_the_snapshot_comes(jp_fetch, target):
    pid = read_record(target.home).pid
    await snapshot_of(jp_fetch)
    os.kill(pid, signal.SIGSTOP)
    try:
        row = the_endpoint(await look_until(jp_fetch, lambda snapshot: the_endpoint(snapshot)["state"] != "ready"))
        assert row["state"] == "unavailable"
        assert "has not answered for" in row["reason"]
    finally:
        os.kill(pid, signal.SIGCONT)
    await look_until(jp_fetch, lambda snapshot: the_endpoint(snapshot)["state"] == "ready")


async def test_a_withdrawn_model_is_gone(jp_fetch, target):
    assert the_endpoint(await snapshot_of(jp_fetch))
    target.stop("square")
    await look_until(jp_fetch, lambda snapshot: snapshot["endpoints"] == [])
