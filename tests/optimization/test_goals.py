from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import UsageError
from maas_jupyter.evaluation import Interval
from maas_jupyter.optimization import Measurement, Quality, Speed, parse_goal

MEASURED = Measurement(
    size=2_000_000,
    memory=30_000_000,
    quality=Quality(0.97, Interval(0.95, 0.98), -0.01, None, 0.1, 0.01, 0.99),
    speed=Speed(p50_ms=2.0, p95_ms=4.0, spread=0.02, rows_per_second=1000.0, batch_size=8),
)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("p95<5ms", True),
        ("p95<4ms", False),
        ("p95<=4ms", True),
        ("p50 < 2500us", True),
        ("p50<.001s", False),
        ("size<2MB", False),
        ("size<=2MB", True),
        ("size<2.1mb", True),
        ("size<1954KiB", True),
        ("size<1953KiB", False),
        ("size<=1.9073486328125MiB", True),
        ("memory<1GiB", True),
        ("size<2e3kB", False),
        ("p50<2500µs", True),
        ("p50<2500μs", True),
        ("memory<40MB", True),
        ("rows/s>999", True),
        ("rows/s>=1001", False),
    ],
)
def test_a_goal_is_met_or_not(text, met):
    assert parse_goal(text).met(MEASURED) is met


def test_a_speed_that_was_not_measured_meets_nothing():
    untimed = Measurement(1, 1, MEASURED.quality, None)
    assert not parse_goal("p95<5ms").met(untimed)
    assert parse_goal("size<5kB").met(untimed)


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("p95 5ms", "'p95 5ms' cannot be read", "p95<5ms"),
        ("p99<5ms", "'p99' of the target 'p99<5ms' is not measured", "p9"),
        ("p95<5", "'p95<5' has no unit", "us, ms, s"),
        ("p95<5MB", "has the unit 'MB'", "us, ms, s"),
        ("rows/s>5ms", "has the unit 'ms'", "none"),
        ("size<0MB", "the bound 0", "p95<5ms"),
        ("size<-1MB", "cannot be read", "size<10MB"),
        ("size<1e999MB", "infinite", "size<10MB"),
        ("p95>5ms", "asks for much p95", "p95<5ms"),
        ("size>=1MB", "asks for much size", "size<=1MB"),
        ("rows/s<100", "asks for few rows/s", "rows/s>100"),
    ],
)
def test_a_goal_that_cannot_be_read_says_how(text, said, hint):
    with pytest.raises(UsageError) as caught:
        parse_goal(text)
    assert said in caught.value.message
    assert hint in caught.value.hint


@given(st.text(max_size=20))
def test_any_text_is_a_goal_or_a_usage_error(text):
    try:
        goal = parse_goal(text)
    except UsageError:
        return
    assert goal.bound > 0


def test_a_miss_grows_with_the_distance():
    near, far = parse_goal("p95<3ms"), parse_goal("p95<1ms")
    assert 1 < near.miss(MEASURED) < far.miss(MEASURED)
    assert parse_goal("p95<5ms").miss(MEASURED) == 1
    assert parse_goal("rows/s>2000").miss(MEASURED) == 2
