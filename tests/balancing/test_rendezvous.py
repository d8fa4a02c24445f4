"""Rendezvous hashing: what a slot's owner is after any changes is what a contest from scratch says."""

import random
from collections import Counter
from math import log

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Node, RendezvousHash
from discovery.balancing.hashing import xxh64
from discovery.balancing.rendezvous import SLOTS, Owners

from .members import Some, members, node

SLOT = st.sampled_from([0, 1, 2, 3, 17, SLOTS - 1])


def from_scratch(slot: int, nodes: list[Node]) -> Node:
    """By the definition: the least -ln(hash) / weight."""

    def reached(one: Node) -> tuple[float, bytes]:
        name = one.backend.netloc.encode()
        return -log((xxh64()(name, slot) + 1) / 2**64) / one.backend.weight, name

    return min(nodes, key=reached)


CHANGES = st.lists(st.tuples(st.sets(st.integers(0, 11), min_size=1), st.lists(SLOT, max_size=6)), max_size=30)


@given(CHANGES, st.lists(st.floats(0.01, 100), min_size=1, max_size=3))
def test_an_owner_revised_through_any_changes_is_that_of_a_contest_from_scratch(
    changes: list[tuple[set[int], list[int]]], weights: list[float]
) -> None:
    """Also of slots that were not looked at for a while, and of backends that left and came back."""
    everybody = [node(f"10.0.0.{number}", weight=weights[number % len(weights)]) for number in range(12)]
    some = Some([])
    owners = Owners(some, xxh64())
    for present, slots in changes:
        some.become([everybody[number] for number in sorted(present)])
        for slot in slots:
            assert owners.of(slot) is from_scratch(slot, some.nodes)


@given(
    st.lists(
        st.tuples(st.sets(st.integers(0, 5), min_size=1), st.integers(0, 5), st.sampled_from([0.5, 1.0, 3.0])),
        max_size=20,
    )
)
def test_weights_that_change_change_owners_also_while_their_backends_are_away(
    changes: list[tuple[set[int], int, float]],
) -> None:
    everybody = members(6).nodes
    some = Some([])
    owners = Owners(some, xxh64())
    for present, reweighed, weight in changes:
        one = everybody[reweighed]
        one.backend = node(one.backend.address, weight=weight).backend
        some.become([everybody[number] for number in sorted(present)])
        for slot in range(4):
            assert owners.of(slot) is from_scratch(slot, some.nodes)


def test_one_that_comes_back_lighter_does_not_keep_what_it_had() -> None:
    some = members(20)
    everybody = list(some.nodes)
    owners = Owners(some, xxh64())
    before = {slot: owners.of(slot) for slot in range(100)}
    gone = before[0]
    some.become(one for one in everybody if one is not gone)
    owners.of(SLOTS - 1)
    gone.backend = attrs.evolve(gone.backend, weight=0.01)
    some.become(everybody)
    for slot in before:
        assert owners.of(slot) is from_scratch(slot, everybody)


def test_only_the_keys_of_one_that_leaves_move_and_they_come_back_with_it() -> None:
    some = members(50)
    pick = RendezvousHash().picker(some, random.Random(7))
    keys = [number.to_bytes(4) for number in range(3000)]
    before = {key: pick(key) for key in keys}
    everybody, gone = list(some.nodes), some.nodes[7]
    some.become(one for one in everybody if one is not gone)
    moved = {key for key in keys if pick(key) is not before[key]}
    assert moved == {key for key in keys if before[key] is gone}
    assert len({pick(key) for key in moved}) > 20
    some.become(everybody)
    assert {key: pick(key) for key in keys} == before


def test_shares_are_even_to_within_chance() -> None:
    some = members(10)
    owners = Owners(some, xxh64())
    counts = Counter(owners.of(slot) for slot in range(SLOTS))
    assert max(counts.values()) < 1.05 * SLOTS / 10
    assert min(counts.values()) > 0.95 * SLOTS / 10


def test_a_slot_that_is_never_asked_for_keeps_no_backend_that_left_for_ever() -> None:
    some = members(3)
    owners = Owners(some, xxh64())
    gone = owners.of(0)
    for number in range(10):
        some.become([node(f"10.1.0.{number}"), node(f"10.2.0.{number}")])
        owners.of(1)
    assert gone not in owners.owned


@pytest.mark.parametrize("weights", [(1.0, 2.0), (0.1, 0.7), (5e-324, 1e308)])
def test_weights_of_any_size_compete(weights: tuple[float, float]) -> None:
    some = members(2)
    some.weigh(*weights)
    owners = Owners(some, xxh64())
    picks = Counter(owners.of(slot) for slot in range(4000))
    assert picks[some.nodes[1]] / 4000 == pytest.approx(weights[1] / sum(weights), abs=0.03)
