"""One call: the first attempt, and those after it.

The first runs bare. Only when it has failed, and may be tried again, does tenacity come in for the rest: what the
failure means, how long to wait, who may be picked and whether the budget bears it are ours to say, the loop of attempts
is its.

For integrations (`attempts` says what an attempt owes):

    end = rules.end()                     # before the pick: raises DeadlineExceeded where no time is left
    await call(attempt, pool.pick(key), pick_other, idempotent=idempotent, rules=rules, end=end)

Who makes the first attempt by himself, because it is the one whose cost is felt, makes the budget's deposit too, and
comes here with what went wrong: `await call_again(attempt, [node], failed, pick_other, ...)`. Where hedging is wanted
(`rules.latencies`), an idempotent call has to be a whole `call`.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Generic, cast

import attrs

from .attempts import Attempt, PickOther, Rules, T, Unwanted
from .balancing import Node
from .errors import DiscoveryError
from .events import Event
from .lease import Lease
from .racing import hedged
from .retrying import LONGEST_WAIT, delay

if TYPE_CHECKING:
    from tenacity import RetryCallState

__all__ = ["Attempt", "PickOther", "Rules", "Unwanted", "call", "call_again"]


async def call(
    attempt: Attempt[T], first: Lease, pick_other: PickOther, *, idempotent: bool, rules: Rules, end: float | None
) -> T:
    """Run `attempt` on the first lease, and on others while it fails and may be tried again; hedge it where wanted.

    Args:
        attempt: as `attempts` has it.
        first: of the first backend.
        pick_other: leases of the others.
        idempotent: whether it may be done twice.
        rules: of the pool, with the protocol's.
        end: what `rules.end()` said before the pick.

    Returns:
        The first answer that will do; or the last one that came, where it asks for another attempt and gets none.

    Raises:
        RetriesExhausted: every attempt failed in a way that allows another; from the last error.
        DeadlineExceeded: the time was over; from the last error.
        Exception: the last error itself: no other attempt could have helped, the budget did not bear one, there was
            no time to wait for it, or no backend for it.
    """
    tried = [first.node]
    if rules.budget is not None:
        rules.budget.deposit()
    try:
        if rules.latencies is not None and idempotent:
            return await hedged(attempt, first, pick_other, tried, rules=rules, latencies=rules.latencies, end=end)
        return await attempt(first, 1)
    except Exception as error:  # noqa: BLE001 - it ends in a raise or in another attempt
        failed = error
    return await call_again(attempt, tried, failed, pick_other, idempotent=idempotent, rules=rules, end=end)


async def call_again(
    attempt: Attempt[T],
    tried: Sequence[Node],
    failed: Exception,
    pick_other: PickOther,
    *,
    idempotent: bool,
    rules: Rules,
    end: float | None,
) -> T:
    """The same from the second attempt on: those at the backends `tried` came to the failure `failed`."""
    again = _Again(
        attempt=attempt,
        pick_other=pick_other,
        idempotent=idempotent,
        rules=rules,
        end=end,
        tried=list(tried),
        failed=failed,
    )
    if len(tried) >= rules.policy.attempts or not again.may(failed):
        return again.conclude(failed)
    return await again.run()


@attrs.define(eq=False, kw_only=True)
class _Again(Generic[T]):
    """One call from its first failure on: what tenacity asks about it. It serves no other call."""

    attempt: Attempt[T]
    pick_other: PickOther
    idempotent: bool
    rules: Rules
    end: float | None
    tried: list[Node]
    failed: BaseException
    begun: bool = False
    discarded: bool = False
    stranded: bool = False

    async def run(self) -> T:
        from tenacity import AsyncRetrying, retry_if_exception

        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            retry=retry_if_exception(self.may),
            wait=self._wait,
            stop=self._stop,
            before_sleep=self._before_sleep,
            reraise=True,
        )
        try:
            return cast("T", await retrying(self._next))
        except Exception as error:  # noqa: BLE001 - the conclusion raises it, or what it means
            return self.conclude(error)
        except BaseException:
            await self._discard()  # cancelled between an answer and the next attempt
            raise

    def may(self, error: BaseException) -> bool:
        """Whether it may be tried again after this, as far as the error decides."""
        self.failed, self.discarded = error, False
        return not self.stranded and self.rules.allow(error, idempotent=self.idempotent)

    def conclude(self, error: Exception) -> T:
        """The end of a call that came to this."""
        if isinstance(error, Unwanted):
            return cast("T", error.answer)
        rules, allowed = self.rules, self.rules.allow(error, idempotent=self.idempotent)
        if (allowed or isinstance(error, TimeoutError)) and rules.over(self.end):
            raise rules.too_late(error, len(self.tried)) from error
        if allowed and len(self.tried) >= rules.policy.attempts:
            raise rules.exhausted(error) from error
        raise error

    async def _next(self) -> T:
        if not self.begun:  # the loop is told of what came before as if it had run that
            self.begun = True
            raise self.failed
        lease = self._pick()
        self.tried.append(lease.node)
        try:
            await self._discard()
        except BaseException:
            lease.ignore()
            lease.release()
            raise
        return await self.attempt(lease, len(self.tried))

    def _pick(self) -> Lease:
        """Another lease; where there is none, the error says so only if what came before has been discarded."""
        try:
            return self.pick_other(self.tried)
        except (DiscoveryError, RuntimeError) as error:  # nothing usable, a limit reached, or closed meanwhile
            self.stranded = True
            problem = error
        raise problem if self.discarded else self.failed

    def _wait(self, _state: "RetryCallState") -> float:
        asked = self.failed.retry_after if isinstance(self.failed, Unwanted) else None
        return delay(len(self.tried), self.rules.rng) if asked is None else asked

    def _stop(self, state: "RetryCallState") -> bool:
        """Whether this is the end. If not, the next attempt has been paid for."""
        rules, wait = self.rules, state.upcoming_sleep
        if len(self.tried) >= rules.policy.attempts or wait > LONGEST_WAIT or rules.over(self.end, wait):
            return True
        if rules.budget is None or rules.budget.withdraw():
            return False
        rules.emit(Event("call.refused", rules.name, {"attempt": len(self.tried), **self._what()}))
        return True

    async def _before_sleep(self, state: "RetryCallState") -> None:
        wait = state.upcoming_sleep
        data = {"attempt": len(self.tried), **self._what(), "delay": wait}
        self.rules.emit(Event("call.retried", self.rules.name, data))
        if wait > 0:
            await self._discard()

    def _what(self) -> dict[str, Any]:
        failed = self.failed
        return {"status": failed.status} if isinstance(failed, Unwanted) else {"error": repr(failed)}

    async def _discard(self) -> None:
        """An answer that is not wanted holds its connection no longer."""
        if isinstance(self.failed, Unwanted) and not self.discarded:
            self.discarded = True
            await self.rules.let_go(self.failed.answer)
