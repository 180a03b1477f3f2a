from __future__ import annotations

from dataclasses import replace

import pytest

from maas_jupyter.optimization import Candidate, Comparison, Measurement, Quality, Speed, parse_goal
from maas_jupyter.optimization.verdicts import Limits, closest, crowned, judge, rejected

QUALITY = Quality(0.97, None, 0.0, None, 0.0, 0.0, 1.0)
SPEED = Speed(1.0, 2.0, 0.01, 100.0, 8)
ORIGINAL = Measurement(1000, 1000, QUALITY, SPEED)


def measured(*, change=0.0, size=1000, memory=1000, **speed):
    return Measurement(
        size,
        memory,
        replace(QUALITY, metric=QUALITY.metric + change, change=change),
        replace(SPEED, **speed),
    )


def limits(*goals, max_drop=0.005):
    return Limits("accuracy", max_drop, [parse_goal(goal) for goal in goals])


@pytest.mark.parametrize(
    ("candidate", "verdict", "said"),
    [
        ({"size": 300, "p50_ms": 0.5}, "good", "3.33x smaller, 2.00x faster for one row"),
        ({"size": 300, "p50_ms": 1.04}, "good", "3.33x smaller, as fast for one row"),
        ({"size": 300, "p50_ms": 1.5}, "slower", "3.33x smaller, 1.50x slower for one row"),
        ({"rows_per_second": 150.0}, "good", "1.50x faster in batches"),
        ({"p50_ms": 0.9, "spread": 0.3}, "no gain", "perhaps 1.11x faster for one row"),
        ({"size": 300, "p50_ms": 1.5, "spread": 0.4}, "good", "3.33x smaller, perhaps 1.50x slower for one row"),
        ({"rows_per_second": 110.0}, "no gain", "as fast in batches"),
        ({}, "no gain", "neither smaller nor faster"),
    ],
)
def test_what_is_not_rejected_is_judged_by_size_and_speed(candidate, verdict, said):
    found, reason = judge(ORIGINAL, measured(**candidate), limits())
    assert found == verdict
    assert said in reason


def test_equal_figures_are_never_called_slower():
    found, reason = judge(ORIGINAL, measured(size=300, p50_ms=1.049), limits())
    assert found == "good"
    assert "slower" not in reason


@pytest.mark.parametrize(
    ("change", "said"),
    [(-0.01, "accuracy falls by 0.0100, allowed is 0.005"), (float("nan"), "accuracy falls"), (-0.004, None)],
)
def test_a_candidate_that_loses_too_much_is_rejected_before_it_is_timed(change, said):
    found = rejected(measured(change=change), None, limits())
    assert found is None if said is None else found[0] == "worse" and said in found[1]


def test_a_size_that_is_too_large_is_rejected_and_one_that_is_wanted_may_be_slow():
    assert rejected(measured(size=2_000_000), None, limits("size<1MB")) == ("misses", "size<1MB: it has 2 MB")
    assert judge(ORIGINAL, measured(size=300, p50_ms=3.0), limits("size<1kB"))[0] == "good"
    assert judge(ORIGINAL, measured(size=300, p50_ms=3.0), limits("size<1kB", "p50<2ms")) == (
        "misses",
        "p50<2ms: it has 3 ms",
    )


def test_a_bounded_size_is_worth_speed_within_the_bound_of_that():
    assert judge(ORIGINAL, measured(size=300, p50_ms=3.0), limits("size<1kB", "p50<4ms"))[0] == "good"
    assert judge(ORIGINAL, measured(size=300, p50_ms=3.0), limits("p50<4ms"))[0] == "slower"


def test_what_reaches_a_target_that_the_original_misses_is_good():
    found, reason = judge(ORIGINAL, measured(memory=400), limits("memory<0.5kB"))
    assert found == "good"
    assert reason.startswith("memory<0.5kB: 0.4 kB; as large")
    assert judge(ORIGINAL, measured(p95_ms=1.1), limits("p95<1.5ms"))[0] == "good"
    assert judge(ORIGINAL, measured(memory=400), limits("memory<2kB"))[0] == "no gain"


def rows(**found):
    first = Candidate("original", "", "fp32", ORIGINAL, "original", "")
    return [first, *(Candidate(name, "", "int8", *row, "") for name, row in found.items())]


def test_the_fastest_of_the_good_ones_wins_or_the_smallest_where_that_is_asked_for():
    found = rows(
        fast=(measured(p50_ms=0.3, size=900), "good"),
        small=(measured(p50_ms=0.6, size=200), "good"),
        wrong=(measured(p50_ms=0.1), "worse"),
    )
    assert [each.method for each in crowned(found, limits()) if each.verdict == "winner"] == ["fast"]
    assert [each.method for each in crowned(found, limits("size<1MB")) if each.verdict == "winner"] == ["small"]


def test_where_memory_is_asked_for_the_one_with_the_least_of_it_wins():
    found = rows(small=(measured(size=100, memory=900), "good"), lean=(measured(size=500, memory=200), "good"))
    assert [each.method for each in crowned(found, limits("memory<1kB")) if each.verdict == "winner"] == ["lean"]


def test_of_the_equally_fast_ones_the_fastest_in_batches_wins():
    found = rows(
        plain=(measured(p50_ms=0.300, rows_per_second=500.0), "good"),
        batched=(measured(p50_ms=0.305, rows_per_second=900.0), "good"),
        slower=(measured(p50_ms=0.400, rows_per_second=2000.0), "good"),
    )
    assert [each.method for each in crowned(found, limits()) if each.verdict == "winner"] == ["batched"]


def test_the_closest_of_those_that_missed_is_named():
    found = rows(far=(measured(p50_ms=8.0), "misses"), near=(measured(p50_ms=1.2), "misses"))
    assert closest(found, limits("p50<1ms")).startswith("near")
    assert closest(rows(), limits("p50<1ms")) == ""


def test_the_closest_is_not_one_that_was_never_timed():
    untimed = replace(measured(change=-0.5), speed=None)
    found = rows(untimed=(untimed, "worse"), near=(measured(p50_ms=9.0), "misses"))
    assert closest(found, limits("p50<1ms")).startswith("near")
    too_slow = rows(slow=(replace(measured(), speed=None), "slower"))
    assert closest(too_slow, limits("p50<1ms")).startswith("slow")
    assert closest(too_slow, limits()) == ""


def test_of_gates_that_are_missed_the_nearer_counts():
    near, far = (
        Candidate(name, "", "int8", measured(), "worse", "", shortfall)
        for name, shortfall in (("near", 0.1), ("far", 0.4))
    )
    assert closest([*rows(), far, near], limits()).startswith("near")


def test_the_front_holds_what_nothing_beats_in_both_speed_and_quality():
    found = rows(
        fast=(measured(p50_ms=0.3, change=-0.02), "worse"),
        beaten=(measured(p50_ms=1.5, change=-0.03), "worse"),
        better=(measured(p50_ms=2.0, change=0.01), "slower"),
    )
    comparison = Comparison("digits/1", "accuracy", 0.01, [], [], 100, 2, found)
    assert [each.method for each in comparison.front] == ["fast", "original", "better"]
