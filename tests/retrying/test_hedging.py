"""When a hedge is due: the percentile of the answers' times, of the last while, and never of too few."""

import math
import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import ConfigurationError
from discovery.retrying import Hedging, Latencies
from discovery.retrying.hedging import ENOUGH, GENERATION, PARTS


@attrs.define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def latencies(clock: Clock | None = None, **spec: float) -> Latencies:
    return Latencies(Hedging(**spec), clock or Clock())


def test_there_is_no_hedge_before_enough_is_known() -> None:
    learning = latencies()
    for _ in range(ENOUGH - 1):
        learning.observe(0.01)
    assert learning.delay is None
    learning.observe(0.01)
    assert learning.delay is not None


@given(
    st.lists(st.floats(1e-5, 3000), min_size=ENOUGH, max_size=ENOUGH),
    st.sampled_from([50, 90, 95, 98, 99]),
)
def test_the_delay_is_the_percentile_or_at_most_a_sixteenth_more(times: list[float], percentile: float) -> None:
    learning = latencies(percentile=percentile, minimum_delay=1e-6)
    for time in times:
        learning.observe(time)
    exact = sorted(times)[math.ceil(ENOUGH * percentile / 100) - 1]
    assert learning.delay is not None
    assert exact <= learning.delay <= exact * (1 + 1 / PARTS) + 1e-12


@pytest.mark.parametrize("time", [0.0, -1.0, math.nan, math.inf, -math.inf])
def test_what_is_no_time_is_passed_over(time: float) -> None:
    learning = latencies()
    for _ in range(2 * ENOUGH):
        learning.observe(time)
    assert learning.delay is None


@pytest.mark.parametrize(("time", "least"), [(1e-9, 0), (1e9, 4000)])
def test_times_beyond_what_is_told_apart_count_as_the_nearest_that_is(time: float, least: float) -> None:
    learning = latencies(minimum_delay=1e-6)
    for _ in range(ENOUGH):
        learning.observe(time)
    assert learning.delay is not None
    assert least <= learning.delay <= 4096


def test_the_delay_is_never_below_the_minimum() -> None:
    learning = latencies(minimum_delay=0.005)
    for _ in range(ENOUGH):
        learning.observe(0.0001)
    assert learning.delay == 0.005


def test_what_was_long_ago_is_forgotten() -> None:
    clock, rng = Clock(), random.Random(1)
    learning = latencies(clock, percentile=90)
    for second in range(120):
        clock.now = float(second)
        for _ in range(100):
            learning.observe(rng.uniform(0.5, 1.0) if second < 40 else rng.uniform(0.005, 0.010))
    assert learning.delay is not None
    assert 0.009 < learning.delay < 0.011


def test_a_service_that_grows_slower_has_a_longer_delay_before_the_old_is_forgotten() -> None:
    clock = Clock()
    learning = latencies(clock)
    for _ in range(1000):
        learning.observe(0.01)
    for _ in range(100):
        learning.observe(0.2)
    assert learning.delay is not None
    assert learning.delay > 0.2


def test_of_few_requests_too_what_is_new_is_learnt_and_what_is_old_forgotten() -> None:
    clock = Clock()
    learning = latencies(clock, percentile=50)
    for number in range(6 * ENOUGH):
        clock.now += GENERATION
        learning.observe(0.01 if number < 2 * ENOUGH else 1.0)
    assert learning.delay is not None
    assert learning.delay > 0.9


def test_the_hedges_own_budget_has_their_ratio_and_no_minimum() -> None:
    learning = latencies(ratio=0.05)
    for _ in range(200):
        learning.budget.deposit()
    assert [learning.budget.withdraw() for _ in range(11)] == [True] * 10 + [False]


def test_latencies_show_what_they_know() -> None:
    assert repr(latencies()) == "<Latencies 0 known, hedges after None>"


@pytest.mark.parametrize(
    "wrong",
    [
        {"percentile": 0},
        {"percentile": 100},
        {"percentile": math.nan},
        {"percentile": None},
        {"minimum_delay": 0},
        {"minimum_delay": -1},
        {"minimum_delay": math.inf},
        {"ratio": 0},
        {"ratio": 2},
        {"ratio": True},
    ],
)
def test_a_hedging_that_cannot_work_is_refused_where_it_is_written(wrong: dict[str, float]) -> None:
    ((name, _),) = wrong.items()
    with pytest.raises(ConfigurationError, match=f"{name}='"):
        Hedging(**wrong)


def test_a_hedging_is_a_value() -> None:
    assert Hedging() == Hedging(percentile=98, minimum_delay=0.001, ratio=0.05)
    assert hash(Hedging()) == hash(Hedging())
