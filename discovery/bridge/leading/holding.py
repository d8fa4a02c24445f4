"""A session that holds the lock: kept alive, and watched, until it is lost."""

import asyncio
import random
from collections.abc import Coroutine
from typing import Any, TypeVar

from ...consul.api import Answer, Consul, Read
from ...consul.blocking import Pace, next_index, pause
from ...consul.objects import KvEntry
from ...errors import ConfigurationError, ConsulError
from .term import Term

T = TypeVar("T")

RENEWALS = 3
"""How often a session is renewed within its TTL, and how many tries a renewal has until it is over."""

WAIT = 60.0
"""Seconds that a read of the lock blocks at most: whoever misses a change finds it out after these."""

FAILURES = (ConsulError, ConfigurationError)
"""What the client raises."""


class Holding:
    """One term in office.

    Args:
        consul: the client.
        key: of the lock.
        session: that holds it.
        ttl: of the session, in seconds.
        term: put off with each renewal, and told of failures.
        rng: spreads the pauses.
    """

    def __init__(self, consul: Consul, key: str, session: str, ttl: float, term: Term, *, rng: random.Random) -> None:
        self._consul = consul
        self._key = key
        self._session = session
        self._ttl = ttl
        self._term = term
        self._rng = rng

    async def until_lost(self) -> str:
        """Why the lock is ours no longer, as soon as it is so or may be so."""
        return await first(self._renew(), self._watch())

    async def _renew(self) -> str:
        failures, between = 0, self._ttl / RENEWALS
        while True:
            try:
                async with asyncio.timeout_at(self._term.until):
                    await asyncio.sleep(min(between, pause(failures, self._rng)) if failures else between)
                    asked = self._term.clock()
                    alive = await self._renewed(between)
            except TimeoutError:
                return f"no renewal was acknowledged for {self._ttl:g} s"
            except FAILURES as error:
                failures += 1
                self._term.failed("renewal", error)
                continue
            if not alive:
                return "its session has ended"
            failures = 0
            self._term.worked("renewal")
            self._term.extend(asked + self._ttl)  # from when it was asked for: Consul counts from later

    async def _renewed(self, patience: float) -> bool:
        try:
            async with asyncio.timeout(patience):
                return await self._consul.renew_session(self._session)
        except TimeoutError as error:
            said = f"{self._consul.where} did not renew a session within {patience:g} s"
            raise ConsulError(said, reason="unreachable") from error

    async def _watch(self) -> str:
        pace, index, failures = Pace(self._term.clock()), 0, 0
        while True:
            await asyncio.sleep(pace.delay(self._term.clock()))
            try:
                answer = await read_lock(self._consul, self._key, index)
            except FAILURES as error:  # the renewals decide
                failures, index = failures + 1, 0
                self._term.failed("watch", error)
                await asyncio.sleep(pause(failures, self._rng, getattr(error, "reason", "")))
                continue
            self._term.worked("watch")
            failures, index, lock = 0, next_index(index, answer.index), answer.value
            if lock is None:
                return "its key was deleted"
            if lock.session != self._session:
                return "another has the lock" if lock.session else "its session has ended, or the lock was freed"


async def read_lock(consul: Consul, key: str, index: int) -> Answer[KvEntry | None]:
    """The lock, when it has come further than `index`.

    Not by the word of Consul's leader alone: one that has just been deposed may not know of what was done since.

    Raises:
        ConsulError, ConfigurationError: it cannot be read.
    """
    try:
        return await consul.key(key, Read(index=index, wait=WAIT, consistency="consistent"))
    except ConsulError as error:
        if error.reason != "denied":
            raise
        raise _for_writing(error) from error


def _for_writing(error: ConsulError) -> ConsulError:
    """A refusal with the rule that a lock needs: Consul names the one for reading, but writing comes next."""
    said = str(error).removesuffix(f". {error.next_step}")
    step = error.next_step.replace('policy = "read"', 'policy = "write"')
    return ConsulError(said, status=error.status, reason=error.reason, next_step=step)


async def first(*ways: Coroutine[Any, Any, T]) -> T:
    """What the first of them to end comes to; the others are cancelled and awaited."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in tasks if task.done()).result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
