"""Ejection: when a backend goes out, for how long, how many at most, and the one probe by which it comes back."""

import pytest

from discovery.balancing.node import Node, Watcher
from discovery.balancing.outlier import OutlierDetection
from discovery.model import Backend

from .watched import Watched, cancel, fail, sent, succeed


def test_the_fifth_failure_in_a_row_ejects_and_a_success_breaks_the_row() -> None:
    watched = Watched(10)
    fail(watched[0], 4)
    succeed(watched[0])
    fail(watched[0], 4)
    assert watched.out == []
    fail(watched[0])
    assert watched.out == [0]
    assert watched.detector.out[watched[0]].reason == "ejected for 30 s after 5 failures in a row"


def test_a_detector_is_a_watcher_of_records() -> None:
    watcher: Watcher = Watched(1).detector
    assert watcher is not None


def test_one_failure_is_enough_where_one_is_the_limit() -> None:
    watched = Watched(3, OutlierDetection(consecutive_failures=1))
    fail(watched[0])
    assert watched.detector.out[watched[0]].reason == "ejected for 30 s after a failure"


def test_no_row_of_failures_ejects_where_none_is_looked_at() -> None:
    watched = Watched(10, OutlierDetection(consecutive_failures=None))
    fail(watched[0], 49)
    watched.rest(10)
    assert watched.out == []


def test_429_is_no_failure_of_the_row() -> None:
    watched = Watched(10)
    fail(watched[0], 4)
    fail(watched[0], 10, throttled=True)
    assert watched.out == []
    fail(watched[0])
    assert watched.out == [0]


def test_cancellation_is_neither_success_nor_failure() -> None:
    watched = Watched(10)
    fail(watched[0], 4)
    cancel(watched[0])
    assert watched.out == []
    fail(watched[0])
    assert watched.out == [0]


# How many


@pytest.mark.parametrize(
    ("hosts", "share", "out"),
    [(3, 0.1, 1), (3, 0.0, 0), (20, 0.1, 2), (19, 0.1, 1), (9, 0.5, 4), (30, 0.3, 9), (2, 0.5, 0)],
)
def test_the_share_that_may_be_ejected_is_never_exceeded_and_the_rest_is_counted(
    hosts: int, share: float, out: int
) -> None:
    """At least one, unless the share is 0. One of two is half of them, and an outage."""
    watched = Watched(hosts, OutlierDetection(max_ejected=share, interval=0.1))
    for node in watched.nodes[1:]:
        fail(node, 5)
        watched.rest(1)
    assert watched.detector.ejected == out
    assert watched.detector.overflowed == (0 if hosts == 2 else hosts - 1 - out)


def test_ejecting_none_is_counted_too() -> None:
    watched = Watched(4, OutlierDetection(max_ejected=0))
    for node in watched.nodes:
        fail(node, 10)
    assert (watched.out, watched.detector.overflowed) == ([], 8)


def test_one_that_may_not_be_ejected_stays_and_is_considered_again() -> None:
    watched = Watched(10, OutlierDetection(max_ejected=0.1))
    fail(watched[0], 5)
    fail(watched[1], 9)
    assert (watched.out, watched.detector.overflowed) == ([0], 1)
    watched.rest(30)
    succeed(sent(watched))
    fail(watched[1])
    assert watched.out == [1]


def test_the_only_backend_is_never_out() -> None:
    watched = Watched(1)
    fail(watched[0], 500)
    watched.rest(10)
    assert watched.out == []


def test_the_last_that_is_left_stays() -> None:
    watched = Watched(3, OutlierDetection(max_ejected=1, interval=1))
    for node in watched.nodes:
        fail(node, 5)
        watched.rest(2)
    assert watched.detector.ejected == 2
    assert watched.usable == [watched[2]]


# For how long


def test_envoys_vector_of_ejection_times() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(9.999)
    assert not watched.detector.wanted()
    watched.rest(20.002)
    succeed(sent(watched))
    assert watched.out == []
    fail(watched[0], 5)
    watched.rest(10)
    assert watched.out == [0]
    watched.rest(49.999)
    assert not watched.detector.wanted()
    watched.rest(0.002)
    succeed(sent(watched))
    assert watched.out == []


@pytest.mark.parametrize(("healthy", "seconds"), [(0, 90), (9.9, 90), (10, 60), (19.9, 60), (20, 30), (500, 30)])
def test_each_healthy_interval_takes_one_off_the_multiplier(healthy: float, seconds: float) -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    fail(sent(watched))
    watched.rest(60)
    succeed(sent(watched))
    watched.rest(healthy)
    fail(watched[0], 5)
    assert watched.detector.out[watched[0]].seconds == seconds


def test_failures_of_requests_sent_before_do_not_extend_an_ejection() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(29)
    fail(watched[0], 500)
    watched.rest(1)
    assert watched.detector.wanted()


