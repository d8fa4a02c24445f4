"""When half fail it is the service: suspects instead of ejections, probes instead of times, and back at once.

The simulations are of virtual time and seeded by nothing but their order of events.
"""

import pytest

from discovery.balancing.outlier import OutlierDetection

from .outages import ANSWER, PER_TRY_TIMEOUT, Service
from .watched import Watched, cancel, fail, sent, succeed


def outage(count: int, failing: int, spec: OutlierDetection | None = None) -> Watched:
    watched = Watched(count, spec)
    for node in watched.nodes[:failing]:
        fail(node, 5)
    return watched


# How it begins


def test_half_of_the_backends_within_an_interval_is_an_outage() -> None:
    watched = outage(10, 4)
    assert (watched.detector.suspended, watched.detector.ejected) == (False, 4)
    fail(watched[4], 5)
    assert (watched.detector.suspended, watched.detector.ejected) == (True, 0)
    assert watched.out == [0, 1, 2, 3, 4]
    reasons = {ejection.reason for ejection in watched.detector.out.values()}
    assert reasons == {"suspect: 5 failures in a row, probed every 1 s"}


def test_half_of_them_one_after_another_is_none() -> None:
    watched = Watched(10, OutlierDetection(interval=10))
    for node in watched.nodes[:5]:
        fail(node, 5)
        watched.rest(2.6)
    assert (watched.detector.suspended, watched.detector.ejected) == (False, 5)


def test_those_that_met_a_criterion_and_might_not_be_ejected_are_suspects_too() -> None:
    watched = outage(10, 5, OutlierDetection(max_ejected=0.1))
    assert watched.out == [0, 1, 2, 3, 4]
    assert watched.detector.suspended


def test_those_that_are_back_and_those_that_left_are_not_of_the_half() -> None:
    watched = Watched(5, OutlierDetection(ejection=1))
    fail(watched[0], 5)
    watched.rest(1)
    succeed(sent(watched))
    fail(watched[1], 5)
    watched.remove([watched[1]])
    fail(watched[2], 5)
    assert not watched.detector.suspended
    assert watched.out == [2]


def test_a_suspect_is_counted_once() -> None:
    watched = outage(10, 5)
    watched.rest(1)
    for _ in range(3):
        succeed(sent(watched))
    fail(watched[7], 5)
    assert watched.detector.ejected == 1


def test_one_that_is_a_suspect_by_its_row_is_not_made_one_again_by_its_rate() -> None:
    watched = Watched(4, OutlierDetection(max_ejected=0.1))
    fail(watched[3], 5)
    watched.rest(20)
    fail(watched[1], 60)
    fail(watched[0], 60, throttled=True)
    succeed(watched[2], 60)
    watched.rest(10)
    assert watched.out == [0, 1, 3]
    assert [watched.detector.out[node].times for node in watched.nodes[:2]] == [0, 0]


def test_suspects_and_ejected_ones_together_are_never_all() -> None:
    watched = outage(8, 4, OutlierDetection(max_ejected=1, interval=1))
    watched.rest(1)
    for _ in range(3):
        succeed(sent(watched))
    for node in watched.usable:
        watched.rest(2)
        fail(node, 5)
    assert (len(watched.out), watched.detector.ejected, watched.detector.overflowed) == (7, 6, 1)


def test_whoever_fails_during_an_outage_is_a_suspect() -> None:
    watched = outage(10, 5)
    watched.rest(60)
    fail(watched[7], 5)
    assert watched.out == [0, 1, 2, 3, 4, 7]
    assert watched.detector.ejected == 0


def test_one_that_was_ejected_before_is_a_suspect_when_its_probe_fails() -> None:
    watched = Watched(10)
    fail(watched[9], 5)
    watched.rest(25)
    for node in watched.nodes[:5]:
        fail(node, 5)
    assert watched.detector.ejected == 1
    watched.rest(5)
    for _ in range(6):
        probe = sent(watched)
        fail(probe)
        if probe.node is watched[9]:
            break
    assert watched.detector.ejected == 0
    assert watched.detector.out[watched[9]].suspect


def test_where_none_may_be_ejected_none_is_a_suspect() -> None:
    assert outage(10, 10, OutlierDetection(max_ejected=0)).out == []


def test_a_suspended_ejection_does_not_make_the_next_one_longer() -> None:
    watched = outage(10, 5)
    watched.rest(1)
    for _ in range(5):
        succeed(sent(watched))
    fail(watched[0], 5)
    assert watched.detector.out[watched[0]].reason == "ejected for 30 s after 5 failures in a row"


