"""One call: the first attempt, and those after it.

The first runs bare. Only when it has failed, and may be tried again, does tenacity come in for the rest: who may be
picked, what the failure means and how long to wait are ours to say, the loop of attempts is its.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from .balancing import Node
from .errors import RetriesExhausted
from .events import Event, Hook
from .lease import Lease
from .retrying import Outcome, RetryPolicy, delay, retriable

T = TypeVar("T")
PickOther = Callable[[Sequence[Node]], Lease]
"""Picks anew, away from the backends that were tried."""


async def call(
    attempt: Callable[[Lease], Awaitable[T]],
    first: Lease,
    pick_other: PickOther,
    *,
    policy: RetryPolicy,
    idempotent: bool,
    judge: Callable[[BaseException], Outcome],
    rng: random.Random,
    emit: Hook,
    name: str,
    far: str = "",
) -> T:
    """Run `attempt` on the first lease, and on others while it fails and may be tried again.

    The attempt releases its lease, whatever happens. `far` is what to advise where no connection could be made.

    Raises:
        RetriesExhausted: every attempt failed in a way that allows another; from the last error.
        Exception: what the last attempt raised, where no other attempt could have helped.
    """
    try:
        return await attempt(first)
    except Exception as error:
        if not retriable(judge(error), idempotent=idempotent):
            raise
        if policy.attempts == 1:
            raise exhausted(name, 1, error, judge(error), far) from error
        emit(Event("call.retried", name, {"attempt": 1, "error": repr(error)}))
        tried = [first.node]

    async def again() -> T:
        lease = pick_other(tried)
        tried.append(lease.node)
        return await attempt(lease)

    def may_retry(error: BaseException) -> bool:
        return retriable(judge(error), idempotent=idempotent)

    from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

    retrying = AsyncRetrying(
        stop=stop_after_attempt(policy.attempts - 1),
        wait=lambda state: delay(state.attempt_number + 1, rng),
        retry=retry_if_exception(may_retry),
        after=lambda state: emit(Event("call.retried", name, {"attempt": state.attempt_number + 1})),
        reraise=True,
    )
    try:
        return await retrying(again)
    except Exception as error:
        if may_retry(error):
            raise exhausted(name, policy.attempts, error, judge(error), far) from error
        raise


def exhausted(name: str, attempts: int, error: BaseException, outcome: Outcome, far: str = "") -> RetriesExhausted:
    """The error for when nothing is left to try."""
    tries = "the one attempt" if attempts == 1 else f"each of {attempts} attempts"
    return RetriesExhausted(
        f"{name}: {tries} failed, the last with {type(error).__name__}: {error}",
        attempts=attempts,
        next_step=(outcome is Outcome.UNSENT and far) or "Look at the backends with pool.explain()",
    )
