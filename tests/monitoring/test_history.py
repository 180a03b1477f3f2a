import math
from collections import Counter

from maas_jupyter.monitoring.counts import EndpointCounts, VersionCounts
from maas_jupyter.monitoring.history import KEPT, History, Minutes, Reading

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
    history.add(KEY, Reading(100.0, counts(50)))
    assert history.samples(KEY) == []
    assert history.newest(KEY).whole.requests == 50


def test_a_sample_is_the_difference_of_two_scrapes():
    history = History()
    history.add(KEY, Reading(100.0, counts(50)))
    history.add(KEY, Reading(102.0, counts(60, errors=4)))
    (sample,) = history.samples(KEY)
    assert (sample.time, sample.requests_per_second, sample.errors_per_second) == (102.0, 5.0, 2.0)
    assert sample.p50_ms == 5.0
    assert sample.p95_ms == 9.5


def test_latencies_are_those_of_the_interval_not_of_the_past():
    history = History()
    history.add(KEY, Reading(100.0, counts(1000)))
    history.add(KEY, Reading(102.0, counts(1010, slow=10)))
    assert history.samples(KEY)[0].p50_ms == 55.0


def test_no_requests_have_no_latency():
    history = History()
    history.add(KEY, Reading(100.0, counts(5)))
    history.add(KEY, Reading(102.0, counts(5)))
    (sample,) = history.samples(KEY)
    assert (sample.requests_per_second, sample.p50_ms, sample.p95_ms) == (0.0, None, None)


def test_a_restarted_server_counts_from_zero():
    history = History()
    history.add(KEY, Reading(100.0, counts(50)))
    history.add(KEY, Reading(102.0, counts(6)))
    assert history.samples(KEY)[0].requests_per_second == 3.0
    assert history.newest(KEY).whole.requests == 6


def test_versions_and_codes_have_rates_of_their_own():
    history = History()
    history.add(KEY, Reading(100.0, counts(50)))
    history.add(KEY, Reading(102.0, EndpointCounts({"1": version_counts(68), "2": version_counts(2, errors=1)})))
    (sample,) = history.samples(KEY)
    assert sample.versions == {"1": 9.0, "2": 1.0}
    assert sample.codes == {"200": 9.5, "400": 0.5}


def test_what_the_server_does_besides_is_in_the_sample():
    history = History()
    before, after = version_counts(50), version_counts(60)
    before.rows, before.runs = 500, 100
    after.rows, after.runs, after.waiting = 560, 110, 7
    history.add(KEY, Reading(100.0, EndpointCounts({"1": before}), 80_000_000, 3.0))
    history.add(KEY, Reading(102.0, EndpointCounts({"1": after}), 81_000_000, 3.5))
    (sample,) = history.samples(KEY)
    assert (sample.batch_rows, sample.waiting, sample.memory, sample.cpu) == (6.0, 7, 81_000_000, 0.25)
    history.add(KEY, Reading(104.0, EndpointCounts({"1": after}), 30_000_000, 0.1))
    idle = history.samples(KEY)[-1]
    assert (idle.batch_rows, idle.cpu) == (None, 0.05)  # the server was started again


def test_a_withdrawn_version_makes_no_peak():
    history = History()
    history.add(KEY, Reading(100.0, EndpointCounts({"1": version_counts(50), "2": version_counts(1000)})))
    history.add(KEY, Reading(102.0, EndpointCounts({"2": version_counts(1004)})))
    assert history.samples(KEY)[0].requests_per_second == 2.0


def test_a_version_that_was_withdrawn_and_published_again_makes_no_peak():
    history = History()
    history.add(KEY, Reading(100.0, EndpointCounts({"1": version_counts(1_000_000), "2": version_counts(50)})))
    history.add(KEY, Reading(102.0, EndpointCounts({"1": version_counts(1_000_010), "2": version_counts(4)})))
    assert history.samples(KEY)[0].versions == {"1": 5.0, "2": 2.0}
    assert history.samples(KEY)[0].requests_per_second == 7.0


def test_a_clock_set_back_makes_no_sample():
    history = History()
    history.add(KEY, Reading(100.0, counts(50)))
    history.add(KEY, Reading(40.0, counts(60)))
    assert history.samples(KEY) == []
    history.add(KEY, Reading(42.0, counts(64)))
    assert history.samples(KEY)[0].requests_per_second == 2.0


def test_ids_order_samples_over_all_endpoints():
    history = History()
    other = ("local", "wine")
    for step in range(3):
        history.add(KEY, Reading(100.0 + step, counts(step)))
        history.add(other, Reading(100.0 + step, counts(step)))
    assert [sample.time for sample in history.samples(KEY, after=0)] == [101.0, 102.0]
    assert history.newest_id == 4
    assert history.samples(KEY, after=4) == []
    assert [sample.time for sample in history.samples(other, after=2)] == [102.0]


def test_the_series_is_bounded_and_forgotten_with_its_endpoint():
    history = History()
    for step in range(KEPT + 10):
        history.add(KEY, Reading(float(step), counts(step)))
    assert len(history.samples(KEY)) == KEPT
    history.keep([])
    assert history.samples(KEY) == []
    assert history.newest(KEY).whole.requests == 0


def test_a_minute_has_the_latencies_of_all_its_requests():
    minutes = Minutes()
    assert minutes.add(KEY, Reading(600.0, counts(0))) is None
    assert minutes.add(KEY, Reading(630.0, counts(30))) is None
    sample = minutes.add(KEY, Reading(660.5, counts(60, slow=60)))
    assert sample.requests_per_second == round(60 / 60.5, 3)
    assert sample.p50_ms == 55.0
    assert minutes.add(KEY, Reading(662.0, counts(61))) is None


def test_minutes_begin_anew_when_the_clock_was_set_back():
    minutes = Minutes()
    minutes.add(KEY, Reading(6000.0, counts(0)))
    assert minutes.add(KEY, Reading(600.0, counts(10))) is None
    assert minutes.add(KEY, Reading(660.0, counts(70))).requests_per_second == 1.0