def test_successes_of_requests_sent_before_do_not_end_an_ejection() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    succeed(watched[0], 500)
    watched.rest(30)
    succeed(watched[0], 500)
    assert watched.out == [0]


# The probe


def test_no_probe_is_wanted_while_nothing_is_out_or_before_its_time() -> None:
    watched = Watched(10)
    assert watched.detector.probe() is None
    fail(watched[0], 5)
    watched.rest(29.9)
    assert (watched.detector.wanted(), watched.detector.probe()) == (False, None)


def test_exactly_one_request_is_let_through() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    assert watched.detector.out[watched[0]].reason.endswith("after 5 failures in a row; its probe is due")
    probe = sent(watched)
    assert probe.node is watched[0]
    assert probe.backend is watched[0].backend
    assert (watched.detector.wanted(), watched.detector.probe()) == (False, None)
    assert watched.out == [0]


def test_a_probe_that_succeeds_brings_the_backend_back_with_empty_counters() -> None:
    watched = Watched(10)
    fail(watched[0], 50)
    watched.rest(30)
    probe = sent(watched)
    watched.rest(1)
    succeed(probe)
    assert watched.out == []
    assert watched[0].consecutive_failures == 0
    assert watched[0].since == watched.now
    fail(watched[0], 4)
    assert watched.out == []


def test_a_probe_that_fails_lengthens_the_ejection() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    for times in range(2, 13):
        watched.rest(300)
        fail(sent(watched))
        seconds = min(300, 30 * times)
        assert watched.detector.out[watched[0]].reason == f"ejected for {seconds} s after 5 failures in a row"
        watched.rest(seconds - 0.1)
        assert not watched.detector.wanted()


def test_429_fails_a_probe() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    fail(sent(watched), throttled=True)
    assert watched.out == [0]
    assert not watched.detector.wanted()


def test_a_cancelled_probe_gives_the_place_to_the_next() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    cancel(sent(watched))
    assert watched.out == [0]
    assert watched.detector.due() is None
    succeed(sent(watched))
    assert watched.out == []


@pytest.mark.parametrize(("took", "pause"), [(0.05, 0.5), (0.5, 5), (3, 10)])
def test_a_backend_that_hangs_until_each_probe_is_cancelled_is_probed_seldom(took: float, pause: float) -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    for _ in range(3):
        probe = sent(watched)
        probe.in_flight += 1
        watched.rest(took)
        probe.in_flight -= 1
        watched.rest(pause - 0.001)
        assert not watched.detector.wanted()
        watched.rest(0.002)
    succeed(sent(watched))
    assert watched.out == []


def test_a_probe_that_is_cancelled_when_the_next_one_is_due_does_not_delay_it() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    probe = sent(watched)
    probe.in_flight += 1
    watched.rest(10)
    probe.in_flight -= 1
    assert watched.detector.wanted()
    assert watched.detector.due() is None


@pytest.mark.parametrize("went", [True, False])
def test_the_outcome_of_a_probe_may_be_told_after_its_release(went: bool) -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    probe = sent(watched)
    cancel(probe)
    probe.succeed() if went else probe.fail()
    assert watched.out == ([] if went else [0])
    assert not watched.detector.wanted()


def test_the_outcome_of_a_probe_counts_once() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    probe = sent(watched)
    probe.fail()
    probe.fail()
    succeed(probe)
    assert watched.out == [0]
    assert not watched.detector.wanted()
    assert (probe.successes, probe.failures) == (1, 2)
    assert watched.detector.out[watched[0]].seconds == 60


def test_a_probe_without_end_does_not_keep_the_backend_out() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    endless = sent(watched)
    endless.in_flight += 1
    watched.rest(9.9)
    assert not watched.detector.wanted()
    watched.rest(0.1)
    succeed(sent(watched))
    assert watched.out == []
    fail(watched[0], 5)
    endless.fail()
    endless.in_flight -= 1
    assert watched.detector.out[watched[0]].seconds == 60
    assert watched[0].in_flight == 0


def test_only_the_last_probe_sent_says_how_the_backend_is() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    first = sent(watched)
    first.in_flight += 1
    watched.rest(10)
    second = sent(watched)
    first.succeed()
    first.in_flight -= 1
    assert watched.out == [0]
    assert not watched.detector.wanted()
    succeed(second)
    assert watched.out == []


def test_a_probe_counts_as_load_of_its_backend_and_not_as_its_outcome() -> None:
    watched = Watched(10)
    node = watched[0]
    node.in_flight = 3
    fail(node, 5)
    watched.rest(30)
    probe = sent(watched)
    probe.in_flight += 1
    assert (node.in_flight, probe.in_flight) == (4, 4)
    node.in_flight -= 1
    probe.succeed()
    probe.in_flight -= 1
    assert node.in_flight == 2
    assert (node.successes, node.failures, probe.successes) == (0, 5, 1)


