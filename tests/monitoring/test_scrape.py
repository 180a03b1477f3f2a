import math
import time
from collections import Counter

import prometheus_client as prometheus
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.monitoring.counts import EndpointCounts, VersionCounts, histogram_quantile
from maas_jupyter.monitoring.rows import ShadowCounts
from maas_jupyter.monitoring.scrape import parse
from maas_jupyter.monitoring.summary import endpoint_metrics
from maas_jupyter.schema import VersionStatus


@pytest.fixture
def exposed():
    """A model server's metrics, written by the library that the model server uses."""
    registry = prometheus.CollectorRegistry()
    requests = prometheus.Counter("maas_requests", "-", ["model", "version", "protocol", "code"], registry=registry)
    duration = prometheus.Histogram(
        "maas_request_duration_seconds", "-", ["model", "version"], buckets=[0.001, 0.01, 0.1], registry=registry
    )
    inference = prometheus.Histogram("maas_inference_duration_seconds", "-", ["model", "version"], registry=registry)
    memory = prometheus.Gauge("maas_process_resident_memory_bytes", "-", ["pid"], registry=registry)
    started = prometheus.Gauge("maas_process_start_time_seconds", "-", ["pid"], registry=registry)
    started.labels("1").set(time.time() - 90)
    started.labels("2").set(time.time() - 10)
    shadow = prometheus.Counter("maas_shadow_requests", "-", ["model", "version", "outcome"], registry=registry)
    for outcome, number in {"agree": 1170, "disagree": 30, "dropped": 7, "failed": 2}.items():
        shadow.labels("digits", "3", outcome).inc(number)
    memory.labels("1").set(30_000_000)
    memory.labels("2").set(50_000_000)
    for version, code, seconds in [("1", "200", 0.0005)] * 6 + [("2", "200", 0.005)] * 2 + [("2", "400", 0.05)]:
        requests.labels("digits", version, "v2", code).inc()
        duration.labels("digits", version).observe(seconds)
        inference.labels("digits", version).observe(seconds / 2)
    requests.labels('quo"ted', "1", "v1", "503").inc()
    duration.labels('quo"ted', "1").observe(7)
    return prometheus.generate_latest(registry).decode()


def test_counts_are_read_per_model_and_version_and_summed_over_protocols(exposed):
    reading = parse(exposed)
    versions = reading.models["digits"]
    digits = versions.whole
    assert set(reading.models) == {"digits", 'quo"ted'}
    assert reading.memory == 80_000_000
    assert digits.requests == 9
    assert {version: each.requests for version, each in versions.items()} == {"1": 6, "2": 3, "3": 0}
    assert versions["2"].buckets == {0.001: 0, 0.01: 2, 0.1: 3, math.inf: 3}
    assert versions["3"].copies == ShadowCounts(compared=1200, disagreed=30, failed=2, dropped=7)
    assert digits.by_code == {"200": 8, "400": 1}
    assert digits.buckets == {0.001: 6, 0.01: 8, 0.1: 9, math.inf: 9}
    assert digits.duration_count == 9
    assert digits.duration_sum == pytest.approx(6 * 0.0005 + 2 * 0.005 + 0.05)


def test_client_and_server_errors_are_both_errors(exposed):
    models = {name: counts.whole for name, counts in parse(exposed).models.items()}
    assert (models["digits"].client_errors, models["digits"].server_errors, models["digits"].errors) == (1, 0, 1)
    quoted = models['quo"ted']
    assert (quoted.client_errors, quoted.server_errors, quoted.errors) == (0, 1, 1)


def test_an_empty_text_has_no_models():
    reading = parse("")
    assert (reading.models, reading.memory, reading.started) == ({}, None, None)


def test_metrics_since_the_server_started(exposed):
    metrics = endpoint_metrics("digits", exposed)
    assert (metrics.requests_total, metrics.errors_total) == (9, 1)
    assert metrics.p50_ms == pytest.approx(0.75)  # rank 4.5 of the 6 in the first millisecond
    assert metrics.p95_ms == pytest.approx(10 + 90 * 0.55)  # rank 8.55: 0.55 into the one between 10 and 100 ms
    assert metrics.mean_ms == pytest.approx(7, abs=1e-3)
    assert metrics.memory_mb == 80
    assert repr(metrics).startswith("digits: 9 requests, 1 error, p50 0.75 ms")


