"""What attempts of a call are made by: what an integration gives, and the rules of a pool.

An integration gives an `Attempt`, which makes one attempt at the backend of a lease:

- It releases the lease, whatever happens. That of an answer may go on until the answer has been read or discarded.
- It bounds itself by `rules.limit(end)`, inside the lease: a backend that does not answer in time has failed.
- It returns an answer that will do, raises `Unwanted` for one that asks for another attempt, else what went wrong.
- It is given its number, from 1: the server is told of it from 2 on.
"""

import inspect
import random
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import attrs

from . import caller
from .balancing import Node
from .errors import DeadlineExceeded, RetriesExhausted
from .events import Hook
from .lease import Lease
from .retrying import Budget, Latencies, Outcome, RetryPolicy, retriable

T = TypeVar("T")
Attempt = Callable[[Lease, int], Awaitable[T]]
"""Makes the attempt of this number at the backend of the lease."""

PickOther = Callable[[Sequence[Node]], Lease]
"""Picks anew, away from the backends that were tried."""

NO_TIME = 0.001
"""Seconds before a deadline in which nothing is begun any more."""


class Unwanted(Exception):
    """An answer came, and asks for another attempt, such as HTTP 503.

    `answer` is what the call returns where there is no other attempt; where there is one, it is discarded before.
    `status` is for telemetry. `retry_after`: seconds to wait, if the answer says so.
    """

    def __init__(self, answer: Any, *, status: int = 0, retry_after: float | None = None) -> None:
        super().__init__(f"status {status}")
        self.answer = answer
        self.status = status
        self.retry_after = retry_after


def forget(_answer: object) -> None:
    """To discard an answer that holds nothing."""


@attrs.frozen(kw_only=True)
class Rules:
    """What a caller's protocol and a pool say of attempts.

    `judge`: what an error means. `discard`: lets go of an answer that nobody will read; an error in it is passed over.
    `clock`: the event loop's. `far`: what to advise where no connection could be made. `name`: of the target.
    `latencies`: where hedges are wanted.
    """

    policy: RetryPolicy
    judge: Callable[[BaseException], Outcome]
    rng: random.Random
    emit: Hook
    clock: Callable[[], float]
    name: str
    far: str = ""
    budget: Budget | None = None
    latencies: Latencies | None = None
    discard: Callable[[Any], Awaitable[object] | None] = forget

    def end(self) -> float | None:
        """When a call that begins now must be over, by the loop's clock; None if nobody set a deadline.

        Raises:
            DeadlineExceeded: it must be over already, so there is nothing to begin, nor to pick.
        """
        asked = caller.current()
        if asked is None and self.policy.deadline is None:
            return None
        ends = [] if self.policy.deadline is None else [self.clock() + self.policy.deadline]
        if asked is not None and asked.deadline is not None:
            ends.append(asked.deadline)
        end = min(ends, default=None)
        if self.over(end):
            raise DeadlineExceeded(
                f"{self.name}: no time was left to make a call", next_step="Give a longer deadline, or begin earlier"
            )
        return end

    def limit(self, end: float | None) -> float | None:
        """When an attempt that begins now must be over: by `per_try_timeout`, and by the end of the call."""
        if self.policy.per_try_timeout is None:
            return end
        limit = self.clock() + self.policy.per_try_timeout
        return limit if end is None else min(limit, end)

    def over(self, end: float | None, wait: float = 0.0) -> bool:
        """Whether there is no time for another attempt, after so many seconds of waiting."""
        return end is not None and self.clock() + wait >= end - NO_TIME

    def allow(self, error: BaseException, *, idempotent: bool) -> bool:
        """Whether there may be another attempt after this error, as far as it alone decides."""
        if isinstance(error, Unwanted):
            return idempotent
        return isinstance(error, Exception) and retriable(self.judge(error), idempotent=idempotent)

    async def let_go(self, answer: Any) -> None:
        """Discard an answer."""
        with suppress(Exception):
            going = self.discard(answer)
            if inspect.isawaitable(going):
                await going

    def exhausted(self, error: Exception) -> RetriesExhausted:
        """The error for when nothing is left to try."""
        attempts = self.policy.attempts
        unreached = self.judge(error) is Outcome.UNSENT and not isinstance(error, ssl.SSLError)
        tries = "the one attempt failed" if attempts == 1 else f"each of {attempts} attempts failed, the last"
        return RetriesExhausted(
            f"{self.name}: {tries} with {type(error).__name__}{_said(error)}",
            attempts=attempts,
            next_step=(unreached and self.far) or "Look at the backends with pool.explain()",
        )

    def too_late(self, error: Exception, attempts: int) -> DeadlineExceeded:
        """The error for when the time is over."""
        during = "in its one attempt" if attempts == 1 else f"in attempt {attempts}"
        return DeadlineExceeded(
            f"{self.name}: the deadline of the call passed {during}, with {type(error).__name__}{_said(error)}",
            next_step="Look at the backends with pool.explain(), or give it more time",
        )


def _said(error: Exception) -> str:
    return f": {error}" if str(error) else ""
