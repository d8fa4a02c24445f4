"""One call: the first attempt, and those after it.

The first runs bare. Only when it has failed, and may be tried again, does tenacity come in for the rest: who may be
picked, what the failure means and how long to wait are ours to say, the loop of attempts is its.
"""

import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import attrs

from .balancing import Node
from .errors import RetriesExhausted
from .events import Event, Hook
from .lease import Lease
from .retrying import Outcome, RetryPolicy, delay, retriable

T = TypeVar("T")
PickOther = Callable[[Sequence[Node]], Lease]
"""Picks anew, away from the backends that were tried."""


@attrs.frozen(kw_only=True)
class Rules:
    """What a caller's protocol and a pool say of attempts.

    `judge`: what an error means. `far`: what to advise where no connection could be made. `name`: of the target.
    """

    policy: RetryPolicy
    judge: Callable[[BaseException], Outcome]
    rng: random.Random
    emit: Hook
    name: str
    far: str = ""

    def allow(self, error: BaseException, *, idempotent: bool) -> bool:
        """Whether there may be another attempt after this error."""
        return retriable(self.judge(error), idempotent=idempotent)

    def exhausted(self, error: Exception) -> RetriesExhausted:
        """The error for when nothing is left to try."""
        attempts = self.policy.attempts
        unreached = self.judge(error) is Outcome.UNSENT and not isinstance(error, ssl.SSLError)
        tries = "the one attempt" if attempts == 1 else f"each of {attempts} attempts"
        return RetriesExhausted(
            f"{self.name}: {tries} failed, the last with {type(error).__name__}: {error}",
            attempts=attempts,
            next_step=(unreached and self.far) or "Look at the backends with pool.explain()",
        )


async def call(
    attempt: Callable[[Lease], Awaitable[T]], first: Lease, pick_other: PickOther, *, idempotent: bool, rules: Rules
) -> T:
    """Run `attempt` on the first lease, and on others while it fails and may be tried again.

    The attempt releases its lease, whatever happens.

    Raises:
        RetriesExhausted: every attempt failed in a way that allows another; from the last error.
        Exception: what the last attempt raised, where no other attempt could have helped.
    """
    try:
        return await attempt(first)
    except Exception as error:
        if not rules.allow(error, idempotent=idempotent):
            raise
        failed = error
    return await call_again(attempt, first.node, failed, pick_other, idempotent=idempotent, rules=rules)


async def call_again(
    attempt: Callable[[Lease], Awaitable[T]],
    first: Node,
    failed: Exception,
    pick_other: PickOther,
    *,
    idempotent: bool,
    rules: Rules,
) -> T:
    """The same from the second attempt on; the first `failed` at a backend in a way that allows another."""
    if rules.policy.attempts == 1:
        raise rules.exhausted(failed) from failed
    rules.emit(Event("call.retried", rules.name, {"attempt": 1, "error": repr(failed)}))
    tried = [first]

    async def again() -> T:
        try:
            lease = pick_other(tried)
        except RuntimeError:  # closed meanwhile: what the request met is the better answer
            raise failed from None
        tried.append(lease.node)
        return await attempt(lease)

    from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

    def retried(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        rules.emit(Event("call.retried", rules.name, {"attempt": state.attempt_number + 1, "error": repr(error)}))

    retrying = AsyncRetrying(
        stop=stop_after_attempt(rules.policy.attempts - 1),
        wait=lambda state: delay(state.attempt_number + 1, rules.rng),
        retry=retry_if_exception(lambda error: rules.allow(error, idempotent=idempotent)),
        before_sleep=retried,
        reraise=True,
    )
    try:
        return await retrying(again)
    except Exception as error:
        if rules.allow(error, idempotent=idempotent):
            raise rules.exhausted(error) from error
        raise
