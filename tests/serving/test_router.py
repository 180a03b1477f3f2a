from __future__ import annotations

import random
from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maas_jupyter.errors import NotFound, Unavailable
from maas_jupyter.serving.router import Router


class Version(NamedTuple):
    version: str


def router(*weights, **options):
    return Router("m", [(Version(str(number)), weight) for number, weight in enumerate(weights, 1)], **options)


weights = st.lists(st.integers(0, 100), min_size=1, max_size=4).filter(any)
keys = st.text(min_size=1, max_size=20)


@given(weights, st.integers(0, 2**32))
def test_requests_follow_the_weights(weights, seed):
    number = 3000
    found = Counter(
        chosen.version
        for chosen in (lambda made: (made.pick() for _ in range(number)))(
            router(*weights, uniform=random.Random(seed).random)
        )
    )
    for version, weight in enumerate(weights, 1):
        share = weight / sum(weights)
        # Seven standard deviations: one in 10^11.
        assert abs(found[str(version)] - share * number) <= 7 * (number * share * (1 - share)) ** 0.5


@given(weights)
def test_keys_follow_the_weights(weights):
    made, number = router(*weights), 3000
    found = Counter(made.pick(key=f"user-{index}").version for index in range(number))
    for version, weight in enumerate(weights, 1):
        share = weight / sum(weights)
        assert abs(found[str(version)] - share * number) <= 7 * (number * share * (1 - share)) ** 0.5


@given(weights, keys)
def test_a_key_always_goes_to_the_same_version(weights, key):
    assert len({router(*weights).pick(key=key) for _ in range(5)}) == 1


@given(st.integers(0, 100), st.integers(0, 100), st.lists(keys, min_size=1, max_size=50))
def test_a_growing_canary_only_gains_keys(one, other, keys):
    smaller, larger = sorted((one, other))
    before, after = router(100 - smaller, smaller), router(100 - larger, larger)
    for key in keys:
        if before.pick(key=key).version == "2":
            assert after.pick(key=key).version == "2"


def test_a_version_of_no_weight_answers_only_when_it_is_named():
    made = router(100, 0, shadow="2")
    assert {made.pick(key=str(key)).version for key in range(100)} == {"1"}
    assert made.pick("2").version == "2"
    assert made.shadow == "2"


def test_unknown_versions_and_no_traffic():
    with pytest.raises(NotFound, match="no version '4'"):
        router(1).pick("4")
    with pytest.raises(Unavailable, match="No version"):
        router(0).pick()
