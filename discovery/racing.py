"""Hedging: two copies of one request at two backends, and the first answer that will do.

When to send the second is said by `retrying.hedging`; what follows when both have failed is no matter of this module.
"""

import asyncio
from typing import Any, Generic

import attrs

from .attempts import Attempt, PickOther, Rules, T, Unwanted
from .balancing import Node
from .events import Event
from .lease import Lease
from .retrying import Latencies


async def hedged(
    attempt: Attempt[T],
    first: Lease,
    pick_other: PickOther,
    tried: list[Node],
    *,
    rules: Rules,
    latencies: Latencies,
    end: float | None,
) -> T:
    """Run the first attempt of an idempotent call, and a copy of it elsewhere if it takes longer than most.

    The first answer that will do wins. The other copy is cancelled and awaited, its load released, its answer
    discarded; that it was cancelled is no failure of its backend. A copy that fails leaves it to the other. The
    backend of the copy is added to `tried`.

    Raises:
        Exception: no copy answered; of the first to fail, but what another attempt could not mend at once.
    """
    latencies.budget.deposit()
    if latencies.delay is None or rules.policy.attempts < 2:
        began = rules.clock()
        answer = await attempt(first, 1)
        latencies.observe(rules.clock() - began)
        return answer
    race = _Race(attempt=attempt, pick_other=pick_other, tried=tried, rules=rules, latencies=latencies, end=end)
    return await race.run(first, latencies.delay)


@attrs.define(eq=False, kw_only=True)
class _Race(Generic[T]):
    """The copies of one request, and what came of them so far, in the order in which it came."""

    attempt: Attempt[T]
    pick_other: PickOther
    tried: list[Node]
    rules: Rules
    latencies: Latencies
    end: float | None
    copies: dict[asyncio.Task[None], Lease] = attrs.field(factory=dict)
    answers: list[tuple[int, T]] = attrs.field(factory=list)
    failures: list[Exception] = attrs.field(factory=list)

    async def run(self, first: Lease, delay: float) -> T:
        began = self.rules.clock()
        try:
            async with asyncio.TaskGroup() as group:
                await self._decide(group, first, delay)
                if self.answers and not self.failures:
                    # Of a first copy that lost this is less than it would have taken, but more than the delay.
                    self.latencies.observe(self.rules.clock() - began)
                for copy in self.copies:
                    copy.cancel()
        except BaseException:
            await self._discard(keeping=())
            raise
        finally:
            self._release()
        return await self._outcome()

    async def _decide(self, group: asyncio.TaskGroup, first: Lease, delay: float) -> None:
        """Wait until the outcome is clear."""
        self._start(group, first, 1)
        await asyncio.wait(self.copies, timeout=delay)
        if not self._decided():
            other = self._other()
            if other is not None:
                self.rules.emit(Event("hedge.sent", self.rules.name, {"attempt": 2, "delay": delay}))
                self.tried.append(other.node)
                self._start(group, other, 2)
        while not self._decided():
            await asyncio.wait([copy for copy in self.copies if not copy.done()], return_when=asyncio.FIRST_COMPLETED)

    def _decided(self) -> bool:
        hopeless = any(not self.rules.allow(error, idempotent=True) for error in self.failures)
        return bool(self.answers) or hopeless or all(copy.done() for copy in self.copies)

    def _start(self, group: asyncio.TaskGroup, lease: Lease, number: int) -> None:
        self.copies[group.create_task(self._copy(lease, number))] = lease

    async def _copy(self, lease: Lease, number: int) -> None:
        try:
            self.answers.append((number, await self.attempt(lease, number)))
        except Exception as error:  # noqa: BLE001 - it is the call's to raise, once the other copy has ended
            self.failures.append(error)

    def _other(self) -> Lease | None:
        """A lease of another backend, paid for; None where there is none, or the load would grow too much."""
        budgets = [self.latencies.budget] + ([] if self.rules.budget is None else [self.rules.budget])
        if self.rules.over(self.end) or any(budget.balance < 1 for budget in budgets):
            return None
        try:
            lease = self.pick_other(self.tried)
        except Exception:  # noqa: BLE001 - nothing usable, a limit, closed: the first copy may still be answered
            return None
        # By its identity: the first copy may be a backend's probe, which has a record of its own.
        same = any(lease.backend.id == node.backend.id for node in self.tried)
        if same or not all(budget.withdraw() for budget in budgets):
            lease.ignore()
            lease.release()
            return None
        return lease

    def _release(self) -> None:
        """What was cancelled before it had begun could not release its lease."""
        for copy, lease in self.copies.items():
            if copy.cancelled():
                lease.ignore()
                lease.release()

    async def _outcome(self) -> T:
        """What counts, when all else has been discarded."""
        if self.answers:
            number, answer = self.answers[0]
            if number > 1:
                self.rules.emit(Event("hedge.won", self.rules.name, {"attempt": number}))
            await self._discard(keeping=(answer,))
            return answer
        if not self.failures:
            raise asyncio.CancelledError  # by what an attempt itself has called
        hopeless = (error for error in self.failures if not self.rules.allow(error, idempotent=True))
        failed = next(hopeless, self.failures[0])
        await self._discard(keeping=(failed.answer,) if isinstance(failed, Unwanted) else ())
        raise failed

    async def _discard(self, *, keeping: tuple[Any, ...]) -> None:
        """Let go of all answers but these; and of these, if nobody waits for them any more."""
        came = [answer for _, answer in self.answers]
        came += [error.answer for error in self.failures if isinstance(error, Unwanted)]
        try:
            for answer in came:
                if not any(answer is kept for kept in keeping):
                    await self.rules.let_go(answer)
        except BaseException:
            for kept in keeping:
                await self.rules.let_go(kept)
            raise
