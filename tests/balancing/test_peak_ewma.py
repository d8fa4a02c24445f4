"""Peak EWMA: peaks count at once, failures are slow, the unknown get one request, and what was slow is tried again.

The vectors are those of Tower's and Envoy's tests. Times are of a clock that the test moves.
"""

import math
import random
from heapq import heappop, heappush

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing import Balancer, Key, Learner, LeastRequest, Members, Node, PeakEwma, Picker

from .members import Some, members, node


def observe(policy: PeakEwma, one: Node, seconds: float, now: float) -> None:
    policy.observe(one, seconds, now, failed=False, retry_after=None)


def fail(policy: PeakEwma, one: Node, now: float, retry_after: float | None = None) -> None:
    policy.observe(one, 0.001, now, failed=True, retry_after=retry_after)


def measured(latency: float, at: float = 0.0, in_flight: int = 0) -> Node:
    one = node("10.0.0.1")
    one.latency, one.measured, one.in_flight = latency, at, in_flight
    return one


def share(policy: PeakEwma, some: Some, one: Node, picks: int = 400) -> float:
    pick = policy.picker(some, random.Random(7))
    return sum(pick(None) is one for _ in range(picks)) / picks


def test_it_is_told_of_exchanges() -> None:
    assert isinstance(PeakEwma(), Learner)
    assert not isinstance(LeastRequest(), Learner)


# Costs


def test_towers_load_of_one_that_was_never_measured() -> None:
    policy, one = PeakEwma(decay=1, initial=0.010), node("10.0.0.1")
    assert policy.cost(one, 0) == 0.010
    assert 0.009 < policy.cost(one, 0.1) < 0.010
    assert 0.008 < policy.cost(one, 0.2) < 0.009


def test_towers_load_as_requests_begin_and_end() -> None:
    policy, one = PeakEwma(decay=1, initial=0.020), node("10.0.0.1")
    one.in_flight = 1  # two began, at 0.1 and 0.2 s; the first ends
    observe(policy, one, 0.2, 0.3)
    assert policy.cost(one, 0.3) == pytest.approx(0.4)
    one.in_flight = 0
    observe(policy, one, 0.2, 0.4)
    assert policy.cost(one, 0.4) == pytest.approx(0.2)
    assert policy.cost(one, 1.4) < 0.1
    assert policy.cost(one, 10.4) < 0.0001


@pytest.mark.parametrize(("latency", "in_flight", "cost"), [(20, 5, 120), (30, 0, 30)])
def test_envoys_costs(latency: float, in_flight: int, cost: float) -> None:
    assert PeakEwma().cost(measured(latency, in_flight=in_flight), 0) == cost


@given(
    st.lists(st.tuples(st.floats(1e-4, 100), st.floats(0, 1e5), st.integers(0, 50)), min_size=2, max_size=2),
    st.integers(),
)
def test_of_two_the_one_of_lower_cost_is_picked(records: list[tuple[float, float, int]], seed: int) -> None:
    policy, some = PeakEwma(decay=1000), members(2)
    for one, (latency, at, in_flight) in zip(some.nodes, records, strict=True):
        one.latency, one.measured, one.in_flight = latency, at, in_flight
    now = max(one.measured for one in some.nodes)
    low, high = sorted(policy.cost(one, now) for one in some.nodes)
    picked = policy.picker(some, random.Random(seed))(None)
    assert policy.cost(picked, now) == low or math.isclose(low, high)


@pytest.mark.parametrize("ages", [(0.0, 1e7), (1e7, 0.0), (1e7, 1e7)])
def test_a_measurement_of_long_ago_neither_overflows_nor_is_out_of_order(ages: tuple[float, float]) -> None:
    some = members(2)
    for one, at in zip(some.nodes, ages, strict=True):
        one.latency, one.measured = 0.01, at
    older = min(some.nodes, key=lambda one: one.measured)
    assert share(PeakEwma(), some, older) == 1 or ages[0] == ages[1]


def test_one_of_twice_the_weight_takes_twice_the_load() -> None:
    some = members(2)
    some.weigh(1.0, 2.0)
    for one in some.nodes:
        one.latency = 0.01
    pick = PeakEwma().picker(some, random.Random(7))
    for _ in range(300):
        pick(None).in_flight += 1
    assert [one.in_flight for one in some.nodes] == pytest.approx([100, 200], abs=1)


# What is learnt


def test_a_higher_time_counts_at_once_and_a_lower_one_by_and_by() -> None:
    policy, one = PeakEwma(decay=10), node("10.0.0.1")
    observe(policy, one, 0.010, 1)
    observe(policy, one, 0.500, 2)
    assert one.latency == 0.500
    observe(policy, one, 0.010, 12)
    assert one.latency == pytest.approx(0.010 + 0.490 / math.e)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf, 0.0, -0.1])
def test_a_time_that_is_no_positive_number_is_ignored(wrong: float) -> None:
    policy, one = PeakEwma(), measured(0.010, at=5)
    observe(policy, one, wrong, 6)
    assert (one.latency, one.measured) == (0.010, 5)


@pytest.mark.parametrize("now", [4.0, -1.0, math.nan, math.inf])
def test_a_clock_that_goes_back_or_tells_no_time_is_ignored(now: float) -> None:
    policy, one = PeakEwma(), measured(0.010, at=5)
    observe(policy, one, 0.500, now)
    fail(policy, one, now)
    assert (one.latency, one.measured) == (0.010, 5)


