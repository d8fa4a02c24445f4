"""Maglev: the paper's table and Envoy's, hardly any key moves needlessly, and a table in the making delays nobody."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Maglev, Node, Picker, RendezvousHash
from discovery.balancing.hashing import xxh64
from discovery.balancing.maglev import Build, fill, in_turn, walk
from discovery.errors import ConfigurationError

from .members import Some, members, node


def table(nodes: list[Node], size: int) -> list[Node]:
    build = Build({one: one.backend.weight for one in nodes}, size, xxh64())
    build.run()
    return list(build.table)


def ports(*numbers: int) -> list[Node]:
    return [node("127.0.0.1", port) for port in numbers]


# The table


def test_the_papers_table_1() -> None:
    walks = [(3, 4), (0, 2), (3, 1)]
    assert fill(walks, in_turn([1, 1, 1]), 7) == [1, 0, 1, 0, 2, 2, 0]
    assert fill([walks[0], walks[2]], in_turn([1, 1]), 7) == [0, 0, 0, 0, 1, 1, 1]


@given(st.permutations(range(6)))
def test_envoys_table_of_six_in_any_order(order: list[int]) -> None:
    nodes = ports(*range(90, 96))
    found = table([nodes[index] for index in order], 7)
    assert [nodes.index(one) for one in found] == [2, 4, 0, 1, 5, 0, 3]


def test_envoys_shares_of_weights_one_and_two() -> None:
    one, two = node("127.0.0.1", 90), node("127.0.0.1", 91, weight=2)
    assert Counter(table([one, two], 65537)) == {one: 21846, two: 43691}


@given(st.lists(st.floats(1e-300, 1e300), min_size=1, max_size=30), st.sampled_from([2, 3, 7, 31, 251]))
def test_a_table_is_always_full(weights: list[float], size: int) -> None:
    """Also with more backends than slots, and with weights that are worlds apart."""
    nodes = [node(f"10.0.0.{number}", weight=weight) for number, weight in enumerate(weights)]
    found = table(nodes, size)
    assert len(found) == size
    assert set(found) <= set(nodes)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12))
def test_slots_are_in_proportion_to_weights(weights: list[int]) -> None:
    nodes = [node(f"10.0.0.{number}", weight=weight) for number, weight in enumerate(weights)]
    slots = Counter(table(nodes, 2039))
    for one, weight in zip(nodes, weights, strict=True):
        assert abs(slots[one] - 2039 * weight / sum(weights)) <= max(weights) + 1


def test_shares_differ_by_a_slot() -> None:
    slots = Counter(table(members(100).nodes, 10007)).values()
    assert max(slots) - min(slots) <= 1
    assert max(slots) / (10007 / 100) <= 1.02


def test_one_of_a_hundred_that_leaves_moves_hardly_more_than_its_own() -> None:
    nodes = members(100).nodes
    before = table(nodes, 10007)
    for gone in nodes[:3]:
        after = table([one for one in nodes if one is not gone], 10007)
        needlessly = sum(a is not b for a, b in zip(before, after, strict=True) if a is not gone)
        assert needlessly <= 0.02 * 10007


# The size


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (8, "table_size=8 is not a prime number. The next one is 11"),
        (65536, "table_size=65536 is not a prime number. The next one is 65537"),
        (1, "whole number of at least 2"),
        (-7, "whole number of at least 2"),
        (7.0, "whole number of at least 2"),
        (True, "whole number of at least 2"),
        (5_000_087, "above 5,000,011"),
    ],
)
def test_a_size_that_cannot_be_is_refused(size: int, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Maglev(table_size=size)


def test_more_backends_than_slots_are_picked_from_the_slots_there_are() -> None:
    some = members(20)
    pick = Maglev(table_size=7).picker(some, random.Random(7))
    assert len({pick(number.to_bytes(2)) for number in range(1000)}) == 7


# A table in the making

KEYS = [number.to_bytes(4) for number in range(500)]


@pytest.fixture
def some() -> Some:
    return members(30)


@pytest.fixture
def pick(some: Some) -> Picker:
    return Maglev(table_size=10007).picker(some, random.Random(7))


def placed(pick: Picker) -> list[Node]:
    return [pick(key) for key in KEYS]


def by_table(some: Some) -> list[Node]:
    found = table(some.nodes, 10007)
    return [found[xxh64()(key) % 10007] for key in KEYS]


def test_until_the_first_table_is_there_keys_are_placed_by_rendezvous(some: Some, pick: Picker) -> None:
    assert placed(pick) == placed(RendezvousHash().picker(some, random.Random(7)))
    assert len(some.work) == 1
    some.work_off()
    assert placed(pick) == by_table(some)


def test_until_the_next_table_is_there_the_last_one_is_used_without_those_that_left(some: Some, pick: Picker) -> None:
    placed(pick)
    some.work_off()
    before, gone = by_table(some), some.nodes[0]
    some.become([*some.nodes[1:], node("10.1.0.0")])
    meanwhile = placed(pick)
    assert gone not in meanwhile
    assert [one for one in before if one is not gone] == [
        now for now, one in zip(meanwhile, before, strict=True) if one is not gone
    ]
    some.work_off()
    assert placed(pick) == by_table(some)


def test_one_table_is_made_at_a_time_and_the_last_one_is_right(some: Some, pick: Picker) -> None:
    everybody = list(some.nodes)
    for count in (30, 20, 10, 25):
        some.become(everybody[:count])
        assert set(placed(pick)) <= set(some.nodes)
        assert len(some.work) == 1
    some.work.pop()()
    placed(pick)  # the table of the first 30 is there, and that of the 25 is begun
    assert len(some.work) == 1
    some.work_off()
    assert placed(pick) == by_table(some)
    assert not some.work


def test_what_came_back_before_the_next_table_was_there_has_its_keys_again(some: Some, pick: Picker) -> None:
    placed(pick)
    some.work_off()
    everybody = list(some.nodes)
    some.become(everybody[1:])
    placed(pick)
    some.become(everybody)
    assert placed(pick) == by_table(some)
    some.work_off()
    assert placed(pick) == by_table(some)


def test_a_new_version_of_the_same_backends_makes_no_table(some: Some, pick: Picker) -> None:
    placed(pick)
    some.work_off()
    some.become(reversed(some.nodes[:]))
    placed(pick)
    assert not some.work


def test_a_new_weight_makes_a_new_table(some: Some, pick: Picker) -> None:
    placed(pick)
    some.work_off()
    some.weigh(5.0, *[1.0] * 29)
    placed(pick)
    some.work_off()
    assert placed(pick) == by_table(some)


def test_a_small_table_is_made_at_once(some: Some) -> None:
    Maglev(table_size=251).picker(some, random.Random(7))(b"key")
    assert not some.work


def test_where_a_backend_looks_for_slots_is_a_walk_over_all_of_them() -> None:
    for size in (2, 3, 251):
        place, skip = walk(b"10.0.0.1:80", size, xxh64())
        assert {(place + step * skip) % size for step in range(size)} == set(range(size))
