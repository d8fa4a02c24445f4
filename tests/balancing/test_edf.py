"""Earliest deadline first: Envoy's vectors, and turns in proportion for any number."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import LeastRequest, Node, Picker
from discovery.balancing.edf import Schedule

from .members import FromTheStart, Some, members, node


@pytest.fixture
def some() -> Some:
    """A of weight 1, B of weight 2."""
    some = members(2)
    some.weigh(1, 2)
    return some


def letters(some: Some, pick: Picker, picks: int) -> str:
    names = dict(zip(some.nodes, "AB", strict=True))
    return "".join(names[pick(None)] for _ in range(picks))


def test_envoys_order_of_weights_one_and_two(some: Some) -> None:
    assert letters(some, LeastRequest().picker(some, FromTheStart()), 6) == "BABBAB"


def test_envoys_order_where_requests_in_flight_change_between_picks(some: Some) -> None:
    a, b = some.nodes
    pick = LeastRequest().picker(some, FromTheStart())
    assert letters(some, pick, 6) == "BABBAB"
    b.in_flight = 1
    assert letters(some, pick, 5) == "BABAB"
    a.in_flight, b.in_flight = 1, 0
    assert letters(some, pick, 10) == "ABBBABBBBA"


def test_load_counts_as_that_much_less_weight(some: Some) -> None:
    """Weight 2 with 4 in flight is 2 / 5 (Envoy's documentation), beside 1."""
    some.nodes[1].in_flight = 4
    pick = LeastRequest().picker(some, random.Random(7))
    picks = Counter(pick(None) for _ in range(7000))
    assert picks[some.nodes[1]] == pytest.approx(2000, abs=2)


def schedule(some: Some, seed: int) -> Schedule:
    return Schedule(some, lambda one: 1 / some.weight(one), random.Random(seed))


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 300), st.integers())
def test_each_has_had_its_share_to_within_one_of_its_own_turns(weights: list[int], picks: int, seed: int) -> None:
    """Between two turns of any node there is exactly one of its periods; so much is the clock's whole error."""
    some = members(len(weights))
    some.weigh(*weights)
    turns = schedule(some, seed)
    counts: Counter[Node] = Counter(turns.next() for _ in range(picks))
    clock = max((counts[one] - 1) / some.weight(one) for one in some.nodes)
    for one in some.nodes:
        assert counts[one] >= (clock * some.weight(one)) // 1


def test_one_that_leaves_and_comes_back_has_one_turn_and_not_two() -> None:
    some = members(20)
    everybody = list(some.nodes)
    turns = schedule(some, 7)
    for _ in range(50):
        some.become(everybody[1:])
        turns.next()
        some.become(everybody)
        turns.next()
    counts = Counter(turns.next() for _ in range(200))
    assert set(counts.values()) == {10}


def test_who_comes_late_does_not_catch_up() -> None:
    some = members(20)
    turns = schedule(some, 7)
    for _ in range(1000):
        turns.next()
    late = node("10.1.0.0")
    some.become([*some.nodes, late])
    counts = Counter(turns.next() for _ in range(210))
    assert counts[late] == pytest.approx(10, abs=1)
