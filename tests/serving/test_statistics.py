"""Triton's statistics: the mapping of counts, and what its client reads."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient

from maas_jupyter.schema import ModelStatus, VersionStatus
from maas_jupyter.serving.counts import ROWS, SECONDS, Counts, Histogram
from maas_jupyter.serving.protocols.statistics import StatisticDuration, model_statistics

HEADERS = {"Authorization": "Bearer the-token-of-an-admin"}


def histogram(bounds, *values):
    made = Histogram.over(bounds)
    for value in values:
        made.add(bounds, value)
    return made


def status(name, **states):
    return ModelStatus(name, [VersionStatus(version, "0" * 64, 100, state) for version, state in states.items()])


def test_counts_in_tritons_shape():
    served = ("digits", "v1")
    counts = Counts(
        requests={(*served, "v2-rest", 200): 3, (*served, "v2-grpc", 200): 1, (*served, "v2-rest", 400): 2},
        request_seconds={served: histogram(SECONDS, 0.5, 0.25, 0.25)},
        queue_seconds={served: histogram(SECONDS, 0.125, 0.125)},
        inference_seconds={served: histogram(SECONDS, 0.25, 0.25)},
        batch_rows={served: histogram(ROWS, 3, 5)},
        failed_seconds={served: 0.25},
        last_inference={served: 12.5},
    )
    (found,) = model_statistics(Counts.summed([counts]), [status("digits", v1="ready", v2="failed")])
    assert (found.name, found.version, found.last_inference) == ("digits", "v1", 12_500)
    assert (found.inference_count, found.execution_count) == (8, 2)
    stats = found.inference_stats
    assert stats.success == StatisticDuration(4, 750_000_000)
    assert stats.fail == StatisticDuration(2, 250_000_000)
    assert stats.queue == StatisticDuration(2, 250_000_000)
    assert stats.compute_infer == StatisticDuration(2, 500_000_000)
    assert stats.cache_hit == StatisticDuration()


def test_what_was_never_asked_has_zeros_and_versions_are_chosen():
    models = [status("a", v1="ready", v2="ready"), status("b", v1="loading")]
    found = model_statistics(Counts(), models)
    assert [(row.name, row.version, row.inference_count) for row in found] == [("a", "v1", 0), ("a", "v2", 0)]
    assert [row.version for row in model_statistics(Counts(), models, "v2")] == ["v2"]


def test_triton_reads_them(rest):
    with InferenceServerClient(rest.address) as triton:

        def row(*model):
            (found,) = triton.get_inference_statistics(*model, headers={**HEADERS})["model_stats"]
            return found

        before = row("digits")
        body = {"inputs": [{"name": "x", "shape": [3, 4], "datatype": "FP32", "data": np.zeros(12).tolist()}]}
        assert rest.http.post("/v2/models/digits/infer", json=body).status_code == 200
        assert rest.http.post("/v1/models/digits:predict", json={}).status_code == 400
        after = row("digits", "1")
        assert after["inference_count"] - before["inference_count"] == 3
        assert after["execution_count"] - before["execution_count"] == 1
        for kind in ("success", "fail"):
            assert after["inference_stats"][kind]["count"] - before["inference_stats"][kind]["count"] == 1
            assert after["inference_stats"][kind]["ns"] > before["inference_stats"][kind]["ns"]
        assert after["last_inference"] > 1.6e12
        everything = triton.get_inference_statistics(headers={**HEADERS})["model_stats"]
        assert [model["name"] for model in everything] == ["digits", "echo", "pair", "picture", "words"]


@pytest.mark.parametrize("path", ["/v2/models/nothing/stats", "/v2/models/digits/versions/9/stats"])
def test_unknown_models_and_versions(rest, path):
    assert rest.http.get(path).status_code == 404
