"""The retry budget: what requests pay for, how long it lasts, and that no second gets more than its share."""

import math

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import ConfigurationError
from discovery.retrying import Budget, RetryBudget


@attrs.define
class Clock:
    """Time that a test sets."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def budget(clock: Clock | None = None, **spec: float) -> Budget:
    return Budget(RetryBudget(**spec), clock or Clock())


def taken(of: Budget, most: int = 10_000) -> int:
    """How many may be withdrawn one after the other."""
    return next(number for number in range(most + 1) if not of.withdraw())


# What requests pay for


def test_who_has_deposited_nothing_and_has_no_minimum_gets_nothing() -> None:
    empty = budget(minimum_per_second=0)
    assert not empty.withdraw()
    assert empty.balance == 0


@pytest.mark.parametrize(
    ("ratio", "requests", "retries"), [(0.2, 4, 0), (0.2, 5, 1), (0.2, 100, 20), (1, 7, 7), (0, 100, 0)]
)
def test_requests_pay_for_retries_at_the_ratio(ratio: float, requests: int, retries: int) -> None:
    paid = budget(ratio=ratio, minimum_per_second=0)
    for _ in range(requests):
        paid.deposit()
    assert taken(paid) == retries


def test_a_client_of_few_requests_has_a_minimum_each_second() -> None:
    clock = Clock()
    little = budget(clock, minimum_per_second=10)
    got = []
    for second in range(5):
        clock.now = second * 1.05
        got.append(taken(little))
    assert got == [10] * 5


def test_less_than_one_retry_a_second_is_one_now_and_then() -> None:
    clock = Clock()
    rare = budget(clock, ratio=0, minimum_per_second=0.3, ttl=10)
    got = []
    for tenth in range(500):
        clock.now = tenth / 10
        got += [clock.now] * taken(rare)
    assert got[:3] == pytest.approx([0.0, 1.1, 2.2], abs=0.1)
    assert len(got) == pytest.approx(15, abs=2)


# How long it lasts


@pytest.mark.parametrize("ttl", [1, 10, 60])
def test_a_deposit_lasts_for_the_ttl_and_at_most_a_tenth_longer(ttl: float) -> None:
    clock = Clock()
    saved = budget(clock, ratio=1, minimum_per_second=0, ttl=ttl)
    saved.deposit()
    clock.now = ttl * 0.999
    assert saved.balance == 1
    clock.now = ttl * 1.1
    assert saved.balance == 0


def test_a_withdrawal_is_forgotten_as_a_deposit_is() -> None:
    clock = Clock()
    spent = budget(clock, ratio=0, minimum_per_second=0.1, ttl=10)
    assert spent.withdraw()
    clock.now = 9.9
    assert not spent.withdraw()
    clock.now = 11
    assert spent.withdraw()


def test_after_a_long_silence_all_is_as_at_the_start() -> None:
    clock = Clock()
    old = budget(clock)
    for _ in range(1000):
        old.deposit()
    assert taken(old) == 200
    clock.now = 1e9
    assert old.balance == budget().balance == 10


def test_a_clock_that_steps_back_changes_nothing() -> None:
    clock = Clock(100.0)
    back = budget(clock)
    for _ in range(50):
        back.deposit()
    before = back.balance
    clock.now = 10.0
    assert back.balance == before
    back.deposit()
    clock.now = 100.0
    assert back.balance == pytest.approx(before + 0.2)


# No burst


def test_the_savings_of_a_quiet_time_are_not_spent_at_once() -> None:
    clock = Clock()
    calm = budget(clock)
    for request in range(5_000):
        clock.now = request / 500
        calm.deposit()
    assert taken(calm) == pytest.approx(11, abs=1)  # of a tenth of a second
    got = []
    for _ in range(20):
        clock.now += 0.12
        got.append(taken(calm))
    assert sum(got[:8]) == pytest.approx(80, abs=5)  # of a second, with those
    assert sum(got) == pytest.approx(175, abs=15)  # fewer, as the seconds before are forgotten


def test_when_requests_grow_fewer_because_they_hang_the_mean_of_the_ttl_counts() -> None:
    clock = Clock()
    hanging = budget(clock)
    for request in range(5_000):
        clock.now = request / 500
        hanging.deposit()
    clock.now += 1.5
    got = 0
    for _ in range(8):
        got += taken(hanging)
        clock.now += 0.12
    assert got == pytest.approx(0.2 * 500 * 0.8, rel=0.2)


def test_a_service_that_is_down_gets_at_most_a_quarter_more_than_its_load_within_any_second() -> None:
    clock = Clock()
    down = budget(clock)
    attempts: list[float] = []
    for request in range(15_000):
        clock.now = request / 500
        down.deposit()
        attempts.append(clock.now)
        if clock.now >= 10:  # from here on all fail, and each is tried twice more if it may be
            attempts += [clock.now] * sum(down.withdraw() for _ in range(2))
    most, oldest = 0, 0
    for newest, at in enumerate(attempts):
        while attempts[oldest] <= at - 1:
            oldest += 1
        most = max(most, newest - oldest + 1)
    assert most <= 1.25 * 500
    assert len(attempts) >= 15_000 + 20 * 500 * 0.17  # and what is allowed is had, but for the ends of slots


def test_in_an_outage_of_the_whole_service_requests_pay_for_nothing() -> None:
    clock = Clock()
    spared = budget(clock, minimum_per_second=3)
    for request in range(5_000):
        clock.now = request / 500
        spared.deposit()
    spared.outages += 1
    assert taken(spared) == 3
    spared.outages -= 1
    assert spared.withdraw()


# Always


STEPS = st.lists(
    st.tuples(st.sampled_from(["deposit", "withdraw"]), st.integers(1, 60), st.integers(0, 400)), max_size=60
)
SPECS = st.builds(
    RetryBudget,
    ratio=st.sampled_from([0, 0.05, 0.2, 0.5, 1]),
    minimum_per_second=st.sampled_from([0, 0.4, 1, 10]),
    ttl=st.sampled_from([1, 2.5, 10]),
)


@given(SPECS, STEPS)
def test_it_is_never_below_zero_and_neither_a_second_nor_a_ttl_has_more_than_its_share(
    spec: RetryBudget, steps: list[tuple[str, int, int]]
) -> None:
    clock = Clock(1000.0)
    kept = Budget(spec, clock)
    asked: list[float] = []
    tried: list[float] = []

    def within(times: list[float], seconds: float) -> int:
        return sum(time > clock.now - seconds for time in times)

    def room(requests: float, retries: float) -> float:
        """By what is known exactly, with windows a little longer for requests or for retries."""
        saved = spec.ratio * within(asked, requests * spec.ttl) + spec.minimum_per_second * spec.ttl
        mean = within(asked, requests * spec.ttl) / (1.1 * spec.ttl)
        rooms = [saved - within(tried, retries * spec.ttl)]
        for window in (1, 0.1):
            busiest = max(within(asked, window + (requests - 1) / 5), mean * window)
            share = max(1.0, spec.ratio * busiest, spec.minimum_per_second)
            rooms.append(share - within(tried, window + (retries - 1) / 5))
        return min(rooms)

    for kind, times, pause in steps:
        clock.now = round(clock.now + pause / 100, 2)
        for _ in range(times):
            assert kept.balance >= 0
            if kind == "deposit":
                kept.deposit()
                asked.append(clock.now)
                continue
            most, least = room(1.1, 1.0) + 1e-6, room(1.0, 1.1) - 1e-6
            if kept.withdraw():
                assert most >= 1
                tried.append(clock.now)
            else:
                assert least < 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"ratio": -0.1},
        {"ratio": 1.5},
        {"ratio": math.nan},
        {"ratio": True},
        {"ratio": "0.2"},
        {"minimum_per_second": -1},
        {"minimum_per_second": math.inf},
        {"ttl": 0},
        {"ttl": 0.5},
        {"ttl": 61},
        {"ttl": None},
    ],
)
def test_a_budget_that_cannot_work_is_refused_where_it_is_written(wrong: dict[str, float]) -> None:
    ((name, _),) = wrong.items()
    with pytest.raises(ConfigurationError, match=f"{name}='"):
        RetryBudget(**wrong)


def test_a_budget_shows_what_is_left() -> None:
    assert repr(budget()) == "<Budget 10.0 left>"
