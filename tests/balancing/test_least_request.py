"""Least request: the least loaded of few, never the worst of many, and equals alike."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import LeastRequest
from discovery.balancing.least_request import SCAN

from .members import members


@given(st.lists(st.integers(0, 20), min_size=1, max_size=SCAN), st.integers())
def test_among_few_the_least_loaded_of_all_is_taken(loads: list[int], seed: int) -> None:
    some = members(len(loads))
    for node, load in zip(some.nodes, loads, strict=True):
        node.in_flight = load
    pick = LeastRequest().picker(some, random.Random(seed))
    for _ in range(len(loads)):
        assert pick(None).in_flight == min(loads)


def test_envoys_four_backends_with_4_3_2_and_1_in_flight() -> None:
    some = members(4)
    for node, load in zip(some.nodes, (4, 3, 2, 1), strict=True):
        node.in_flight = load
    assert LeastRequest().picker(some, random.Random(7))(None) is some.nodes[3]


@given(st.integers())
def test_the_worse_of_two_is_never_taken(seed: int) -> None:
    """Drawn with replacement, two of two would be the same, and the worse one, every fourth time."""
    some = members(2)
    some.nodes[0].in_flight = 1
    pick = LeastRequest().picker(some, random.Random(seed))
    assert all(pick(None) is some.nodes[1] for _ in range(20))


@given(st.integers(SCAN + 1, 200), st.integers())
def test_among_many_the_most_loaded_is_never_taken(count: int, seed: int) -> None:
    """Two distinct ones are drawn, so at least one is better than the worst."""
    some = members(count)
    some.nodes[0].in_flight = 1
    pick = LeastRequest().picker(some, random.Random(seed))
    assert all(pick(None) is not some.nodes[0] for _ in range(50))


@pytest.mark.parametrize("load", [0, 1])
@pytest.mark.parametrize("count", [1, 2, 3, SCAN])
def test_few_equals_have_exactly_a_third_each_and_so_on(count: int, load: int) -> None:
    some = members(count)
    for node in some.nodes:
        node.in_flight = load
    pick = LeastRequest().picker(some, random.Random(7))
    counts = Counter(pick(None) for _ in range(count * 200))
    assert set(counts.values()) == {200}


@pytest.mark.parametrize("count", [SCAN + 1, 100])
def test_many_equals_share_alike(count: int) -> None:
    some = members(count)
    pick = LeastRequest().picker(some, random.Random(7))
    counts = Counter(pick(None) for _ in range(count * 200))
    assert len(counts) == count
    assert max(counts.values()) < 2 * min(counts.values())


def test_held_picks_spread_evenly() -> None:
    some = members(10)
    pick = LeastRequest().picker(some, random.Random(7))
    for _ in range(50):
        pick(None).in_flight += 1
    assert {node.in_flight for node in some.nodes} == {5}


def test_held_picks_spread_by_weight() -> None:
    """Envoy's order is about proportional, not exactly so."""
    some = members(10)
    some.weigh(*[1.0] * 5, *[3.0] * 5)
    pick = LeastRequest().picker(some, random.Random(7))
    for _ in range(2000):
        pick(None).in_flight += 1
    light, heavy = ([node.in_flight for node in some.nodes[part]] for part in (slice(5), slice(5, None)))
    assert sum(heavy) > 1.5 * sum(light)
    assert max(heavy) - min(heavy) <= 2 >= max(light) - min(light)


def test_two_choices_keep_the_worst_near_the_mean() -> None:
    """1,000 requests on 100 backends: one random choice puts some 20 on the worst, two put some 12."""
    some = members(100)
    pick = LeastRequest().picker(some, random.Random(7))
    for _ in range(1000):
        pick(None).in_flight += 1
    assert max(node.in_flight for node in some.nodes) <= 13