def test_rates_make_an_outage_as_rows_do() -> None:
    watched = Watched(4, OutlierDetection(consecutive_failures=None))
    for node in watched.nodes[:2]:
        fail(node, 60)
    for node in watched.nodes[2:]:
        succeed(node, 60)
    watched.rest(10)
    assert (watched.out, watched.detector.suspended) == ([0, 1], True)


# Probes of suspects


def test_suspects_are_probed_after_a_second_and_then_ever_more_rarely() -> None:
    watched = outage(2, 1)
    for seconds in (1, 2, 4, 8, 10, 10):
        assert watched.detector.out[watched[0]].seconds == seconds
        watched.rest(seconds / 2 - 0.001)
        assert not watched.detector.wanted()
        watched.rest(seconds / 2 + 0.001)
        fail(sent(watched))


def test_clients_do_not_probe_all_at_the_same_time() -> None:
    times = set()
    for seed in range(20):
        watched = Watched(2, seed=seed)
        fail(watched[0], 5)
        times.add(watched.detector.out[watched[0]].asks_at)
    assert len(times) == 20


def test_a_short_interval_bounds_the_first_probe_too() -> None:
    watched = outage(2, 1, OutlierDetection(interval=0.2))
    watched.rest(0.2)
    assert watched.detector.wanted()


def test_a_suspect_whose_probe_succeeds_is_back_and_the_others_are_tried_within_a_second() -> None:
    watched = outage(10, 5)
    for _ in range(4):
        watched.rest(10)
        while (probe := watched.detector.probe()) is not None:
            fail(probe)
    watched.rest(min(asks(watched)) - watched.now)
    succeed(sent(watched))
    assert len(watched.out) == 4
    watched.rest(1)
    for _ in range(4):
        succeed(sent(watched))
    assert watched.out == []


def asks(watched: Watched) -> list[float]:
    return [ejection.asks_at for ejection in watched.detector.out.values() if ejection.asks_at is not None]


def test_a_probe_that_would_come_sooner_is_left_as_it_is() -> None:
    watched = outage(10, 5)
    before = asks(watched)
    watched.rest(min(before) - watched.now)
    succeed(sent(watched))
    assert set(asks(watched)) == set(before) - {min(before)}


def test_probes_are_hurried_once_a_second_however_many_come_back() -> None:
    watched = outage(100, 50)
    for _ in range(8):
        watched.rest(10)
        while (probe := watched.detector.probe()) is not None:
            fail(probe)
    watched.rest(min(asks(watched)) - watched.now)
    succeed(sent(watched))
    hurried = asks(watched)
    assert max(hurried) <= watched.now + 1
    watched.rest(0.01)
    succeed(watched[watched.out[0]], 500)
    assert asks(watched) == hurried[1:]


def test_a_probe_under_way_is_not_hurried() -> None:
    watched = outage(10, 5)
    watched.rest(1)
    first, second = sent(watched), sent(watched)
    first.in_flight += 1
    succeed(second)
    while (probe := watched.detector.probe()) is not None:
        succeed(probe)
    watched.rest(5)
    assert (watched.out, watched.detector.wanted()) == ([watched.nodes.index(first.node)], False)


def test_a_suspects_probe_that_fails_after_its_release_is_not_sent_again_at_once() -> None:
    watched = outage(2, 1)
    watched.rest(1)
    probe = sent(watched)
    cancel(probe)
    probe.fail()
    assert not watched.detector.wanted()


def test_a_cancelled_probe_of_a_suspect_gives_the_place_to_the_next() -> None:
    watched = outage(2, 1)
    watched.rest(1)
    cancel(sent(watched))
    succeed(sent(watched))
    assert watched.out == []


def test_the_outage_is_over_when_less_than_half_are_suspects() -> None:
    watched = outage(10, 6)
    watched.remove(watched.nodes[:2])
    assert (watched.detector.suspended, len(watched.out)) == (True, 4)
    watched.remove(watched.nodes[:1])
    assert (watched.detector.suspended, len(watched.out)) == (False, 3)


# In panic


def test_in_panic_the_success_of_one_suspect_brings_all_back_with_empty_counters() -> None:
    watched = outage(10, 10)
    watched.rest(5)
    fail(watched[3], 10)
    succeed(watched[3])
    assert watched.out == []
    assert not watched.detector.suspended
    for node in watched.nodes:
        fail(node, 4)
    assert watched.out == []


