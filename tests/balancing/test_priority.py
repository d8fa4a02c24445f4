"""How load moves from one priority level to the next: Envoy's formulas and vectors, and the laws they follow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing.priority import loads

PERCENT = 0.01
"""Envoy rounds to whole percents and gives what is left over to one level; here nothing is rounded."""


@pytest.mark.parametrize(
    ("usable", "total", "shares", "panics"),
    [
        ((4, 4), (4, 4), (100, 0), (False, False)),
        ((2, 4), (4, 4), (70, 30), (False, False)),
        ((1, 2), (4, 2), (35, 65), (False, False)),
        ((1, 1), (4, 4), (50, 50), (True, True)),
        ((5, 65), (100, 100), (7, 93), (True, False)),
        ((0, 0), (1, 2), (34, 66), (True, True)),
        ((72, 72), (100, 100), (100, 0), (False, False)),
        ((71, 71), (100, 100), (99, 1), (False, False)),
        ((50, 50), (100, 100), (70, 30), (False, False)),
        ((25, 100), (100, 100), (35, 65), (False, False)),
        ((25, 25), (100, 100), (50, 50), (True, True)),
        ((0, 25, 25), (100, 100, 100), (33, 33, 33), (True, True, True)),
        ((5, 0, 65), (100, 0, 100), (7, 0, 93), (True, False, False)),
    ],
)
def test_envoys_vectors(
    usable: tuple[int, ...], total: tuple[int, ...], shares: tuple[int, ...], panics: tuple[bool, ...]
) -> None:
    found, in_panic = loads(usable, total, panic_threshold=0.5)
    assert found == pytest.approx([share / 100 for share in shares], abs=PERCENT)
    assert in_panic == panics


def test_without_overprovisioning_each_level_carries_what_is_usable_of_it() -> None:
    """Envoy's vector of factor 1.0."""
    assert loads((2, 2), (4, 4), panic_threshold=0.5, overprovisioning=1.0)[0] == (0.5, 0.5)


COUNT = st.integers(0, 200)
LEVELS = st.lists(st.tuples(COUNT, COUNT).map(sorted), min_size=1, max_size=6)
THRESHOLD = st.floats(0, 1)


@given(LEVELS, THRESHOLD)
def test_shares_add_up_to_one_unless_there_is_nothing(levels: list[list[int]], threshold: float) -> None:
    usable, total = zip(*levels, strict=True)
    shares, _ = loads(usable, total, panic_threshold=threshold)
    assert all(0 <= share <= 1 for share in shares)
    assert sum(shares) == pytest.approx(1.0 if any(total) else 0.0)


@given(LEVELS, THRESHOLD)
def test_a_level_gets_load_only_where_there_is_something_to_carry_it(levels: list[list[int]], threshold: float) -> None:
    """A level without usable backends gets some only in panic; unless nothing is usable anywhere and panic is off."""
    usable, total = zip(*levels, strict=True)
    shares, panics = loads(usable, total, panic_threshold=threshold)
    for some, of, share, panic in zip(usable, total, shares, panics, strict=True):
        if share > 0:
            assert of
            assert some or panic or not any(usable)


@given(st.integers(1, 5000), st.integers(0, 5000), THRESHOLD)
def test_a_level_carries_everything_from_five_in_seven_on(total: int, spare: int, threshold: float) -> None:
    """Exactly: 1.4 · 45 is a hair less than 63 in floating point."""
    usable = -(-total * 5 // 7)
    assert loads((usable, spare), (total, spare), panic_threshold=threshold) == ((1.0, 0.0), (False, False))


@given(LEVELS)
def test_of_one_level_all_load_is_its_own(levels: list[list[int]]) -> None:
    usable, total = levels[0]
    (share,), (panic,) = loads((usable,), (total,), panic_threshold=0.5)
    assert share == float(total > 0)
    assert panic is (usable < total / 2)


def test_where_panic_is_off_nothing_is_in_panic() -> None:
    assert loads((0, 0), (3, 4), panic_threshold=0) == ((1.0, 0.0), (False, False))
    assert loads((1, 0), (30, 4), panic_threshold=0) == ((1.0, 0.0), (False, False))


def test_levels_without_backends_are_passed_over() -> None:
    assert loads((0, 2), (0, 2), panic_threshold=0.5) == ((0.0, 1.0), (False, False))
    assert loads((0, 0), (0, 2), panic_threshold=0.5) == ((0.0, 1.0), (False, True))
    assert loads((0,), (0,), panic_threshold=0.5) == ((0.0,), (False,))
    assert loads((), (), panic_threshold=0.5) == ((), ())


@given(LEVELS, st.data())
def test_more_usable_backends_never_take_load_from_a_level_that_is_not_in_panic(
    levels: list[list[int]], data: st.DataObject
) -> None:
    usable, total = zip(*levels, strict=True)
    level = data.draw(st.integers(0, len(levels) - 1))
    better = [some + (at == level and some < of) for at, (some, of) in enumerate(levels)]
    before, after = (loads(some, total, panic_threshold=0)[0] for some in (usable, better))
    assert after[level] >= before[level] - 1e-12
