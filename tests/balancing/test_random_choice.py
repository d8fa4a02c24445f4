"""Random: uniform, or in proportion to weights, however far apart they are."""

import random
from collections import Counter

import pytest

from discovery.balancing import Random

from .members import members


def test_each_is_as_likely_as_any_other() -> None:
    some = members(10)
    pick = Random().picker(some, random.Random(7))
    counts = Counter(pick(None) for _ in range(20_000))
    assert all(counts[node] == pytest.approx(2000, rel=0.1) for node in some.nodes)


@pytest.mark.parametrize("heavy", [10.0, 1000.0, 1e6])
def test_one_far_heavier_than_a_thousand_others(heavy: float) -> None:
    some = members(1000)
    some.weigh(heavy, *[1.0] * 999)
    pick = Random().picker(some, random.Random(7))
    picks = Counter(pick(None) for _ in range(4000))
    assert picks[some.nodes[0]] / 4000 == pytest.approx(heavy / (heavy + 999), abs=0.03)


def test_weights_that_grow_with_no_change_of_version() -> None:
    """As during slow start, when all are new."""
    some = members(2)
    some.weigh(3.0, 1.0)
    one, other = some.nodes
    pick = Random().picker(some, random.Random(7))
    for slow, share in (({one: 0.3, other: 0.1}, 0.75), ({one: 1.0}, 0.5), ({}, 0.75), ({one: 1e-9}, 0.0)):
        some.slow = slow
        picks = Counter(pick(None) for _ in range(10_000))
        assert picks[one] / 10_000 == pytest.approx(share, abs=0.02)
