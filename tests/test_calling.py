"""One call: its attempts, the pauses between them, and what it ends with."""

import asyncio
import itertools
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import attrs
import pytest

from discovery.attempts import Attempt, Rules, Unwanted
from discovery.balancing import Node
from discovery.calling import call
from discovery.errors import DeadlineExceeded, NoBackends, Overloaded, RetriesExhausted
from discovery.events import Event
from discovery.lease import Lease
from discovery.model import Backend
from discovery.retrying import LONGEST_WAIT, Budget, Outcome, RetryBudget, RetryPolicy, classify
from discovery.retrying.delay import BASE, CAP

from . import virtual

T = TypeVar("T")

UNSENT = ConnectionRefusedError(111, "refused")
SENT = ConnectionResetError(104, "reset")


class Widest(random.Random):
    """Every draw is the largest there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


def rules(
    attempts: int = 3,
    *,
    far: str = "",
    emit: Callable[[Event], object] = lambda _: None,
    budget: Budget | None = None,
    discard: Callable[[Any], Any] = lambda _: None,
    **policy: Any,
) -> Rules:
    return Rules(
        policy=RetryPolicy(attempts=attempts, **policy),
        judge=classify,
        rng=Widest(),
        emit=emit,  # type: ignore[arg-type]
        clock=lambda: asyncio.get_running_loop().time(),
        name="test://web",
        far=far,
        budget=budget,
        discard=discard,
    )


@attrs.define
class Backends:
    """Numbered ones, each picked once; what was to be kept away from, at each pick."""

    made: int = 0
    avoided: list[list[int]] = attrs.field(factory=list)
    leases: list[Lease] = attrs.field(factory=list)

    def pick(self) -> Lease:
        node = Node(Backend(address="10.0.0.1", port=self.made + 1))
        self.made += 1
        node.in_flight += 1
        self.leases.append(Lease(node))
        return self.leases[-1]

    def pick_other(self, tried: Sequence[Node]) -> Lease:
        self.avoided.append([node.backend.port for node in tried])
        return self.pick()

    @property
    def in_flight(self) -> int:
        return sum(lease.node.in_flight for lease in self.leases)


def failing(*errors: BaseException) -> Attempt[int]:
    """Fails with these errors in turn, then says at which backend it is."""
    left = list(errors)

    async def attempt(lease: Lease, _number: int) -> int:
        with lease:
            if left:
                raise left.pop(0)
            return lease.backend.port

    return attempt


async def made(backends: Backends, *errors: BaseException, idempotent: bool = True, by: Rules | None = None) -> int:
    return await run(failing(*errors), backends, by or rules(), idempotent=idempotent)


async def run(attempt: Attempt[T], backends: Backends, by: Rules, *, idempotent: bool = True) -> T:
    return await call(attempt, backends.pick(), backends.pick_other, idempotent=idempotent, rules=by, end=by.end())


class Answers:
    """What a server answers with, each a status; and which of them have been discarded, and when."""

    def __init__(self, *statuses: int, retry_after: float | None = None) -> None:
        self.left = list(statuses)
        self.retry_after = retry_after
        self.discarded: list[tuple[float, int]] = []
        self.times: list[float] = []

    async def attempt(self, lease: Lease, number: int) -> int:
        self.times.append(asyncio.get_running_loop().time())
        with lease:
            status = self.left.pop(0)
        if status != 200:
            raise Unwanted(status, status=status, retry_after=self.retry_after)
        return status

    def discard(self, answer: int) -> None:
        self.discarded.append((asyncio.get_running_loop().time(), answer))


# Attempts


@pytest.mark.parametrize("attempts", [1, 2, 3, 7])
async def test_there_are_as_many_attempts_as_the_policy_says_each_away_from_all_before(attempts: int) -> None:
    backends = Backends()
    with pytest.raises(RetriesExhausted) as caught:
        await made(backends, *[UNSENT] * 99, by=rules(attempts))
    assert (caught.value.attempts, caught.value.__cause__) == (attempts, UNSENT)
    assert backends.avoided == [list(range(1, number + 1)) for number in range(1, attempts)]


@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_the_first_success_is_what_the_call_returns(failures: int) -> None:
    backends = Backends()
    assert await made(backends, *[SENT] * failures) == failures + 1
    assert backends.made == failures + 1


@pytest.mark.parametrize(
    ("errors", "idempotent"),
    [
        ([SENT], False),
        ([UNSENT, SENT], False),
        ([ValueError("a bug")], True),
        ([UNSENT, SENT, ValueError("a bug")], True),
    ],
)
async def test_what_another_attempt_could_not_mend_is_raised_as_it_is(
    errors: list[Exception], idempotent: bool
) -> None:
    backends = Backends()
    with pytest.raises(Exception) as caught:  # noqa: PT011
        await made(backends, *errors, idempotent=idempotent)
    assert caught.value is errors[-1]
    assert backends.made == len(errors)


@pytest.mark.parametrize("problem", [NoBackends("all are gone"), Overloaded("too many"), RuntimeError("closed")])
async def test_where_nothing_is_left_to_pick_the_call_ends_as_its_last_attempt_did(problem: Exception) -> None:
    backends, cause = Backends(), ValueError("why")
    failure = ConnectionResetError(104, "reset")
    failure.__cause__ = cause

    def nothing(_: Sequence[Node]) -> Lease:
        raise problem

    with pytest.raises(ConnectionResetError) as caught:
        await call(failing(failure), backends.pick(), nothing, idempotent=True, rules=rules(), end=None)
    assert caught.value is failure
    assert failure.__cause__ is cause  # nothing of it has been changed
    answer = await call(Answers(503).attempt, backends.pick(), nothing, idempotent=True, rules=rules(), end=None)
    assert answer == 503


def test_where_the_answer_was_discarded_before_a_pause_the_pick_says_what_is_wrong() -> None:
    async def scene() -> None:
        backends, answers = Backends(), Answers(503, retry_after=1.0)

        def nothing(_: Sequence[Node]) -> Lease:
            raise NoBackends("all are gone")

        by = rules(discard=answers.discard)
        with pytest.raises(NoBackends, match="all are gone"):
            await call(answers.attempt, backends.pick(), nothing, idempotent=True, rules=by, end=None)
        assert len(answers.discarded) == 1

    virtual.run(scene())


@pytest.mark.parametrize(
    ("attempts", "error", "far", "says"),
    [
        (
            1,
            UNSENT,
            "",
            "test://web: the one attempt failed with ConnectionRefusedError: [Errno 111] refused.",
        ),
        (3, SENT, "", "test://web: each of 3 attempts failed, the last with ConnectionResetError: [Errno 104] reset."),
        (2, UNSENT, "", "pool.explain()"),
        (2, UNSENT, "Use node-port://web", "refused. Use node-port://web"),
        (2, SENT, "Use node-port://web", "Look at the backends with pool.explain()"),
    ],
)
def test_exhausted_retries_say_how_many_the_last_error_and_what_to_do(
    attempts: int, error: Exception, far: str, says: str
) -> None:
    exhausted = rules(attempts, far=far).exhausted(error)
    assert says in str(exhausted)
    assert exhausted.attempts == attempts
    assert (exhausted.next_step == far) is (error is UNSENT and bool(far))


async def test_each_attempt_that_is_tried_again_is_told_of_with_its_number_and_error() -> None:
    events: list[Event] = []
    with pytest.raises(RetriesExhausted):
        await made(Backends(), UNSENT, SENT, UNSENT, by=rules(emit=events.append))
    assert events == [
        Event("call.retried", "test://web", {"attempt": 1, "error": repr(UNSENT), "delay": 0.0}),
        Event("call.retried", "test://web", {"attempt": 2, "error": repr(SENT), "delay": 2 * BASE}),
    ]


# Pauses


def test_the_first_retry_is_at_once_and_the_pauses_after_it_double_up_to_a_limit() -> None:
    async def scene() -> list[float]:
        loop, times = asyncio.get_running_loop(), list[float]()

        async def attempt(lease: Lease, _number: int) -> None:
            with lease:
                times.append(loop.time())
                raise UNSENT

        backends = Backends()
        with pytest.raises(RetriesExhausted):
            await run(attempt, backends, rules(8))
        return [after - before for before, after in itertools.pairwise(times)]

    pauses = virtual.run(scene())
    assert pauses == pytest.approx([0, 2 * BASE, 4 * BASE, 8 * BASE, CAP, CAP, CAP], abs=1e-6)


# Answers that ask for another attempt


async def test_an_unwanted_answer_is_tried_again_and_the_first_that_will_do_is_returned() -> None:
    answers, backends, events = Answers(503, 502, 200), Backends(), list[Event]()
    assert await run(answers.attempt, backends, rules(emit=events.append, discard=answers.discard)) == 200
    assert [answer for _, answer in answers.discarded] == [503, 502]
    assert [event.data["status"] for event in events] == [503, 502]


async def test_when_all_answers_are_unwanted_the_last_is_returned_and_only_it_is_kept() -> None:
    answers, backends = Answers(503, 502, 504), Backends()
    assert await run(answers.attempt, backends, rules(discard=answers.discard)) == 504
    assert [answer for _, answer in answers.discarded] == [503, 502]
    assert backends.made == 3


async def test_an_unwanted_answer_to_what_may_not_be_done_twice_is_the_answer() -> None:
    answers, backends = Answers(503, 200), Backends()
    assert await run(answers.attempt, backends, rules(discard=answers.discard), idempotent=False) == 503
    assert (backends.made, answers.discarded) == (1, [])


async def test_an_answer_after_an_error_and_an_error_after_an_answer_end_as_the_last_did() -> None:
    left: list[Exception] = [SENT, Unwanted("busy", status=503), Unwanted("busy", status=503), SENT]

    async def attempt(lease: Lease, _number: int) -> str:
        with lease:
            raise left.pop(0)

    assert await run(attempt, Backends(), rules(2)) == "busy"
    with pytest.raises(RetriesExhausted) as caught:
        await run(attempt, Backends(), rules(2))
    assert caught.value.__cause__ is SENT


def test_an_unwanted_answer_holds_nothing_while_the_call_waits() -> None:
    async def scene() -> Answers:
        answers = Answers(503, 503, 503, 200)
        assert await run(answers.attempt, Backends(), rules(4, discard=answers.discard)) == 200
        return answers

    answers = virtual.run(scene())
    discarded = [time for time, _ in answers.discarded]
    assert discarded == pytest.approx(answers.times[:3], abs=1e-6)
    assert answers.times[3] - answers.times[2] > 0


async def test_an_answer_that_cannot_be_discarded_does_not_end_the_call() -> None:
    def discard(_: object) -> None:
        raise OSError("broken")

    async def discarding(_: object) -> None:
        raise OSError("broken")

    for by in (rules(discard=discard), rules(discard=discarding)):
        backends = Backends()
        assert await run(Answers(503, 200).attempt, backends, by) == 200
        assert backends.made == 2


async def test_each_attempt_knows_its_number() -> None:
    numbers: list[int] = []

    async def attempt(lease: Lease, number: int) -> None:
        numbers.append(number)
        with lease:
            raise UNSENT

    with pytest.raises(RetriesExhausted):
        await run(attempt, Backends(), rules(4))
    assert numbers == [1, 2, 3, 4]


# What a server asks for


@pytest.mark.parametrize("asked", [0.0, 0.5, 7.0, LONGEST_WAIT])
def test_the_wait_that_was_asked_for_replaces_one_pause(asked: float) -> None:
    async def scene() -> list[float]:
        answers = Answers(503, 200, retry_after=asked)
        assert await run(answers.attempt, Backends(), rules()) == 200
        return answers.times

    first, second = virtual.run(scene())
    assert second - first == pytest.approx(asked, abs=1e-6)


def test_the_wait_that_was_asked_for_is_of_that_answer_only() -> None:
    async def scene() -> list[float]:
        left = [Unwanted(503, retry_after=5.0), Unwanted(503), None]
        times: list[float] = []

        async def attempt(lease: Lease, _number: int) -> int:
            times.append(asyncio.get_running_loop().time())
            lease.release()
            unwanted = left.pop(0)
            if unwanted is not None:
                raise unwanted
            return 200

        assert await run(attempt, Backends(), rules()) == 200
        return [after - before for before, after in itertools.pairwise(times)]

    assert virtual.run(scene()) == pytest.approx([5.0, 2 * BASE], abs=1e-6)


@pytest.mark.parametrize(("asked", "deadline"), [(LONGEST_WAIT + 1, None), (5.0, 4.0), (5.0, 5.0)])
def test_a_wait_that_is_too_long_is_not_begun_and_the_answer_stands(asked: float, deadline: float | None) -> None:
    async def scene() -> None:
        loop, answers, backends = asyncio.get_running_loop(), Answers(503, 200, retry_after=asked), Backends()
        spent = Budget(RetryBudget(), loop.time)
        began = loop.time()
        by = rules(discard=answers.discard, budget=spent, deadline=deadline)
        assert await run(answers.attempt, backends, by) == 503
        assert loop.time() == pytest.approx(began, abs=1e-6)
        assert (backends.made, answers.discarded, spent.balance) == (1, [], 10)

    virtual.run(scene())


# The budget


async def test_each_call_is_deposited_once_and_each_retry_withdrawn() -> None:
    clock = asyncio.get_running_loop().time
    paid = Budget(RetryBudget(ratio=1, minimum_per_second=0), clock)
    by = rules(3, budget=paid)
    for _ in range(5):
        await made(Backends(), by=by)
    assert paid.balance == 5
    await made(Backends(), SENT, by=by)
    assert paid.balance == 5
    await made(Backends(), SENT, SENT, by=by)
    assert paid.balance == 4


async def test_what_the_budget_refuses_ends_as_it_is_at_once() -> None:
    events: list[Event] = []
    clock = asyncio.get_running_loop().time
    by = rules(3, budget=Budget(RetryBudget(ratio=0, minimum_per_second=0), clock), emit=events.append)
    backends = Backends()
    with pytest.raises(ConnectionResetError) as caught:
        await made(backends, SENT, by=by)
    assert caught.value is SENT
    answers = Answers(503, 200)
    assert await run(answers.attempt, backends, attrs.evolve(by, discard=answers.discard)) == 503
    assert (backends.made, answers.discarded) == (2, [])
    assert events == [
        Event("call.refused", "test://web", {"attempt": 1, "error": repr(SENT)}),
        Event("call.refused", "test://web", {"attempt": 1, "status": 503}),
    ]


async def test_a_last_attempt_and_an_error_that_is_final_cost_no_budget() -> None:
    clock = asyncio.get_running_loop().time
    kept = Budget(RetryBudget(ratio=0, minimum_per_second=1), clock)
    for error, by in ((SENT, rules(1, budget=kept)), (ValueError("a bug"), rules(3, budget=kept))):
        with pytest.raises((RetriesExhausted, ValueError)):
            await made(Backends(), error, by=by)
    assert kept.balance == 1


# The deadline


def slow(seconds: float, by: Rules, end: float | None, *, then: BaseException | None = None) -> Attempt[str]:
    """Takes so long, within its limit; then fails or answers."""

    async def attempt(lease: Lease, _number: int) -> str:
        with lease:
            async with asyncio.timeout_at(by.limit(end)):
                await asyncio.sleep(seconds)
                if then is not None:
                    raise then
                return "answered"

    return attempt


@pytest.mark.parametrize(
    ("takes", "per_try", "attempts"), [(60.0, None, 1), (60.0, 0.4, 3), (60.0, 0.998, 2), (60.0, 0.9995, 1)]
)
def test_a_deadline_bounds_all_attempts_and_pauses(takes: float, per_try: float | None, attempts: int) -> None:
    async def scene() -> None:
        loop, backends = asyncio.get_running_loop(), Backends()
        by = rules(5, deadline=1.0, per_try_timeout=per_try)
        began, end = loop.time(), by.end()
        with pytest.raises(DeadlineExceeded) as caught:
            await call(slow(takes, by, end), backends.pick(), backends.pick_other, idempotent=True, rules=by, end=end)
        assert began + 0.999 <= loop.time() <= began + 1.001
        assert isinstance(caught.value, TimeoutError)
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert (backends.made, backends.in_flight) == (attempts, 0)
        assert all(lease.went is False for lease in backends.leases)  # they did not answer in time

    virtual.run(scene())


def test_a_call_in_time_knows_nothing_of_its_deadline() -> None:
    async def scene() -> None:
        by = rules(deadline=1.0)
        end = by.end()
        backends = Backends()
        attempt = slow(0.9, by, end)
        assert (
            await call(attempt, backends.pick(), backends.pick_other, idempotent=True, rules=by, end=end) == "answered"
        )

    virtual.run(scene())


def test_no_pause_is_begun_that_would_not_end_before_the_deadline() -> None:
    async def scene() -> None:
        loop, backends = asyncio.get_running_loop(), Backends()
        by = rules(9, deadline=0.5 + BASE)
        began, end = loop.time(), by.end()
        attempt = slow(0.25, by, end, then=SENT)
        with pytest.raises(ConnectionResetError) as caught:
            await call(attempt, backends.pick(), backends.pick_other, idempotent=True, rules=by, end=end)
        assert caught.value is SENT
        assert loop.time() == pytest.approx(began + 0.5, abs=1e-3)
        assert backends.made == 2

    virtual.run(scene())


def test_what_is_final_is_raised_as_it_is_though_the_time_is_over() -> None:
    async def scene() -> None:
        backends, bug = Backends(), ValueError("a bug")
        by = rules(deadline=0.1)

        async def attempt(lease: Lease, _number: int) -> None:
            with lease:
                await asyncio.sleep(0.2)
                raise bug

        with pytest.raises(ValueError, match="a bug"):
            await run(attempt, backends, by)

    virtual.run(scene())


def test_an_answer_that_came_stands_though_the_time_is_over() -> None:
    async def scene() -> None:
        async def attempt(lease: Lease, _number: int) -> str:
            lease.release()
            await asyncio.sleep(0.2)
            raise Unwanted("busy", status=503)

        assert await run(attempt, Backends(), rules(deadline=0.1)) == "busy"

    virtual.run(scene())


def test_a_deadline_that_has_passed_says_when_and_with_what() -> None:
    late = rules().too_late(ConnectionResetError(104, "reset"), 2)
    assert "test://web: the deadline of the call passed in attempt 2, with ConnectionResetError" in str(late)
    assert "in its one attempt, with TimeoutError." in str(rules().too_late(TimeoutError(), 1))


async def test_no_deadline_sets_no_timer() -> None:
    loop: Any = asyncio.get_running_loop()
    before = len(loop._scheduled)
    by = rules()
    assert by.end() is None
    assert by.limit(None) is None
    await made(Backends(), by=by)
    assert len(loop._scheduled) == before


# Many at once


async def test_fifty_calls_at_once_by_the_same_rules_each_have_their_own_attempts() -> None:
    events: list[Event] = []
    by = rules(4, emit=events.append)

    async def one(number: int) -> tuple[int, str]:
        backends, failures = Backends(), number % 5
        left = failures

        async def attempt(lease: Lease, _number: int) -> int:
            nonlocal left
            with lease:
                await asyncio.sleep(0)
                if left:
                    left -= 1
                    raise ConnectionResetError(104, f"of {number}")
                return number

        try:
            result = await run(attempt, backends, by)
        except RetriesExhausted as error:
            return backends.made, f"exhausted {str(error.__cause__).rpartition(' ')[2]}"
        return backends.made, f"done {result}"

    came = await asyncio.gather(*map(one, range(50)))
    assert came == [(4, f"exhausted {n}") if n % 5 == 4 else (n % 5 + 1, f"done {n}") for n in range(50)]
    assert len(events) == 10 * (0 + 1 + 2 + 3 + 3)


# Being cancelled


@pytest.mark.parametrize("where", ["the first attempt", "the second attempt", "the pause before the third"])
async def test_a_cancellation_ends_the_call_at_once_wherever_it_is(where: str) -> None:
    backends, reached = Backends(), asyncio.Event()

    async def attempt(lease: Lease, _number: int) -> None:
        with lease:
            if (where, backends.made) in (("the first attempt", 1), ("the second attempt", 2)):
                reached.set()
                await asyncio.Event().wait()
            if backends.made == 2:
                reached.set()
            raise UNSENT

    calling = asyncio.create_task(run(attempt, backends, rules(3)), name=where)
    await reached.wait()
    made = backends.made
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert backends.made == made
    assert backends.in_flight == 0


@pytest.mark.parametrize("kind", [asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_what_ends_a_program_or_a_task_is_never_tried_again(kind: type[BaseException]) -> None:
    backends, by = Backends(), attrs.evolve(rules(), judge=lambda _: Outcome.UNSENT)
    for errors in ([kind()], [SENT, kind()]):
        with pytest.raises(kind) as caught:
            await made(backends, *errors, by=by)
        assert caught.value is errors[-1]
    assert (backends.made, backends.in_flight) == (3, 0)


async def test_a_cancellation_while_an_answer_is_discarded_gives_the_next_lease_back() -> None:
    backends, reached = Backends(), asyncio.Event()

    async def discard(_: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    calling = asyncio.create_task(run(Answers(503, 200).attempt, backends, rules(discard=discard)))
    await reached.wait()
    assert (backends.made, backends.in_flight) == (2, 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (backends.in_flight, backends.leases[1].went) == (0, None)


# What it costs


LOADED = """
import asyncio, sys
from discovery import Discovery, RetriesExhausted, RetryPolicy

async def fine(backend):
    return backend.port

async def refused(backend):
    raise ConnectionRefusedError(111, "refused")

async def main():
    async with Discovery() as disco:
        pool = disco.pool("static://127.0.0.1:1,127.0.0.1:2")
        once = disco.pool("static://127.0.0.1:1", retry=RetryPolicy(attempts=1))
        await pool.ready(5)
        await pool.call(fine)
        try:
            await once.call(refused)
        except RetriesExhausted:
            pass
        print("tenacity" in sys.modules)
        try:
            await pool.call(refused)
        except RetriesExhausted:
            pass
        print("tenacity" in sys.modules)

asyncio.run(main())
"""


def test_tenacity_comes_in_with_the_first_retry_and_not_before() -> None:
    done: Any = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    assert (done.stdout.split(), done.stderr) == (["False", "True"], "")
