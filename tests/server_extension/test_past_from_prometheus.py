"""Where the past of endpoints comes from, as the settings of the Jupyter server say it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).parents[1] / "monitoring"))

from foreign_servers import Triton
from prometheus_server import PrometheusServer


@pytest.fixture
def prometheus():
    server = PrometheusServer()
    yield server
    server.stop()


@pytest.fixture
def jp_server_config(jp_server_config, prometheus, monkeypatch):
    monkeypatch.setenv("PROM_TOKEN", "s3cret")
    prometheus.token = "s3cret"
    more = Config(MaasConfig={"prometheus_url": prometheus.url, "prometheus_token_env": "PROM_TOKEN"})
    return Config({**jp_server_config, "MaasConfig": {**jp_server_config["MaasConfig"], **more["MaasConfig"]}})


@pytest.fixture
def triton():
    server = Triton()
    yield server
    server.stop()


async def past(jp_fetch, name):
    answer = await jp_fetch("maas-jupyter", "endpoints", "triton", name, "samples", params={"seconds": "300"})
    assert b"s3cret" not in answer.body
    return json.loads(answer.body)


async def test_the_past_comes_from_prometheus_or_says_why_not(jp_fetch, prometheus, triton):
    body = json.dumps({"url": triton.url})
    await jp_fetch("maas-jupyter", "attached", method="POST", body=body)
    nothing = await past(jp_fetch, "resnet")
    assert "has nothing of 'resnet'" in nothing["trouble"]
    assert nothing["source"] == ""
    now = time.time()
    for number in range(20):
        triton.serve(15)
        instance = triton.url.removeprefix("http://")
        prometheus.scrape(now - 300 + number * 15, triton.metrics(), instance=instance, job="triton")
    found = await past(jp_fetch, "resnet")
    assert found["source"] == f"Prometheus at {prometheus.url}"
    assert found["trouble"] == ""
    assert {sample[1] for sample in found["samples"]} == {1.0}
    prometheus.override = 503, b"starting"
    assert "answers 503" in (await past(jp_fetch, "resnet"))["trouble"]
