from __future__ import annotations

import resource
from bisect import bisect_left

import msgspec
import pytest
from data_plane_parts import DataPlaneServer
from fake_runtimes import QuickDoubling
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from maas_jupyter.schema import ServedVersion
from maas_jupyter.serving.counts import ROWS, SECONDS, Counts, Histogram, ProcessFigures
from maas_jupyter.serving.metrics import Metrics, render
from maas_jupyter.serving.series import KEPT, Series


def samples(counts):
    """Return what a scraper reads: values by name and labels."""
    text = render(counts).decode()
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(found, name, **labels):
    return found[(name, *sorted(labels.items()))]


requests = st.lists(
    st.tuples(
        st.sampled_from(["digits", 'with "quotes" \\ and\nlines']),
        st.sampled_from(["1", "2"]),
        st.sampled_from(["v2-rest", "v2-grpc"]),
        st.sampled_from([200, 400, 499, 503]),
        st.sampled_from(["ann", "rob"]),
        st.floats(0, 100),
    ),
    max_size=30,
)


def counted(each):
    metrics = Metrics()
    for model, version, protocol, code, principal, seconds in each:
        metrics.count(model, version, protocol, code, principal, seconds)
        meter = metrics.meter(model, version)
        meter.waited(seconds)
        meter.ran(int(seconds) + 1, seconds)
        metrics.shadowed(model, version, "agree")
    return metrics.counts


@given(requests, requests)
def test_what_workers_counted_adds_up(one, other):
    parts = [msgspec.msgpack.decode(msgspec.msgpack.encode(counted(each)), type=Counts) for each in (one, other)]
    whole, expected = samples(Counts.summed(parts)), samples(counted([*one, *other]))
    assert whole.keys() == expected.keys()
    for key, value in expected.items():
        assert whole[key] == pytest.approx(value)


@given(requests)
def test_histograms_count_every_request_once_in_its_bucket(each):
    found = samples(counted(each))
    for model, version in {(model, version) for model, version, *_ in each}:
        seconds = [took for *served, _, _, _, took in each if served == [model, version]]
        labels = {"model": model, "version": version}
        for name in ("request", "queue", "inference"):
            name = f"maas_{name}_duration_seconds"
            assert sample(found, f"{name}_count", **labels) == len(seconds)
            assert sample(found, f"{name}_sum", **labels) == pytest.approx(sum(seconds))
            for bound in (SECONDS[0], SECONDS[10], SECONDS[-1]):
                below = sum(took <= bound for took in seconds)
                assert sample(found, f"{name}_bucket", **labels, le=floatToGoString(bound)) == below


@given(st.lists(st.floats(0, 2000)))
def test_a_histogram_puts_values_at_a_bound_below_it(values):
    histogram = Histogram.over(ROWS)
    for value in values:
        histogram.add(ROWS, value)
    assert histogram.count == len(values)
    for index, number in enumerate(histogram.buckets):
        assert number == sum(bisect_left(ROWS, value) == index for value in values)


def test_what_is_served_can_be_scraped(tmp_path, fake_runtime):
    fake_runtime(QuickDoubling)
    server = DataPlaneServer(tmp_path)
    try:
        server.serve_one()
        for value in (1, 2, -1):
            server.infer(value)
        server.infer(1, model="nothing")
        found = samples(server.counts())
        labels = {"model": "m", "version": "1"}
        assert sample(found, "maas_requests_total", **labels, protocol="v2-rest", code="200") == 2
        assert sample(found, "maas_requests_total", **labels, protocol="v2-rest", code="400") == 1
        assert sample(found, "maas_requests_total", model="", version="", protocol="v2-rest", code="404") == 1
        assert sample(found, "maas_principal_requests_total", principal="ann") == 4
        assert sample(found, "maas_request_duration_seconds_count", **labels) == 3
        assert sample(found, "maas_inference_duration_seconds_count", **labels) == 2
        assert sample(found, "maas_queue_duration_seconds_count", **labels) == 2
        assert sample(found, "maas_batch_rows_sum", **labels) == 2
        assert sample(found, "maas_queue_depth", **labels) == 0
        assert sample(found, "maas_loaded_versions", model="m") == 1
    finally:
        server.close()