TRAFFIC = [
    VersionStatus("1", "a", 90, "ready"),
    VersionStatus("2", "b", 10, "ready"),
    VersionStatus("3", "c", 0, "ready", shadow=True),
]


def test_versions_are_shown_apart(exposed):
    metrics = endpoint_metrics("digits", exposed, TRAFFIC)
    stable, canary, shadow = metrics.versions
    assert [(row.version, row.share) for row in metrics.versions] == [("1", 0.9), ("2", 0.1), ("3", 0.0)]
    assert (stable.requests_total, stable.errors_total, stable.shadow) == (6, 0, None)
    assert (canary.requests_total, canary.errors_total) == (3, 1)
    assert stable.requests_per_second == pytest.approx(6 / 90, rel=0.05)
    assert stable.p95_ms < 1 < canary.p50_ms
    assert shadow.shadow == ShadowCounts(compared=1200, disagreed=30, failed=2, dropped=7)
    assert shadow.shadow.disagreement == 0.025
    lines = repr(metrics).splitlines()
    assert lines[1].startswith("  version 1: 90% of the traffic, 6 requests, 0 errors, 0.06")
    assert lines[3] == "  version 3: shadow, 30 of 1,200 answers differ (2.5%), 2 failed"


def test_the_display_has_a_row_for_each_version(exposed):
    markup = endpoint_metrics("digits", exposed, TRAFFIC)._repr_mimebundle_()["text/html"]
    assert "90%" in markup
    assert "30 of 1,200 answers differ (2.5%), 2 failed" in markup
    assert "per second" not in endpoint_metrics('quo"ted', exposed)._repr_mimebundle_()["text/html"]


def test_what_was_counted_of_versions_that_are_not_listed_is_shown(exposed):
    (one, two, three) = endpoint_metrics("digits", exposed).versions
    assert (one.version, one.share, one.requests_total) == ("1", None, 6)
    assert (two.version, three.shadow) == ("2", None)


def test_what_serves_no_more_counts_and_says_so(exposed):
    departed = 'maas_departed_requests_total{model="digits",code="200"} 4\n'
    metrics = endpoint_metrics("digits", exposed + departed, TRAFFIC[1:2])
    assert (metrics.requests_total, metrics.by_code) == (13, {"200": 12, "400": 1})
    lines = repr(metrics).splitlines()
    assert lines[1].startswith("  version 2: 100% of the traffic, 3 requests, 1 error, ")
    assert lines[2].startswith("  version 1: serves no more, 6 requests, 0 errors, ")
    assert "serves no more" in metrics._repr_mimebundle_()["text/html"]


def test_of_many_that_serve_no_more_the_last_ones_are_shown():
    text = "".join(
        f'maas_requests_total{{model="m",version="{version}",protocol="v2",code="200"}} 1\n' for version in range(1, 9)
    )
    metrics = endpoint_metrics("m", text, [VersionStatus("8", "a", 1, "ready")])
    assert [row.version for row in metrics.shown] == ["8", "3", "4", "5", "6", "7"]
    assert repr(metrics).splitlines()[0].startswith("m: 8 requests, 0 errors")
    assert repr(metrics).splitlines()[1].startswith("  version 8: 100% of the traffic, 1 request, 0 errors")
    assert repr(metrics).splitlines()[-1] == "  and 2 earlier versions"
    assert "and 2 earlier versions" in metrics._repr_mimebundle_()["text/html"]


def test_requests_to_versions_that_departed_count_for_their_model():
    before, after = counts(v1=5, v2=4), counts(v2=6)
    after.departed["200"] = 5
    assert (before.whole.requests, after.whole.requests) == (9, 11)
    assert after.since(before).whole.requests == 2


