"""Round robin: exactly in turn, or in proportion to weights and well mixed, whoever comes and goes."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Node, RoundRobin
from discovery.balancing.round_robin import SMOOTH

from .members import FromTheStart, Some, members, node


@given(st.integers(1, 40), st.integers(1, 5), st.integers())
def test_each_gets_exactly_its_share(count: int, rounds: int, seed: int) -> None:
    some = members(count)
    pick = RoundRobin().picker(some, random.Random(seed))
    counts = Counter(pick(None) for _ in range(count * rounds))
    assert set(counts.values()) == {rounds}
    assert len(counts) == count


@pytest.mark.parametrize("weights", [[], [5.0, 1.0, 2.0] * 4], ids=["even", "weighted"])
def test_it_does_not_start_at_the_same_one_in_every_client(weights: list[float]) -> None:
    some = members(12)
    if weights:
        some.weigh(*weights)
    firsts = {RoundRobin().picker(some, random.Random(seed))(None).backend.address for seed in range(500)}
    assert len(firsts) == 12 if not weights else len(firsts) > 3


@given(st.integers(2, 20), st.integers(0, 60), st.integers())
def test_one_that_comes_waits_for_its_turn_and_moves_nobody_elses(count: int, picks: int, seed: int) -> None:
    some, added = members(count), node("10.1.0.0")
    pick = RoundRobin().picker(some, random.Random(seed))
    order = [pick(None) for _ in range(count + picks)][picks:]
    some.become([*some.nodes, added])
    assert [one for one in (pick(None) for _ in range(count + 1)) if one is not added] == order


@given(st.integers(2, 20), st.integers(0, 60), st.integers())
def test_when_one_leaves_nobody_is_skipped_or_doubled_more_than_once(count: int, picks: int, seed: int) -> None:
    """The last of the list takes its place, as in a pool."""
    some = members(count)
    pick = RoundRobin().picker(some, random.Random(seed))
    for _ in range(picks):
        pick(None)
    gone = some.nodes[seed % count]
    last = some.nodes[-1]
    some.become([last if one is gone else one for one in some.nodes if one is not last or one is gone][: count - 1])
    counts = Counter(pick(None) for _ in range((count - 1) * 3))
    assert set(counts.values()) == {3}


def _letters(some: Some, seed: random.Random, picks: int) -> str:
    names = dict(zip(some.nodes, "abcdefgh", strict=False))
    pick = RoundRobin().picker(some, seed)
    return "".join(names[pick(None)] for _ in range(picks))


@pytest.mark.parametrize(
    ("weights", "order"),
    [((5, 1, 1), "aabacaa"), ((1, 2), "bab"), ((3, 3, 1), "abcabab"), ((0.5, 0.25), "aba")],
)
def test_the_smooth_order_of_nginx(weights: tuple[float, ...], order: str) -> None:
    some = members(len(weights))
    some.weigh(*weights)
    assert _letters(some, FromTheStart(), 2 * len(order)) == 2 * order


WEIGHTS = st.lists(st.integers(1, 20), min_size=2, max_size=2 * SMOOTH).filter(lambda found: len(set(found)) > 1)


@given(WEIGHTS, st.integers(1, 60), st.integers())
def test_at_any_moment_each_has_had_its_share_to_within_two(weights: list[int], picks: int, seed: int) -> None:
    some = members(len(weights))
    some.weigh(*weights)
    pick = RoundRobin().picker(some, random.Random(seed))
    counts = Counter(pick(None) for _ in range(picks))
    for one, weight in zip(some.nodes, weights, strict=True):
        assert abs(counts[one] - picks * weight / sum(weights)) <= 2


@pytest.mark.parametrize("count", [SMOOTH, SMOOTH + 1])
def test_a_weight_may_move_between_two_picks(count: int) -> None:
    """As during slow start: nobody is told, and the next turns are in proportion."""
    some = members(count)
    slow = some.nodes[0]
    some.slow[slow] = 0.1
    pick = RoundRobin().picker(some, random.Random(7))
    before = Counter(pick(None) for _ in range(count * 100))
    some.slow[slow] = 0.5
    after = Counter(pick(None) for _ in range(count * 100))
    assert before[slow] == pytest.approx(10, abs=2)
    assert after[slow] == pytest.approx(50, abs=3)


@pytest.mark.parametrize("count", [SMOOTH, SMOOTH + 2])
def test_who_stays_keeps_its_turn_when_others_come_and_go(count: int) -> None:
    some = members(count)
    some.weigh(*[2.0, 1.0] * (count // 2))
    pick, rng = RoundRobin().picker(some, random.Random(7)), random.Random(8)
    heavy = some.nodes[0]
    others = some.nodes[1:]
    gaps: list[int] = []
    gap = 0
    for _ in range(count * 100):
        some.become([heavy, *rng.sample(others, count - 2)])
        gap += 1
        if pick(None) is heavy:
            gaps.append(gap)
            gap = 0
    assert max(gaps[1:]) <= 2 * count


def test_equal_weights_that_are_not_one_are_exact_turns() -> None:
    some = Some([node(f"10.0.0.{number}", weight=7.0) for number in range(5)])
    pick = RoundRobin().picker(some, random.Random(7))
    order: list[Node] = [pick(None) for _ in range(10)]
    assert order[:5] == order[5:]