def test_processes_are_told_apart():
    counts = Counts(
        processes=[ProcessFigures("supervisor", 10, 1, 0.5, 3, 9.0), ProcessFigures("worker", 11, 2, 1.5, 4, 9.5)]
    )
    found = samples(counts)
    assert sample(found, "maas_process_resident_memory_bytes", role="worker", pid="11") == 2
    assert sample(found, "maas_process_cpu_seconds_total", role="supervisor", pid="10") == 0.5
    assert sample(found, "maas_process_open_fds", role="worker", pid="11") == 4
    assert sample(found, "maas_process_start_time_seconds", role="worker", pid="11") == 9.5


def test_a_process_without_descriptors_is_measured_as_far_as_that_goes():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        figures = ProcessFigures.of_this("worker")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (figures.resident_bytes, figures.open_files) == (0, 0)
    assert figures.cpu_seconds > 0


def test_what_was_counted_of_a_version_stays_when_it_is_gone(tmp_path, fake_runtime):
    fake_runtime(QuickDoubling)
    server = DataPlaneServer(tmp_path)
    counters = ("maas_requests_total", "maas_request_duration_seconds_count", "maas_inference_duration_seconds_count")

    def by_version(name):
        found = {}
        for (each, *labels), value in samples(server.counts()).items():
            if each == name and (version := dict(labels).get("version")):
                found[version] = found.get(version, 0) + value
        return found

    try:
        first, second, third = (ServedVersion(each, server.bundle(graph=each.encode())) for each in "123")
        server.serve("m", first)
        server.infer(1)
        server.infer(1)
        server.serve("m", second, third)
        server.infer(1, 1)
        # Which of the two that share the traffic answers is left to chance.
        for name in counters:
            assert by_version(name)["1"] == 2
            assert sum(by_version(name).values()) == 3
        assert by_version("maas_queue_depth") == {"2": 0, "3": 0}
        server.serve("m", first)  # again
        server.infer(1)
        server.call(server.repository.forget("m"))
        assert by_version("maas_requests_total")["1"] == 3
        assert sum(by_version("maas_requests_total").values()) == 4
        assert by_version("maas_queue_depth") == {}
        assert ("maas_loaded_versions", ("model", "m")) not in samples(server.counts())
    finally:
        server.close()


def counted_of(series, *served):
    metrics = Metrics()
    for model, version in served:
        metrics.count(model, version, "v2-rest", 200, "ann", 0.1)
        metrics.shadowed(model, version, "agree")
    metrics.counts.keep(series.has, series.knows)
    return metrics.counts


def test_of_many_versions_that_are_gone_the_last_keep_their_series_and_no_request_is_forgotten():
    series = Series()
    served = [("m", str(number)) for number in range(KEPT + 11)]
    for _, version in served:
        series.change("m", [version])
    counts = counted_of(series, *served)
    kept = {version for _, version in counts.request_seconds}
    assert kept == {version for _, version in served[10:]}
    assert {version for _, version, _ in counts.shadow} == kept
    assert len(counts.requests) == KEPT + 1
    assert counts.departed == {("m", 200): 10}
    found = samples(Counts.summed([counts, counts]))
    assert sample(found, "maas_departed_requests_total", model="m", code="200") == 20
    counts.keep(series.has, series.knows)
    assert counts.departed == {("m", 200): 10}


def test_a_version_that_comes_back_has_the_series_that_it_had():
    series = Series()
    series.change("m", ["1"])
    series.change("m", ["2"])
    series.change("m", ["1", "2"])
    for number in range(KEPT + 1):
        series.change("other", [str(number)])
    assert series.has("m", "1")
    assert series.has("m", "2")
    assert not series.has("m", "3")


def test_models_that_are_gone_for_long_are_forgotten():
    series = Series()
    for number in range(KEPT + 1):
        series.change(f"m{number}", ["1"])
        series.change(f"m{number}", [])
    counts = counted_of(series, *((f"m{number}", "1") for number in range(KEPT + 1)))
    assert not series.knows("m0")
    assert series.knows("m1")
    assert len(counts.requests) == KEPT
    assert counts.departed == {}


def test_what_a_version_runs_counts_also_after_its_series_was_dropped():
    metrics = Metrics()
    meter = metrics.meter("m", "1")
    meter.ran(3, 0.1)
    metrics.counts.keep(Series().has, Series().knows)
    assert metrics.counts == Counts()
    meter.waited(0.1)
    meter.ran(2, 0.1)
    assert metrics.counts.batch_rows["m", "1"].total == 2
    assert metrics.counts.queue_seconds["m", "1"].count == 1
