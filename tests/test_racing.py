"""Hedging: the first answer that will do wins, and whatever the copies come to, nothing of the other is left behind."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.attempts import Rules, Unwanted
from discovery.balancing import Node
from discovery.balancing.outlier import Probe
from discovery.calling import call
from discovery.errors import DeadlineExceeded, NoBackends, RetriesExhausted
from discovery.events import Event
from discovery.lease import Lease
from discovery.model import Backend
from discovery.retrying import Budget, Hedging, Latencies, RetryBudget, RetryPolicy, classify
from discovery.retrying.hedging import ENOUGH

from . import virtual

USUAL = 0.010
"""Seconds that an answer takes, so that a hedge is sent right after."""

SENT = ConnectionResetError(104, "reset")
UNSENT = ConnectionRefusedError(111, "refused")
BUG = ValueError("a bug")


@attrs.frozen
class Way:
    """What an attempt does: takes so long, then raises, or answers with its number.

    Cancelled, it `lingers` for some seconds; a `deaf` one goes on as if its time were over.
    """

    seconds: float
    error: BaseException | None = None
    unwanted: bool = False
    deaf: bool = False
    lingers: float = 0.0


class Scene:
    """Backends of one target, the ways of the attempts in their order, and what is seen of them."""

    def __init__(self, *ways: Way, backends: int = 3, attempts: int = 3, **more: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.nodes = [Node(Backend(address="10.0.0.1", port=number)) for number in range(1, backends + 1)]
        self.ways = list(ways)
        self.began: list[tuple[float, int, int]] = []
        self.leases: list[Lease] = []
        self.ended: list[Lease] = []
        self.discarded: list[object] = []
        self.events: list[str] = []
        self.latencies = Latencies(Hedging(ratio=more.pop("ratio", 1)), self.loop.time)
        for _ in range(more.pop("known", ENOUGH)):
            self.latencies.observe(USUAL * 0.95)
        for _ in range(more.pop("saved", 20)):
            self.latencies.budget.deposit()
        self.rules = Rules(
            policy=RetryPolicy(attempts=attempts, deadline=more.pop("deadline", None)),
            judge=classify,
            rng=random.Random(1),
            emit=self._emit,
            clock=self.loop.time,
            name="test://web",
            latencies=self.latencies,
            discard=self.discarded.append,
            **more,
        )
        self.start = self.loop.time()

    def _emit(self, event: Event) -> None:
        self.events.append(event.name)

    def lease(self, node: Node) -> Lease:
        node.in_flight += 1
        self.leases.append(Lease(node, ended=self.ended.append))
        return self.leases[-1]

    def pick_other(self, tried: Sequence[Node]) -> Lease:
        ids = {node.backend.id for node in tried}
        others = [node for node in self.nodes if node.backend.id not in ids]
        return self.lease((others or self.nodes)[0])

    async def attempt(self, lease: Lease, number: int) -> int:
        self.began.append((round(self.loop.time() - self.start, 6), lease.backend.port, number))
        way = self.ways.pop(0)
        with lease:
            async with asyncio.timeout_at(self.rules.limit(self.end)):
                try:
                    await asyncio.sleep(way.seconds)
                except asyncio.CancelledError:
                    await asyncio.sleep(way.lingers)
                    if not way.deaf:
                        raise
                if way.error is not None:
                    raise way.error
                if not way.unwanted:
                    return number
        raise Unwanted(-number, status=503)

    async def call(self, *, idempotent: bool = True) -> int:
        self.end = self.rules.end()
        first = self.lease(self.nodes[0])
        return await call(self.attempt, first, self.pick_other, idempotent=idempotent, rules=self.rules, end=self.end)

    @property
    def took(self) -> float:
        return self.loop.time() - self.start

    def check_nothing_is_left(self) -> None:
        assert [node.in_flight for node in self.nodes] == [0] * len(self.nodes)
        assert len(self.ended) == len(self.leases)
        assert asyncio.all_tasks() == {asyncio.current_task()}


def play(*ways: Way, **more: Any) -> tuple[Scene, int]:
    """A call whose attempts go these ways: the scene afterwards, and the answer."""
    idempotent = more.pop("idempotent", True)

    async def scene() -> tuple[Scene, int]:
        played = Scene(*ways, **more)
        answer = await played.call(idempotent=idempotent)
        played.check_nothing_is_left()
        return played, answer

    return virtual.run(scene())


def play_out(kind: type[BaseException], *ways: Way, **more: Any) -> tuple[Scene, Any]:
    """The same, of one that raises."""

    async def scene() -> tuple[Scene, Any]:
        played = Scene(*ways, **more)
        with pytest.raises(kind) as caught:
            await played.call()
        played.check_nothing_is_left()
        return played, caught.value

    return virtual.run(scene())


# When a copy is sent


def test_an_answer_in_the_usual_time_has_no_copy() -> None:
    scene, answer = play(Way(0.009))
    assert (answer, len(scene.began), scene.events) == (1, 1, [])


def test_a_slow_answer_gets_a_copy_at_another_backend_and_the_first_answer_wins() -> None:
    scene, answer = play(Way(1.0), Way(0.005))
    assert answer == 2
    assert [port for _, port, _ in scene.began] == [1, 2]
    assert scene.began[1][0] == pytest.approx(USUAL, rel=0.1)
    assert scene.took == pytest.approx(USUAL + 0.005, rel=0.1)
    assert scene.events == ["hedge.sent", "hedge.won"]


def test_the_first_copy_may_still_win() -> None:
    scene, answer = play(Way(0.012), Way(1.0))
    assert (answer, scene.events) == (1, ["hedge.sent"])
    assert scene.took == pytest.approx(0.012, abs=1e-3)


@pytest.mark.parametrize(
    "more",
    [
        {"idempotent": False},
        {"backends": 1},
        {"attempts": 1},
        {"known": ENOUGH - 1},
        {"saved": 0, "ratio": 0.5},
        {"budget": "spent"},
    ],
)
def test_no_copy_is_sent_where_it_is_not_safe_useful_known_to_be_due_or_paid_for(more: dict[str, Any]) -> None:
    if "budget" in more:
        more = {"budget": Budget(RetryBudget(ratio=0, minimum_per_second=0), lambda: 0.0)}
    scene, answer = play(Way(1.0), **more)
    assert (answer, len(scene.began), scene.events) == (1, 1, [])
    assert all(node.failures == 0 for node in scene.nodes)


def test_a_copy_that_cannot_be_picked_leaves_the_first_alone() -> None:
    async def scene() -> None:
        played: Any = Scene(Way(1.0))

        def nothing(_: Sequence[Node]) -> Lease:
            raise NoBackends("gone")

        played.pick_other = nothing
        assert await played.call() == 1
        played.check_nothing_is_left()

    virtual.run(scene())


def test_no_copy_is_sent_when_the_time_is_over() -> None:
    scene, error = play_out(DeadlineExceeded, Way(1.0), deadline=USUAL)
    assert len(scene.began) == 1
    assert isinstance(error.__cause__, TimeoutError)


def test_a_copy_is_paid_for_from_both_budgets() -> None:
    async def scene() -> None:
        played = Scene(Way(1.0), Way(0.001), budget=Budget(RetryBudget(ratio=0), asyncio.get_running_loop().time))
        shared = played.rules.budget
        assert shared is not None
        own = played.latencies.budget.balance
        assert await played.call() == 2
        assert (played.latencies.budget.balance, shared.balance) == (own + 1 - 1, 9)

    virtual.run(scene())


# What becomes of the other


def test_the_loser_is_cancelled_and_that_is_neither_a_failure_nor_a_success() -> None:
    scene, _ = play(Way(1.0), Way(0.005))
    loser, winner = scene.leases
    assert (loser.went, winner.went) == (None, True)
    assert (loser.node.failures, loser.node.successes) == (0, 0)


def test_the_call_waits_for_a_loser_that_takes_its_time_to_end_and_its_answer_is_discarded() -> None:
    scene, answer = play(Way(1.0, deaf=True), Way(0.005))
    assert (answer, scene.discarded) == (2, [1])


def test_an_answer_that_will_do_beats_one_that_will_not_and_that_is_discarded() -> None:
    scene, answer = play(Way(0.012, unwanted=True), Way(0.02))
    assert (answer, scene.discarded) == (2, [-1])


@pytest.mark.parametrize("error", [SENT, UNSENT, TimeoutError(), EOFError()])
@pytest.mark.parametrize("failing", [0, 1])
def test_a_copy_that_fails_leaves_it_to_the_other(error: Exception, failing: int) -> None:
    ways = [Way(0.03), Way(0.03)]
    ways[failing] = Way(0.015, error)
    scene, answer = play(*ways)
    assert answer == 2 - failing
    assert [lease.went for lease in scene.leases] == [bool(failing), not failing]


def test_what_another_attempt_cannot_mend_ends_the_call_at_once() -> None:
    scene, error = play_out(ValueError, Way(1.0), Way(0.005, BUG))
    assert error is BUG
    assert scene.took < 0.1


def test_a_failure_before_the_copy_is_due_is_tried_again_as_ever() -> None:
    scene, answer = play(Way(0.001, SENT), Way(1.0))
    assert (answer, [number for *_, number in scene.began], scene.events) == (2, [1, 2], ["call.retried"])


def test_when_both_fail_there_are_as_many_attempts_more_as_the_policy_has() -> None:
    scene, answer = play(Way(0.02, SENT), Way(0.02, UNSENT), Way(0.001))
    assert answer == 3
    assert [port for _, port, _ in scene.began] == [1, 2, 3]


def test_when_all_fail_the_error_is_from_the_last() -> None:
    _, error = play_out(RetriesExhausted, Way(0.02, SENT), Way(0.02, UNSENT), Way(0.001, SENT))
    assert (error.attempts, error.__cause__) == (3, SENT)


def test_when_both_fail_and_there_is_no_attempt_left_the_first_failure_is_the_cause() -> None:
    _, error = play_out(RetriesExhausted, Way(0.02, SENT), Way(0.05, UNSENT), attempts=2)
    assert error.__cause__ is SENT


def test_when_both_answers_are_unwanted_one_is_returned_and_the_other_discarded() -> None:
    scene, answer = play(Way(0.02, unwanted=True), Way(0.05, unwanted=True), attempts=2)
    assert (answer, scene.discarded) == (-1, [-2])


def test_an_attempt_that_cancels_itself_cancels_the_call() -> None:
    play_out(asyncio.CancelledError, Way(0.001, asyncio.CancelledError()))


# Being cancelled


@pytest.mark.parametrize("when", [0.0, 0.005, USUAL, 0.02, 0.5])
def test_a_cancellation_from_outside_ends_every_copy(when: float) -> None:
    async def scene() -> None:
        played = Scene(Way(1.0), Way(1.0))
        calling = asyncio.create_task(played.call())
        await asyncio.sleep(when)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        played.check_nothing_is_left()
        assert [lease.went for lease in played.leases] == [None] * len(played.leases)

    virtual.run(scene())


def test_a_cancellation_while_a_loser_lingers_discards_the_answer_that_won() -> None:
    async def scene() -> None:
        played = Scene(Way(10.0, lingers=1.0), Way(0.005))
        calling = asyncio.create_task(played.call())
        await asyncio.sleep(0.5)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert played.discarded == [2]
        played.check_nothing_is_left()

    virtual.run(scene())


def test_a_copy_that_is_cancelled_before_it_begins_gives_its_lease_back() -> None:
    async def scene() -> None:
        played = Scene(Way(1.0))
        calling = asyncio.create_task(played.call())
        await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:  # as the end of a program does
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert played.began == []
        assert len(played.leases) == 1
        played.check_nothing_is_left()

    virtual.run(scene())


def test_a_cancellation_while_a_losers_answer_is_discarded_discards_the_winners_too() -> None:
    async def scene() -> None:
        played, going = Scene(Way(1.0, deaf=True), Way(0.005)), list[object]()

        async def discard(answer: object) -> None:
            going.append(answer)
            await asyncio.sleep(1)

        played.rules = attrs.evolve(played.rules, discard=discard)
        calling = asyncio.create_task(played.call())
        await asyncio.sleep(0.5)
        assert going == [1]
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert going == [1, 2]
        played.check_nothing_is_left()

    virtual.run(scene())


# What is learnt


def observed(scene: Scene) -> int:
    return scene.latencies._young.count + scene.latencies._old.count - ENOUGH


@pytest.mark.parametrize(
    ("ways", "times"),
    [
        ([Way(0.005)], 1),
        ([Way(0.02), Way(1.0)], 1),
        ([Way(1.0), Way(0.005)], 1),
        ([Way(0.001, SENT), Way(0.001)], 0),
        ([Way(0.02, SENT), Way(0.02)], 0),
    ],
)
def test_each_request_tells_once_how_long_its_first_copy_took_or_ran_until_it_lost(ways: list[Way], times: int) -> None:
    scene, _ = play(*ways)
    assert observed(scene) == times


# Always


ERRORS = st.sampled_from([None, None, SENT, UNSENT, BUG, EOFError(), asyncio.CancelledError()])
WAYS = st.builds(
    Way,
    seconds=st.sampled_from([0, 0.001, 0.009, USUAL, 0.011, 0.02, 0.5]),
    error=ERRORS,
    unwanted=st.booleans(),
    deaf=st.booleans(),
    lingers=st.sampled_from([0, 0, 0.02]),
)


@given(
    st.lists(st.lists(WAYS, min_size=5, max_size=5), min_size=1, max_size=4),
    st.lists(st.one_of(st.none(), st.sampled_from([0, 0.001, USUAL, 0.0105, 0.02, 0.03, 0.5])), min_size=4, max_size=4),
    st.integers(1, 3),
    st.integers(1, 5),
    st.sampled_from([None, 0.005, 0.015, 0.04]),
)
def test_whatever_comes_of_calls_their_hedges_and_cancellations_nothing_is_left(
    ways: list[list[Way]], cancelled: list[float | None], backends: int, attempts: int, deadline: float | None
) -> None:
    async def scene() -> None:
        played = [Scene(*each, backends=backends, attempts=attempts, deadline=deadline) for each in ways]
        for one in played[1:]:
            one.nodes = played[0].nodes  # all at the same backends
        calls = [asyncio.create_task(one.call()) for one in played]
        for calling, when in zip(calls, cancelled, strict=False):
            if when is not None:
                played[0].loop.call_later(when, calling.cancel)
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for one, outcome in zip(played, outcomes, strict=True):
            one.check_nothing_is_left()
            assert len(one.began) <= attempts
            answers = {number for *_, number in one.began} | {-number for *_, number in one.began}
            assert isinstance(outcome, BaseException) or outcome in answers
            assert outcome not in one.discarded
            assert len(one.discarded) == len(set(one.discarded))

    virtual.run(scene())


# What it is good for


def test_where_one_answer_in_a_hundred_is_slow_hedging_cuts_the_tail_for_a_few_more_requests() -> None:
    requests = 2_000

    async def tail(*, hedging: bool) -> tuple[float, int]:
        rng, loop = random.Random(5), asyncio.get_running_loop()
        played = Scene(known=0, saved=0, ratio=0.05, backends=10, budget=Budget(RetryBudget(), loop.time))
        rules = played.rules if hedging else attrs.evolve(played.rules, latencies=None)
        sent, times, left = 0, list[float](), iter(range(requests))

        def takes() -> float:
            return rng.expovariate(200) * (100 if rng.random() < 0.01 else 1)

        async def attempt(lease: Lease, _number: int) -> None:
            nonlocal sent
            sent += 1
            with lease:
                await asyncio.sleep(takes())

        async def client() -> None:
            for _ in left:
                began = loop.time()
                first = played.lease(rng.choice(played.nodes))
                await call(attempt, first, played.pick_other, idempotent=True, rules=rules, end=None)
                times.append(loop.time() - began)

        for _ in range(1_000):
            played.latencies.observe(takes())
        await asyncio.gather(*(client() for _ in range(10)))
        return sorted(times)[-requests // 1000], sent

    plain, _ = virtual.run(tail(hedging=False))
    hedged, sent = virtual.run(tail(hedging=True))
    assert hedged <= plain / 5
    assert requests * 1.005 < sent <= requests * 1.05


def test_no_copy_is_sent_to_the_backend_whose_probe_the_first_one_is() -> None:
    async def run() -> None:
        scene = Scene(Way(1.0), Way(USUAL), backends=1)
        probe = Probe(scene.nodes[0], lambda _probe, _went: None, scene.loop.time())
        scene.end = None
        first = scene.lease(probe)
        await call(scene.attempt, first, scene.pick_other, idempotent=True, rules=scene.rules, end=None)
        assert len(scene.began) == 1
        scene.check_nothing_is_left()

    virtual.run(run())
