"""Blocking queries: the index never misleads, and no loop runs hot."""

import random

from hypothesis import given
from hypothesis import strategies as st

from discovery.consul.blocking import DENIED, FIRST, LONGEST, Pace, next_index, pause

INDEXES = st.integers(0, 2**63)


def test_the_next_index_is_the_one_answered() -> None:
    assert next_index(0, 12) == 12
    assert next_index(12, 15) == 15


def test_an_index_that_stays_is_asked_with_again() -> None:
    assert next_index(15, 15) == 15
    assert next_index(1, 0) == 1


def test_an_index_that_goes_back_starts_anew() -> None:
    """Consul was restored from a snapshot: with the old index a query would block until it has caught up."""
    assert next_index(15, 14) == 0
    assert next_index(15, 0) == 0


@given(INDEXES, INDEXES)
def test_a_loop_that_blocks_goes_on_blocking_unless_the_index_went_back(asked: int, answered: int) -> None:
    index = next_index(asked, answered)
    assert (index == 0) == (max(answered, 1) < asked)
    assert index == 0 or index >= max(asked, 1)


def test_two_rounds_begin_at_once_and_then_one_each_second() -> None:
    pace = Pace(100.0)
    assert [pace.delay(100.0) for _ in range(4)] == [0.0, 0.0, 1.0, 2.0]


def test_a_loop_that_is_seldom_woken_never_waits() -> None:
    pace = Pace(0.0)
    assert [pace.delay(now) for now in (0.0, 1.5, 3.0, 300.0, 301.0, 302.0)] == [0.0] * 6


def test_rest_earns_no_more_than_the_burst() -> None:
    pace = Pace(0.0, interval=0.5, burst=3)
    assert [pace.delay(1000.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0.01, 5), st.integers(1, 5))
def test_no_more_rounds_begin_than_the_bucket_holds(gaps: list[float], interval: float, burst: int) -> None:
    now, begun = 0.0, list[float]()
    pace = Pace(now, interval=interval, burst=burst)
    for gap in gaps:
        now += gap
        now += pace.delay(now)
        begun.append(now)
    for first in range(len(begun)):
        for last in range(first, len(begun)):
            assert last - first + 1 <= burst + (begun[last] - begun[first]) / interval + 1e-6


@given(st.integers(-5, 10_000), st.integers())
def test_a_pause_is_never_longer_than_its_bound(failures: int, seed: int) -> None:
    assert 0 <= pause(failures, random.Random(seed)) <= LONGEST


def test_the_bound_of_a_pause_doubles() -> None:
    class Most(random.Random):
        def uniform(self, a: float, b: float) -> float:
            return b

    assert [pause(n, Most()) for n in (1, 2, 3, 4)] == [FIRST, 2 * FIRST, 4 * FIRST, 8 * FIRST]
    assert pause(50, Most()) == LONGEST


@given(st.integers(1, 100), st.integers())
def test_a_refusal_is_no_reason_to_ask_again_soon(failures: int, seed: int) -> None:
    assert DENIED <= pause(failures, random.Random(seed), "denied") <= 2 * DENIED
