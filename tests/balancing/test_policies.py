"""Which backend is next: fair, blind to nothing, and right while the set changes under it."""

import random
from collections import Counter

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Balancer, LeastRequest, Node, RoundRobin
from discovery.balancing.least_request import SCAN
from discovery.model import Backend


@attrs.define
class Some:
    """Members that a test changes as a membership would: in place."""

    nodes: list[Node]
    version: int = 0


def members(count: int) -> Some:
    return Some([Node(Backend(address=f"10.0.{n >> 8}.{n & 255}", port=80)) for n in range(count)])


POLICIES: list[Balancer] = [RoundRobin(), LeastRequest()]


@given(st.integers(1, 40), st.integers(1, 5), st.integers())
def test_round_robin_gives_each_exactly_its_share(count: int, rounds: int, seed: int) -> None:
    some = members(count)
    pick = RoundRobin().picker(some, random.Random(seed))
    counts = Counter(pick(None) for _ in range(count * rounds))
    assert set(counts.values()) == {rounds}
    assert len(counts) == count


def test_round_robin_does_not_start_at_the_same_one_in_every_client() -> None:
    some = members(10)
    firsts = {RoundRobin().picker(some, random.Random(seed))(None).backend.address for seed in range(200)}
    assert len(firsts) == 10


@pytest.mark.parametrize("policy", POLICIES)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=60), st.integers())
def test_whatever_comes_and_goes_a_pick_is_one_of_those_there_now(
    policy: Balancer, sizes: list[int], seed: int
) -> None:
    some, rng = members(30), random.Random(seed)
    everybody = list(some.nodes)
    pick = policy.picker(some, rng)
    for size in sizes:
        some.nodes[:] = rng.sample(everybody, size)
        if some.nodes:
            assert pick(None) in some.nodes


@given(st.lists(st.integers(0, 20), min_size=1, max_size=SCAN), st.integers())
def test_among_few_the_least_loaded_of_all_is_taken(loads: list[int], seed: int) -> None:
    some = members(len(loads))
    for node, load in zip(some.nodes, loads, strict=True):
        node.in_flight = load
    pick = LeastRequest().picker(some, random.Random(seed))
    for _ in range(len(loads)):
        assert pick(None).in_flight == min(loads)


@given(st.integers(SCAN + 1, 200), st.integers())
def test_among_many_the_most_loaded_is_never_taken(count: int, seed: int) -> None:
    """Two distinct ones are drawn, so at least one is better than the worst."""
    some = members(count)
    some.nodes[0].in_flight = 1
    pick = LeastRequest().picker(some, random.Random(seed))
    assert all(pick(None) is not some.nodes[0] for _ in range(50))


@pytest.mark.parametrize("count", [1, 2, SCAN, SCAN + 1, 100])
def test_equals_share_alike(count: int) -> None:
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


def test_two_choices_keep_the_worst_near_the_mean() -> None:
    """1,000 requests on 100 backends: one random choice puts some 20 on the worst, two put some 12."""
    some = members(100)
    pick = LeastRequest().picker(some, random.Random(7))
    for _ in range(1000):
        pick(None).in_flight += 1
    assert max(node.in_flight for node in some.nodes) <= 13


@pytest.mark.parametrize("policy", POLICIES)
def test_policies_are_frozen_values(policy: Balancer) -> None:
    assert policy == type(policy)()
    assert hash(policy) == hash(type(policy)())
    assert isinstance(policy, Balancer)
    with pytest.raises(AttributeError):
        policy.choices = 3  # type: ignore[attr-defined]
