from __future__ import annotations

from math import inf, nan

import pytest

from maas_jupyter.runs import Curve
from maas_jupyter.runs.curves import MOST_POINTS
from maas_jupyter.schema import decode, encode


def test_a_short_curve_keeps_every_point():
    curve = Curve()
    for epoch in range(1, 6):
        curve.add(float(epoch), epoch / 10)
    assert curve.points() == [(1.0, 0.1), (2.0, 0.2), (3.0, 0.3), (4.0, 0.4), (5.0, 0.5)]


def test_a_million_points_stay_a_few_hundred_means_of_equal_parts():
    curve = Curve()
    for step in range(1_000_000):
        curve.add(step / 1000, step % 2)
    assert MOST_POINTS / 2 <= len(curve.points()) < MOST_POINTS
    assert curve.count == 1_000_000
    assert curve.last == 1
    assert set(curve.y) == {0.5}
    assert curve.x == sorted(curve.x)
    assert curve.x[-1] > 990
    assert len(encode(curve)) < 20_000


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_not_a_number_is_left_out(value):
    curve = Curve()
    curve.add(1.0, value)
    curve.add(2.0, 0.5)
    assert curve.points() == [(2.0, 0.5)]


def test_a_point_that_is_half_there_is_not_drawn():
    assert Curve(x=[1.0, 2.0], y=[0.5]).points() == [(1.0, 0.5)]


def test_a_curve_that_was_read_again_goes_on_where_it_was():
    one, other = Curve(), Curve()
    for step in range(1234):
        one.add(float(step), float(step))
        other.add(float(step), float(step))
        if step % 100 == 7:
            other = decode(encode(other), Curve, where="test")
    assert one == other