def test_in_panic_the_success_of_a_probe_is_as_good() -> None:
    watched = outage(10, 10)
    watched.rest(1)
    succeed(sent(watched))
    assert watched.out == []


def test_a_request_that_began_before_the_outage_does_not_end_it() -> None:
    """Of three under way, three outcomes may be late ones, whatever they are; the fourth is not."""
    watched = Watched(10)
    slow = watched[3]
    slow.in_flight = 3
    for node in watched.nodes:
        fail(node, 5)
    for _ in range(3):
        slow.succeed()
        slow.in_flight -= 1
        assert 3 in watched.out
    succeed(slow)
    assert watched.out == []


def test_in_panic_a_suspect_that_never_failed_in_a_row_is_heard_too() -> None:
    watched = Watched(4)
    for node in watched.nodes[:3]:
        fail(node, 60, throttled=True)
    succeed(watched[3], 60)
    watched.rest(10)
    assert watched.out == [0, 1, 2]
    succeed(watched[1])
    assert watched.out == []


def test_without_panic_only_the_suspect_itself_comes_back() -> None:
    """Another pool of the target, which detects nothing, sends it requests."""
    watched = outage(10, 5)
    succeed(watched[0], 2)
    assert watched.out == [1, 2, 3, 4]


def test_with_a_threshold_of_zero_there_is_no_panic() -> None:
    watched = outage(10, 10, OutlierDetection(panic_threshold=0))
    watched.rest(1)
    succeed(sent(watched))
    assert len(watched.out) == 9


def test_in_panic_one_that_is_ejected_stays_so() -> None:
    watched = Watched(10)
    fail(watched[9], 5)
    watched.rest(20)
    for node in watched.nodes[:9]:
        fail(node, 5)
    succeed(watched[0], 2)
    succeed(watched[9], 2)
    assert watched.out == [9]


# Simulated


@pytest.mark.parametrize("answer", [False, None], ids=["refused", "hanging"])
def test_a_total_outage_is_met_with_no_more_requests_and_over_at_once(answer: bool | None) -> None:
    """500 requests/s on 10 backends, all of which fail for 10 s."""
    service = Service(10, lambda _, now: answer if 5 <= now < 15 else True, rate=500)
    service.run(20)
    assert max(service.attempts.values()) <= 1.25 * 50
    assert all(done.answered for done in service.done if done.began >= 15)
    assert {service.attempts[backend, second] for backend in range(10) for second in (17, 18, 19)} == {50}
    assert service.watched.out == []
    assert sum(node.in_flight for node in service.watched.nodes) == 0


def test_half_that_hangs_costs_a_timeout_seldom_and_nothing_after() -> None:
    service = Service(10, lambda backend, now: None if backend < 5 and 5 <= now < 45 else True, rate=500)
    service.run(60)
    late = sorted(done.took for done in service.done if 15 <= done.began < 45)
    assert late[int(0.99 * len(late))] <= 2 * ANSWER
    assert late[-1] <= PER_TRY_TIMEOUT + 2 * ANSWER
    assert all(done.answered for done in service.done if done.began >= 7)  # before, the budget was spent
    probes = sum(service.attempts[backend, second] for backend in range(5) for second in range(15, 45))
    assert 5 * 3 <= probes <= 5 * 7
    assert {service.attempts[backend, 59] for backend in range(10)} == {50}


def test_one_of_ten_that_fails_at_once_is_seen_by_next_to_nobody_after_the_first_second() -> None:
    service = Service(10, lambda backend, now: not (backend == 3 and now >= 5), rate=500)
    service.run(65)
    assert all(done.answered for done in service.done)
    seen = sum(done.attempts > 1 for done in service.done if done.began >= 6)
    assert 1 <= seen <= 0.0005 * 500 * 59


def test_one_of_two_that_fails_leaves_all_to_the_other_but_for_its_probes() -> None:
    service = Service(2, lambda backend, now: bool(backend) or now < 5, rate=100)
    service.run(65)
    assert all(done.answered for done in service.done)
    assert sum(service.attempts[0, second] for second in range(6, 65)) <= 14


def test_backends_that_fail_half_of_their_requests_are_all_used() -> None:
    """A row of five comes by chance; whoever is out for it is soon back."""
    turns = iter(range(10**9))
    service = Service(10, lambda _, __: (next(turns) * 0.618034) % 1 < 0.5, rate=500)
    service.run(30)
    loads = [sum(service.attempts[backend, second] for second in range(30)) for backend in range(10)]
    assert min(loads) > 0.5 * sum(loads) / 10
