import math
from collections import Counter

from maas_jupyter.monitoring.history import KEPT, History
from maas_jupyter.monitoring.scrape import EndpointCounts, VersionCounts

KEY = ("local", "digits")


def version_counts(requests, errors=0, slow=0):
    return VersionCounts(
        by_code=Counter({"200": requests - errors, "400": errors}),
        buckets=Counter({0.01: requests - slow, 0.1: requests, math.inf: requests}),
    )


def counts(requests, errors=0, slow=0):
    return EndpointCounts({"1": version_counts(requests, errors, slow)})


def test_the_first_scrape_is_only_the_base():
    history = History()
    history.add(KEY, 100.0, counts(50))
    assert history.samples(KEY) == []
    assert history.counts(KEY).whole.requests == 50


def test_a_sample_is_the_difference_of_two_scrapes():
    history = History()
    history.add(KEY, 100.0, counts(50))
    history.add(KEY, 102.0, counts(60, errors=4))
    (sample,) = history.samples(KEY)
    assert (sample.time, sample.requests_per_second, sample.errors_per_second) == (102.0, 5.0, 2.0)
    assert sample.p50_ms == 5.0
    assert sample.p95_ms == 9.5


def test_latencies_are_those_of_the_interval_not_of_the_past():
    history = History()
    history.add(KEY, 100.0, counts(1000))
    history.add(KEY, 102.0, counts(1010, slow=10))
    assert history.samples(KEY)[0].p50_ms == 55.0


def test_no_requests_have_no_latency():
    history = History()
    history.add(KEY, 100.0, counts(5))
    history.add(KEY, 102.0, counts(5))
    (sample,) = history.samples(KEY)
    assert (sample.requests_per_second, sample.p50_ms, sample.p95_ms) == (0.0, None, None)


def test_a_restarted_server_counts_from_zero():
    history = History()
    history.add(KEY, 100.0, counts(50))
    history.add(KEY, 102.0, counts(6))
    assert history.samples(KEY)[0].requests_per_second == 3.0
    assert history.counts(KEY).whole.requests == 6


def test_versions_have_rates_of_their_own():
    history = History()
    assert history.rates(KEY) is None
    history.add(KEY, 100.0, counts(50))
    assert history.rates(KEY) is None
    history.add(KEY, 102.0, EndpointCounts({"1": version_counts(68), "2": version_counts(2)}))
    assert history.rates(KEY) == {"1": 9.0, "2": 1.0}


def test_a_withdrawn_version_makes_no_peak():
    history = History()
    history.add(KEY, 100.0, EndpointCounts({"1": version_counts(50), "2": version_counts(1000)}))
    history.add(KEY, 102.0, EndpointCounts({"2": version_counts(1004)}))
    assert history.samples(KEY)[0].requests_per_second == 2.0


def test_a_version_that_was_withdrawn_and_published_again_makes_no_peak():
    history = History()
    history.add(KEY, 100.0, EndpointCounts({"1": version_counts(1_000_000), "2": version_counts(50)}))
    history.add(KEY, 102.0, EndpointCounts({"1": version_counts(1_000_010), "2": version_counts(4)}))
    assert history.rates(KEY) == {"1": 5.0, "2": 2.0}
    assert history.samples(KEY)[0].requests_per_second == 7.0


def test_a_clock_set_back_makes_no_sample():
    history = History()
    history.add(KEY, 100.0, counts(50))
    history.add(KEY, 40.0, counts(60))
    assert history.samples(KEY) == []
    history.add(KEY, 42.0, counts(64))
    assert history.samples(KEY)[0].requests_per_second == 2.0


def test_ids_order_samples_over_all_endpoints():
    history = History()
    other = ("local", "wine")
    for step in range(3):
        history.add(KEY, 100.0 + step, counts(step))
        history.add(other, 100.0 + step, counts(step))
    assert [sample.time for sample in history.samples(KEY, after=0)] == [101.0, 102.0]
    assert history.newest_id == 4
    assert history.samples(KEY, after=4) == []
    assert [sample.time for sample in history.samples(other, after=2)] == [102.0]


def test_the_series_is_bounded_and_forgotten_with_its_endpoint():
    history = History()
    for step in range(KEPT + 10):
        history.add(KEY, float(step), counts(step))
    assert len(history.samples(KEY)) == KEPT
    history.keep([])
    assert history.samples(KEY) == []
    assert history.counts(KEY).whole.requests == 0
