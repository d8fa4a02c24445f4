"""One call: its attempts, the pauses between them, and what it ends with."""

import asyncio
import itertools
import random
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest

from discovery import Backend, Event, Lease, NoBackends, RetriesExhausted, RetryPolicy
from discovery.balancing import Node
from discovery.calling import Rules, call
from discovery.retrying import classify
from discovery.retrying.delay import BASE, CAP

from . import virtual

UNSENT = ConnectionRefusedError(111, "refused")
SENT = ConnectionResetError(104, "reset")


class Widest(random.Random):
    """Every draw is the largest there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


def rules(attempts: int = 3, *, far: str = "", emit: Callable[[Event], object] = lambda _: None) -> Rules:
    policy = RetryPolicy(attempts=attempts)
    return Rules(policy=policy, judge=classify, rng=Widest(), emit=emit, name="test://web", far=far)  # type: ignore[arg-type]


@attrs.define
class Backends:
    """Numbered ones, each picked once; what was to be kept away from, at each pick."""

    made: int = 0
    avoided: list[list[int]] = attrs.field(factory=list)

    def pick(self) -> Lease:
        node = Node(Backend(address="10.0.0.1", port=self.made + 1))
        self.made += 1
        node.in_flight += 1
        return Lease(node)

    def pick_other(self, tried: Sequence[Node]) -> Lease:
        self.avoided.append([node.backend.port for node in tried])
        return self.pick()


def failing(*errors: BaseException) -> Callable[[Lease], Awaitable[int]]:
    """Fails with these errors in turn, then says at which backend it is."""
    left = list(errors)

    async def attempt(lease: Lease) -> int:
        with lease:
            if left:
                raise left.pop(0)
            return lease.backend.port

    return attempt


async def made(backends: Backends, *errors: BaseException, idempotent: bool = True, by: Rules | None = None) -> int:
    return await call(
        failing(*errors), backends.pick(), backends.pick_other, idempotent=idempotent, rules=by or rules()
    )


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


async def test_when_nothing_is_left_to_pick_that_is_said() -> None:
    backends = Backends()

    def nothing(_: Sequence[Node]) -> Lease:
        raise NoBackends("all are gone")

    with pytest.raises(NoBackends, match="all are gone"):
        await call(failing(UNSENT), backends.pick(), nothing, idempotent=True, rules=rules())


@pytest.mark.parametrize(
    ("attempts", "error", "far", "says"),
    [
        (
            1,
            UNSENT,
            "",
            "test://web: the one attempt failed, the last with ConnectionRefusedError: [Errno 111] refused.",
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
        Event("call.retried", "test://web", {"attempt": 1, "error": repr(UNSENT)}),
        Event("call.retried", "test://web", {"attempt": 2, "error": repr(SENT)}),
    ]


# Pauses


def test_the_first_retry_is_at_once_and_the_pauses_after_it_double_up_to_a_limit() -> None:
    async def scene() -> list[float]:
        loop, times = asyncio.get_running_loop(), list[float]()

        async def attempt(lease: Lease) -> None:
            with lease:
                times.append(loop.time())
                raise UNSENT

        backends = Backends()
        with pytest.raises(RetriesExhausted):
            await call(attempt, backends.pick(), backends.pick_other, idempotent=True, rules=rules(8))
        return [after - before for before, after in itertools.pairwise(times)]

    pauses = virtual.run(scene())
    assert pauses == pytest.approx([0, 2 * BASE, 4 * BASE, 8 * BASE, CAP, CAP, CAP], abs=1e-6)


# Many at once


async def test_fifty_calls_at_once_by_the_same_rules_each_have_their_own_attempts() -> None:
    events: list[Event] = []
    by = rules(4, emit=events.append)

    async def one(number: int) -> tuple[int, str]:
        backends, failures = Backends(), number % 5
        left = failures

        async def attempt(lease: Lease) -> int:
            nonlocal left
            with lease:
                await asyncio.sleep(0)
                if left:
                    left -= 1
                    raise ConnectionResetError(104, f"of {number}")
                return number

        try:
            result = await call(attempt, backends.pick(), backends.pick_other, idempotent=True, rules=by)
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

    async def attempt(lease: Lease) -> None:
        with lease:
            if (where, backends.made) in (("the first attempt", 1), ("the second attempt", 2)):
                reached.set()
                await asyncio.Event().wait()
            if backends.made == 2:
                reached.set()
            raise UNSENT

    by = rules(3)
    calling = asyncio.create_task(
        call(attempt, backends.pick(), backends.pick_other, idempotent=True, rules=by), name=where
    )
    await reached.wait()
    made = backends.made
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert backends.made == made


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
