"""What holds for every policy: right while the set changes under it, fair by weight, a frozen value."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import (
    Balancer,
    Key,
    LeastRequest,
    Maglev,
    PeakEwma,
    Random,
    RendezvousHash,
    RoundRobin,
    is_keyed,
)
from discovery.errors import ConfigurationError

from .members import Some, members, node

SMALL, LARGE = Maglev(table_size=1021), Maglev(table_size=2039)
"""Tables that are built at once, and by offloaded work."""
POLICIES: list[Balancer] = [RoundRobin(), Random(), LeastRequest(), PeakEwma(), RendezvousHash(), SMALL, LARGE]
WEIGHTS = st.floats(1e-9, 1e9)
STEPS = st.lists(st.tuples(st.integers(0, 30), st.booleans(), st.booleans()), min_size=1, max_size=40)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@given(STEPS, st.lists(WEIGHTS, min_size=1, max_size=4), st.integers())
def test_whatever_comes_and_goes_a_pick_is_one_of_those_there_now(
    policy: Balancer, steps: list[tuple[int, bool, bool]], weights: Sequence[float], seed: int
) -> None:
    rng = random.Random(seed)
    everybody = [node(f"10.0.0.{number}", weight=weights[number % len(weights)]) for number in range(30)]
    some = Some([])
    pick = policy.picker(some, rng)
    for size, finished, held in steps:
        some.become(rng.sample(everybody, size))
        some.time += 1
        for key in (None, b"key", "key", rng.randbytes(4)) if size else ():
            picked = pick(key)
            assert picked in some.nodes
            picked.in_flight += held
        if finished:
            some.work_off()


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_from_none_to_one_to_none_and_back(policy: Balancer) -> None:
    one, other = node("10.0.0.1"), node("10.0.0.2")
    some = Some([])
    pick = policy.picker(some, random.Random(7))
    for nodes in ([one], [], [other], [one, other], [], [one]):
        some.become(nodes)
        if nodes:
            assert pick(b"key") in nodes


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize("key", [None, b"key"])
def test_a_single_backend_takes_no_randomness(policy: Balancer, key: Key) -> None:
    some, rng = Some([node("10.0.0.1", weight=3.0)]), random.Random(7)
    pick = policy.picker(some, rng)
    before = rng.getstate()
    assert {pick(key) for _ in range(5)} == set(some.nodes)
    assert rng.getstate() == before


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
@pytest.mark.parametrize("count", [2, 3, 16, 17, 40])
def test_shares_are_in_proportion_to_weights(policy: Balancer, count: int) -> None:
    some = Some([node(f"10.0.0.{number}", weight=1 + number % 3) for number in range(count)])
    pick, rng = policy.picker(some, random.Random(7)), random.Random(8)
    pick(b"")
    some.work_off()
    for one in some.nodes:
        one.latency = 0.01
    picks = Counter(pick(rng.randbytes(8)) for _ in range(count * 1000))
    total = sum(one.backend.weight for one in some.nodes)
    if isinstance(policy, PeakEwma):  # of two, the heavier is taken: a preference, and no exact share
        assert picks[some.nodes[0]] < picks[some.nodes[1]]
        return
    for one in some.nodes:
        assert picks[one] == pytest.approx(count * 1000 * one.backend.weight / total, rel=0.25)


@pytest.mark.parametrize("policy", POLICIES, ids=repr)
def test_policies_are_frozen_values(policy: Balancer) -> None:
    same = type(policy)(table_size=policy.table_size) if isinstance(policy, Maglev) else type(policy)()
    assert policy == same
    assert hash(policy) == hash(same)
    assert isinstance(policy, Balancer)
    with pytest.raises(AttributeError):
        policy.choices = 3  # type: ignore[attr-defined]


def test_only_hash_policies_place_by_key() -> None:
    assert [policy for policy in POLICIES if is_keyed(policy)] == [RendezvousHash(), SMALL, LARGE]


@pytest.mark.parametrize(
    "wrong",
    [{"decay": 0}, {"decay": -1.0}, {"initial": float("nan")}, {"penalty": float("inf")}, {"decay": True}],
    ids=repr,
)
def test_what_cannot_be_seconds_is_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigurationError, match=name):
        PeakEwma(**wrong)


def test_nobody_is_measured_by_a_pick() -> None:
    some = members(3)
    PeakEwma().picker(some, random.Random(7))(None)
    assert [one.latency for one in some.nodes] == [0, 0, 0]
