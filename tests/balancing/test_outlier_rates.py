"""Rates of an interval: the published vectors, who is judged at all, and what chance is granted."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.balancing.node import Node
from discovery.balancing.outlier import OutlierDetection
from discovery.balancing.outlier.rates import Tally, behind, failing, moments, notable
from discovery.model import Backend

from .watched import Watched, fail, succeed


def tallies(*counts: tuple[int, int]) -> list[Tally]:
    return [
        Tally(Node(Backend(address=f"10.0.0.{place}", port=80)), successes, failures)
        for place, (successes, failures) in enumerate(counts, 1)
    ]


def addresses(found: object) -> list[str]:
    return [node.backend.address for node, _ in found]  # type: ignore[attr-defined]


def test_envoys_vector_of_the_success_rate() -> None:
    mean, deviation = moments([0.5, 1, 1, 1, 1])
    assert mean == pytest.approx(0.9)
    assert deviation == pytest.approx(0.2)
    assert mean - notable(mean, 1.9 * deviation, 100) == pytest.approx(0.52)


def test_grpcs_vector_of_the_success_rate() -> None:
    """Three hosts, five calls each, one fails all; factor 0.5."""
    mean, deviation = moments([0, 1, 1])
    assert (round(mean, 3), round(deviation, 3), round(mean - 0.5 * deviation, 3)) == (0.667, 0.471, 0.431)
    spec = OutlierDetection(success_rate_stdev=0.5, success_rate_hosts=3, success_rate_volume=5)
    assert addresses(behind(tallies((0, 5), (5, 0), (5, 0)), spec)) == ["10.0.0.1"]
    assert addresses(behind(tallies((5, 0), (5, 0), (5, 0)), spec)) == []


def test_grpcs_vector_of_the_failure_percentage() -> None:
    spec = OutlierDetection(failure_percentage=50, failure_percentage_hosts=3, failure_percentage_volume=3)
    assert addresses(failing(tallies((0, 5), (5, 0), (5, 0)), spec)) == ["10.0.0.1"]
    assert addresses(failing(tallies((5, 0), (5, 0), (5, 0)), spec)) == []


@pytest.mark.parametrize("hosts", [2, 3, 4, 5, 10])
def test_among_fewer_than_five_nobody_is_below_the_threshold(hosts: int) -> None:
    """Which is why the default asks for five."""
    spec = OutlierDetection(success_rate_hosts=1)
    found = addresses(behind(tallies((0, 100), *[(100, 0)] * (hosts - 1)), spec))
    assert bool(found) is (hosts >= 5)


def test_exactly_the_failure_percentage_is_not_too_much() -> None:
    spec = OutlierDetection(failure_percentage=85)
    assert addresses(failing(tallies((15, 85), (14, 86)), spec)) == ["10.0.0.2"]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([(0, 49), (50, 0), (50, 0)], []),  # too little was heard of it
        ([(0, 50), (49, 0), (49, 0)], []),  # too little was heard of the others
        ([(0, 50), (50, 0), (0, 0)], ["10.0.0.1"]),
    ],
)
def test_failures_of_too_few_requests_or_backends_say_nothing(counts: list[tuple[int, int]], found: list[str]) -> None:
    assert addresses(failing(tallies(*counts), OutlierDetection())) == found


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ([(0, 99), *[(100, 0)] * 5], []),
        ([(0, 100), *[(100, 0)] * 3, (99, 0)], []),
        ([(0, 100), *[(100, 0)] * 4], ["10.0.0.1"]),
    ],
)
def test_a_success_rate_of_too_few_requests_or_backends_says_nothing(
    counts: list[tuple[int, int]], found: list[str]
) -> None:
    assert addresses(behind(tallies(*counts), OutlierDetection())) == found


@pytest.mark.parametrize("criterion", ["failure_percentage", "success_rate_stdev"])
def test_a_criterion_of_none_is_not_looked_at(criterion: str) -> None:
    spec = OutlierDetection(**{criterion: None})  # type: ignore[arg-type]
    look = failing if criterion == "failure_percentage" else behind
    assert addresses(look(tallies((0, 1000), *[(1000, 0)] * 9), spec)) == []


def test_one_failure_in_a_thousand_is_no_outlier_where_all_others_succeed() -> None:
    """It is three standard deviations below the mean, which is 99.99 %."""
    counts = tallies((999, 1), *[(1000, 0)] * 9)
    mean, deviation = moments([tally.rate for tally in counts])
    assert counts[0].rate < mean - 1.9 * deviation
    assert addresses(behind(counts, OutlierDetection())) == []


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_equals_are_not_told_apart_by_chance(share: float) -> None:
    """Of 300 intervals of 10 equal backends; by deviations alone, each of them would often have had an outlier."""
    rng = random.Random(7)
    found = by_deviation = 0
    for _ in range(300):
        failures = [sum(rng.random() < share for _ in range(200)) for _ in range(10)]
        counts = tallies(*[(200 - failed, failed) for failed in failures])
        mean, deviation = moments([tally.rate for tally in counts])
        by_deviation += any(tally.rate < mean - 1.9 * deviation for tally in counts)
        found += bool(addresses(behind(counts, OutlierDetection())))
    assert found <= 6
    assert by_deviation > 60


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.integers(1, 10**6), st.floats(0, 10))
def test_whatever_the_rates_the_threshold_is_a_number_below_the_mean(
    rates: list[float], volume: int, factor: float
) -> None:
    mean, deviation = moments(rates)
    assert 0 <= mean <= 1 + 1e-9
    distance = notable(min(mean, 1.0), factor * deviation, volume)
    assert math.isfinite(distance)
    assert distance > 0


# The interval


def test_an_interval_begins_with_a_failure_and_a_healthy_pool_needs_no_timer() -> None:
    watched = Watched(10)
    succeed(watched[0], 1000)
    assert watched.detector.due() is None
    fail(watched[0])
    assert watched.detector.due() == watched.now + 10
    watched.rest(10)
    assert watched.detector.due() is None


def test_a_backend_that_fails_most_requests_is_ejected_at_the_end_of_the_interval() -> None:
    watched = Watched(3, OutlierDetection(consecutive_failures=None))
    for _ in range(10):
        fail(watched[0], 9)
        succeed(watched[0])
    for node in watched.nodes[1:]:
        succeed(node, 80)
    watched.rest(9.9)
    assert watched.out == []
    watched.rest(0.2)
    assert watched.out == [0]
    assert watched.detector.out[watched[0]].reason == "ejected for 30 s after 90 of 100 requests failed"


def test_a_backend_behind_the_others_is_ejected_at_the_end_of_the_interval() -> None:
    watched = Watched(5)
    for _ in range(50):
        fail(watched[0])
        succeed(watched[0])
    for node in watched.nodes[1:]:
        succeed(node, 100)
    watched.rest(10)
    assert watched.out == [0]
    assert "a success rate of 50%, where the mean is 90%" in watched.detector.out[watched[0]].reason


def test_what_was_before_the_interval_does_not_count() -> None:
    watched = Watched(5)
    succeed(watched[0], 10_000)
    for _ in range(50):
        fail(watched[0])
        succeed(watched[0])
    for node in watched.nodes[1:]:
        succeed(node, 100)
    watched.rest(10)
    assert watched.out == [0]
    watched = Watched(5)
    for node in watched.nodes[1:]:
        succeed(node, 100)
    for _ in range(50):
        fail(watched[0])
        succeed(watched[0])
    watched.rest(10)
    assert watched.out == []


def test_429_counts_in_the_rates_and_not_in_the_row() -> None:
    watched = Watched(3)
    fail(watched[0], 60, throttled=True)
    for node in watched.nodes[1:]:
        succeed(node, 60)
    assert watched.out == []
    watched.rest(10)
    assert watched.out == [0]


def test_what_a_backend_did_before_it_came_back_does_not_count_after() -> None:
    spec = OutlierDetection(ejection=2)
    watched = Watched(5, spec)
    fail(watched[0], 200)
    watched.rest(2)
    probe = watched.detector.probe()
    assert probe is not None
    succeed(probe)
    for node in watched.nodes:
        succeed(node, 100)
    watched.rest(8)
    assert watched.out == []


def test_one_that_left_within_the_interval_is_no_backend_to_compare_with() -> None:
    watched = Watched(3, OutlierDetection(consecutive_failures=None))
    fail(watched[0], 60)
    succeed(watched[1], 60)
    watched.remove([watched[1]])
    watched.rest(10)
    assert watched.out == []


def test_one_that_came_within_the_interval_is_judged_from_its_first_failure_on() -> None:
    watched = Watched(4, OutlierDetection(consecutive_failures=None))
    fail(watched[0])
    for node in watched.nodes[1:]:
        succeed(node, 60)
    new = watched.add()
    fail(new, 60)
    watched.rest(10)
    assert watched.out == [4]


def test_without_rates_to_look_at_no_interval_begins() -> None:
    watched = Watched(3, OutlierDetection(failure_percentage=None, success_rate_stdev=None))
    fail(watched[0])
    assert watched.detector.due() is None