ANY = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.tuples(ANY, ANY, st.booleans(), st.none() | ANY), max_size=30))
def test_whatever_is_told_what_is_kept_is_a_positive_number_of_a_time_that_never_goes_back(
    told: list[tuple[float, float, bool, float | None]],
) -> None:
    policy, one, at = PeakEwma(), measured(0.010), 0.0
    for seconds, now, failed, retry_after in told:
        policy.observe(one, seconds, now, failed=failed, retry_after=retry_after)
        assert 0 < one.latency < math.inf
        assert at <= one.measured < math.inf
        at = one.measured


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(None, 5), (30.0, 30), (1.0, 1), (1e9, 300), (math.inf, 300), (math.nan, 5), (0.0, 5), (-3.0, 5)],
)
def test_a_failure_counts_as_the_penalty_or_what_was_asked_for(retry_after: float | None, seconds: float) -> None:
    policy, one = PeakEwma(penalty=5), measured(0.010)
    fail(policy, one, 1, retry_after)
    assert one.latency == seconds


def test_a_failure_never_makes_a_backend_look_quicker() -> None:
    policy, one = PeakEwma(penalty=5), measured(20.0, at=0)
    fail(policy, one, 10)
    assert one.latency == pytest.approx(20 / math.e)


def test_one_that_fails_at_once_is_not_preferred() -> None:
    policy, some = PeakEwma(), members(5)
    for one in some.nodes:
        observe(policy, one, 0.050, 1)
    fail(policy, some.nodes[0], 1)
    assert share(policy, some, some.nodes[0]) == 0


def test_what_is_not_used_decays_and_is_tried_again() -> None:
    policy, some = PeakEwma(decay=10), members(2)
    slow, quick = some.nodes
    observe(policy, slow, 1.0, 0)
    for now, expected in ((0, 0), (40, 0), (47, 1)):  # 1 s is below 10 ms after ln 100 = 4.6 decays
        observe(policy, quick, 0.010, now)
        assert share(policy, some, slow) == expected


# Who was never measured


def test_a_new_backend_gets_one_request_until_it_answers() -> None:
    policy, some = PeakEwma(), members(3)
    for one in some.nodes:
        observe(policy, one, 0.050, 1)
    new = node("10.1.0.0")
    new.since = 1
    some.become([*some.nodes, new])
    pick = policy.picker(some, random.Random(7))
    for _ in range(100):
        pick(None).in_flight += 1
    assert new.in_flight == 1
    observe(policy, new, 0.050, 2)
    for _ in range(100):
        pick(None).in_flight += 1
    assert new.in_flight > 20


def test_a_new_backend_is_tried_although_the_others_are_quicker_than_is_thought_of_it() -> None:
    policy, some = PeakEwma(), members(2)
    new, quick = some.nodes
    for now, expected in ((0, 0), (30, 0), (35, 1)):  # 30 ms is below 1 ms after ln 30 = 3.4 decays
        some.time = now
        observe(policy, quick, 0.001, now)
        assert share(policy, some, new) == expected


def test_when_nobody_is_measured_requests_spread_evenly() -> None:
    some = members(10)
    pick = PeakEwma().picker(some, random.Random(7))
    for _ in range(10):
        pick(None).in_flight += 1
    assert {one.in_flight for one in some.nodes} == {1}
    for _ in range(90):
        pick(None).in_flight += 1
    assert max(one.in_flight for one in some.nodes) <= 13


def test_where_one_of_many_has_answered_those_that_have_not_wait() -> None:
    policy, some = PeakEwma(), members(10)
    pick = policy.picker(some, random.Random(7))
    for _ in range(10):
        pick(None).in_flight += 1
    observe(policy, some.nodes[3], 0.005, 1)
    for _ in range(50):
        pick(None).in_flight += 1
    assert [one.in_flight for one in some.nodes].count(1) == 9


# The whole


class LeastConnections:
    """An ideal: always one of the least loaded of all, and equals in turn."""

    def picker(self, members: Members, rng: random.Random) -> Picker:
        nodes, turn = members.nodes, 0

        def pick(_key: Key) -> Node:
            nonlocal turn
            turn += 1
            return min(nodes, key=lambda one: (one.in_flight, (nodes.index(one) - turn) % len(nodes)))

        return pick


def slowest_percent(policy: Balancer, seed: int, requests: int = 12_000) -> float:
    """The 99th percentile: 40 clients in a closed loop, 10 backends of 5 ms (exponential), one 20 times slower."""
    some, rng = members(10), random.Random(seed)
    pick = policy.picker(some, rng)
    ends: list[tuple[float, int, float, Node]] = []

    def start(client: int) -> None:
        one = pick(None)
        one.in_flight += 1
        mean = 0.1 if one is some.nodes[0] else 0.005
        heappush(ends, (some.time + rng.expovariate(1 / mean), client, some.time, one))

    for client in range(40):
        start(client)
    taken: list[float] = []
    while len(taken) < requests:
        some.time, client, began, one = heappop(ends)
        one.in_flight -= 1
        taken.append(some.time - began)
        if isinstance(policy, Learner):
            policy.observe(one, some.time - began, some.time, failed=False, retry_after=None)
        start(client)
    return sorted(taken[1000:])[(requests - 1000) * 99 // 100]


@pytest.mark.parametrize(("policy", "at_most"), [(LeastRequest(), 1.05), (PeakEwma(), 1.0)], ids=repr)
def test_beside_the_least_connections_of_a_proxy(policy: Balancer, at_most: float) -> None:
    ours, ideal = (sum(slowest_percent(each, seed) for seed in range(4)) for each in (policy, LeastConnections()))
    assert ours <= at_most * ideal