def test_a_shadow_without_copies_has_no_rate(exposed):
    (row,) = endpoint_metrics("new", exposed, [VersionStatus("1", "a", 0, "ready", shadow=True)]).versions
    assert (row.shadow, row.shadow.disagreement, row.share) == (ShadowCounts(), None, None)


def test_an_endpoint_without_requests_has_zeros_and_no_latency(exposed):
    metrics = endpoint_metrics("unused", exposed)
    assert (metrics.requests_total, metrics.errors_total, metrics.p50_ms, metrics.mean_ms) == (0, 0, None, None)
    assert "no latency yet" in repr(metrics)


@pytest.mark.parametrize(
    ("q", "expected"),
    [(0.0, 0.0), (0.2, 0.5), (0.4, 1.0), (0.5, 2.5), (0.6, 3.0), (0.8, 4.0), (0.9, 4.0), (1.0, 4.0)],
)
def test_quantiles_interpolate_as_prometheus_does(q, expected):
    # 4 values up to 1, none up to 2, 4 between 2 and 4; the last two are above every finite bound.
    buckets = {1.0: 4, 2.0: 4, 4.0: 8, math.inf: 10}
    assert histogram_quantile(q, buckets) == pytest.approx(expected)


def test_counts_below_zero_have_no_quantile():
    assert histogram_quantile(0.95, {1.0: 0, math.inf: -5}) is None
    assert histogram_quantile(0.95, {1.0: -5, math.inf: 5}) is not None


def test_no_values_have_no_quantile():
    assert histogram_quantile(0.5, {1.0: 0, math.inf: 0}) is None
    assert histogram_quantile(0.5, {}) is None


@pytest.mark.parametrize("q", [-0.1, 1.1, math.nan])
def test_a_quantile_is_between_zero_and_one(q):
    with pytest.raises(ValueError, match="between 0 and 1"):
        histogram_quantile(q, {1.0: 1, math.inf: 1})


BOUNDS = [0.005, 0.01, 0.1, 1.0, math.inf]
QUANTILES = st.floats(0, 1)


@given(values=st.lists(st.floats(0, 5), min_size=1, max_size=60), q=QUANTILES, other=QUANTILES)
def test_a_quantile_lies_in_the_bucket_of_the_true_value_and_grows_with_q(values, q, other):
    buckets = {bound: sum(value <= bound for value in values) for bound in BOUNDS}
    estimate = histogram_quantile(q, buckets)
    true = sorted(values)[max(0, math.ceil(q * len(values)) - 1)]
    upper = next(bound for bound in BOUNDS if true <= bound)
    lower = max((bound for bound in BOUNDS if bound < upper), default=0.0)
    assert lower <= estimate <= (lower if math.isinf(upper) else upper)
    low, high = sorted((q, other))
    assert histogram_quantile(low, buckets) <= histogram_quantile(high, buckets)


def version_counts(requests):
    return VersionCounts(
        by_code=Counter({"200": requests}),
        buckets=Counter({0.01: 0, 0.1: requests, math.inf: requests}),
        duration_sum=requests * 0.05,
        duration_count=requests,
    )


def counts(**requests):
    return EndpointCounts({version.strip("v"): version_counts(number) for version, number in requests.items()})


def test_a_difference_keeps_the_empty_buckets():
    new = counts(v1=8).since(counts(v1=5)).whole
    assert new.requests == 3
    assert new.buckets == {0.01: 0, 0.1: 3, math.inf: 3}
    assert 0.01 in new.buckets
    assert new.duration_count == 3


def test_a_new_version_or_code_counts_from_zero():
    later = counts(v1=5, v2=2)
    later["1"].by_code["500"] = 2
    new = later.since(counts(v1=5))
    assert new.whole.errors == 2
    assert {version: each.requests for version, each in new.items()} == {"1": 2, "2": 2}


def test_a_smaller_total_means_that_it_counts_from_zero_again():
    assert counts(v1=3).since(counts(v1=5)).whole.requests == 3
    assert counts(v1=3, v2=2).since(counts(v1=5, v2=4)).whole.requests == 5


def test_a_version_that_is_gone_says_nothing_of_the_others():
    assert counts(v2=9).since(counts(v1=50, v2=4)).whole.requests == 5