def test_what_a_policy_learns_from_a_probe_is_learnt_of_its_backend() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    watched.rest(30)
    probe = sent(watched)
    probe.latency, probe.measured = 0.2, watched.now
    assert (watched[0].latency, watched[0].measured) == (0.2, watched.now)


def test_backends_are_probed_in_the_order_in_which_they_asked() -> None:
    watched = Watched(10)
    for place in (4, 2):
        fail(watched[place], 5)
        watched.rest(1)
    watched.rest(60)
    assert [sent(watched).node, sent(watched).node] == [watched[4], watched[2]]


# Who comes and goes


def test_a_backend_that_left_is_forgotten() -> None:
    watched = Watched(10)
    node = watched[0]
    fail(node, 5)
    watched.rest(30)
    assert watched.detector.wanted()
    watched.remove([node])
    assert (watched.detector.ejected, watched.detector.wanted(), watched.detector.due()) == (0, False, None)
    watched.nodes.append(node)
    fail(node, 4)
    assert watched.out == []
    fail(node)
    assert watched.detector.out[node].seconds == 30


def test_one_that_comes_back_after_it_left_has_no_past() -> None:
    watched = Watched(10)
    node = watched[0]
    fail(node, 5)
    watched.rest(30)
    succeed(sent(watched))
    watched.remove([node])
    watched.nodes.append(node)
    fail(node, 5)
    assert watched.detector.out[node].seconds == 30


def test_a_probe_to_a_backend_that_left_tells_nothing() -> None:
    watched = Watched(10)
    node = watched[0]
    fail(node, 5)
    watched.rest(30)
    probe = sent(watched)
    probe.in_flight += 1
    watched.remove([node])
    probe.fail()
    probe.in_flight -= 1
    assert (watched.detector.out, watched.detector.wanted(), node.in_flight) == ({}, False, 0)


def test_late_failures_of_a_backend_that_left_tell_nothing() -> None:
    watched = Watched(10)
    node = watched[0]
    watched.remove([node])
    fail(node, 500)
    watched.rest(10)
    assert not watched.detector.out


def test_where_fewer_are_left_fewer_may_be_out_and_the_longest_comes_back() -> None:
    watched = Watched(10, OutlierDetection(interval=1))
    for node in watched.nodes[:4]:
        fail(node, 5)
        watched.rest(2)
    assert watched.out == [0, 1, 2, 3]
    stay = watched.nodes[:5]
    watched.remove(watched.nodes[5:])
    assert watched.nodes == stay
    assert watched.out == [2, 3]


def test_where_all_that_are_left_are_ejected_one_comes_back() -> None:
    watched = Watched(4, OutlierDetection(max_ejected=1, interval=1))
    for node in watched.nodes[:3]:
        fail(node, 5)
        watched.rest(2)
    watched.remove(watched.nodes[3:])
    assert watched.out == [1, 2]


def test_one_that_is_the_only_one_left_comes_back() -> None:
    watched = Watched(3)
    fail(watched[0], 5)
    watched.remove(watched.nodes[1:])
    assert watched.out == []


def test_the_end_of_detection_brings_all_back() -> None:
    watched = Watched(10)
    fail(watched[0], 5)
    fail(watched[1], 3)
    changes = watched.changes
    watched.detector.close()
    assert watched.changes == changes + 1
    assert (watched.detector.out, watched.detector.due(), watched.detector.wanted()) == ({}, None, False)
    fail(watched[1], 500)
    assert (watched.detector.out, watched.detector.due()) == ({}, None)


# What is told


def test_a_change_is_told_once_it_is_made_and_nothing_else_is() -> None:
    watched = Watched(10)
    fail(watched[0])
    assert watched.changes == 1  # an interval has begun: the clock is to be looked at
    fail(watched[0], 3)
    assert watched.changes == 1
    fail(watched[0])
    assert watched.changes == 2
    fail(watched[0], 100)
    succeed(watched[1], 100)
    assert watched.changes == 2
    watched.rest(30)
    assert watched.changes == 3  # a probe is wanted
    sent(watched)
    assert watched.changes == 4


def test_another_detector_of_the_same_records_goes_its_own_way() -> None:
    strict, lax = Watched(0, OutlierDetection(consecutive_failures=2)), Watched(0)
    for place in range(5):
        node = Node(Backend(address=f"10.0.0.{place}", port=80), [strict.detector, lax.detector])
        strict.nodes.append(node)
        lax.nodes.append(node)
    fail(strict[0], 2)
    assert (strict.out, lax.out) == ([0], [])
    fail(strict[0], 3)
    assert (strict.out, lax.out) == ([0], [0])
