"""Which of several bridges with the same owner id acts: a lock in Consul, held by a session.

The lock itself is only advice. What makes it safe is the fence: every transaction begins with a check that the lock is
still held by the session under which it was decided, so that a leader that was suspended, cut off or deposed fails as a
whole when it wakes up. A delay before a lock can be taken again (Consul's default is 15 s) would protect nothing beyond
that, so there is none: after an orderly end another bridge acts at once.

After a crash Consul keeps the session for once to twice its TTL; until then nobody leads, and a restarted bridge waits
as every other. It cannot take over the lock of its former self: it does not know that it was.
"""

import asyncio
import contextlib
import datetime as dt
import random
from collections.abc import AsyncIterator, Callable

import msgspec

from ...consul.api import Consul
from ...consul.blocking import Pace, next_index, pause
from ...consul.objects import KvEntry
from ...events import Hook
from ..options import BridgeOptions
from .holding import FAILURES, Holding, first, read_lock
from .lock_value import LockValue, read_value
from .term import CANDIDATE, Candidate, Leadership, NotLeading, Term, identity

__all__ = ["END", "Leadership", "NotLeading", "SessionLock"]

END = 2.0
"""Seconds that giving up the lock may take at the end."""

NOBODY = "00000000-0000-0000-0000-000000000000"
"""A session that never is: its fence lets nothing pass."""


class SessionLock(Candidate):
    """Leadership by a session of Consul that holds the key `LOCK/OWNER/leader`.

    Standing by costs one blocking read. A session is only made when the lock is free.

    Args:
        consul: the client.
        options: `lock`, `owner` and `session_ttl`.
        emit: takes `leader.gained`, `leader.lost`, `leader.changed`, `leader.failed`, `leader.retry` and
            `leader.recovered`.
        rng: spreads the pauses.
        holder: our own name among the candidates; by default the host's name, made unique.
    """

    def __init__(
        self, consul: Consul, options: BridgeOptions, *, emit: Hook, rng: random.Random, holder: str = ""
    ) -> None:
        self.key = f"{options.lock}/{options.owner}/leader"
        self._consul = consul
        self._ttl = options.session_ttl
        self._emit = emit
        self._rng = rng
        self._clock = asyncio.get_running_loop().time
        super().__init__(Term(self.key, holder or identity(), emit=emit, clock=self._clock))
        self._session = ""
        self._failures = 0
        self._free_since: float | None = None
        self._contending = True
        self._woken = asyncio.Event()

    @property
    def fence(self) -> bytes:
        """A `check-session` of the lock; of one that fails where we have never led."""
        return self._fence(self._session or NOBODY)

    @property
    def free_for(self) -> float | None:
        """Seconds for which the lock has been seen free without a break, None where it is held or not known to be."""
        return None if self._free_since is None else self._clock() - self._free_since

    def contend(self, wanted: bool) -> None:
        """Whether to take the lock when it is free; one that is held is given up without.

        A bridge that cannot read the cluster must leave it to one that can. At first it is wanted.
        """
        if wanted != self._contending:
            self._contending = wanted
            self._woken.set()

    async def run(self, changed: Callable[[], None]) -> None:
        """Stand for election until cancelled; then release the lock and end the session, within two seconds."""
        self._term.changed = changed
        try:
            while True:
                try:
                    await self._take()
                    await self._lead()
                except FAILURES as error:
                    self._failures += 1
                    self._free_since = None
                    self._term.see("")
                    self._term.failed(CANDIDATE, error)
                    await asyncio.sleep(pause(self._failures, self._rng, getattr(error, "reason", "")))
        finally:
            session, self._session = self._session, ""
            await self._give_up(session)

    @contextlib.asynccontextmanager
    async def borrowed(self) -> AsyncIterator[bytes | None]:
        """Hold the lock for a few writes without leading: the fence of these, None where somebody else has it.

        Not renewed: what takes longer than the TTL fails.

        Raises:
            ConsulError: it cannot be asked for.
        """
        session = await self._create()
        try:
            taken = await self._consul.acquire(self.key, self._value(for_now=True), session)
            yield self._fence(session) if taken else None
        finally:
            await self._give_up(session)

    async def _take(self) -> None:
        """Wait until the lock is ours."""
        await self._destroy()  # of a former term: what it has fenced must not pass any more
        pace, index = Pace(self._clock()), 0
        while True:
            await asyncio.sleep(pace.delay(self._clock()))
            index, lock = await self._next(index)
            if lock is not None and lock.session:
                self._see(lock)
                continue
            self._free_since = self._clock() if self._free_since is None else self._free_since
            self._term.see("")
            if self._contending:
                if await self._acquire():
                    return
                index = 0  # somebody else was faster, or a delay of another's session holds us off: look again
            else:
                self._failures = 0
                self._term.worked(CANDIDATE)

    async def _next(self, index: int) -> tuple[int, KvEntry | None]:
        """The lock when it has changed, or when what we want of it has; and the index to go on with."""
        answer = await first(read_lock(self._consul, self.key, index), self._wake())
        if answer is None:
            answer = await read_lock(self._consul, self.key, 0)
        return next_index(index, answer.index), answer.value

    async def _wake(self) -> None:
        await self._woken.wait()
        self._woken.clear()  # not before: what was wanted between two reads must not be lost

    def _see(self, lock: KvEntry) -> None:
        self._failures = 0
        self._term.worked(CANDIDATE)
        value = read_value(lock)
        if not value.for_now:
            self._free_since = None
            self._term.see(value.holder)

    async def _acquire(self) -> bool:
        asked = self._clock()
        self._session = await self._create()
        if not await self._consul.acquire(self.key, self._value(), self._session):
            await self._destroy()
            return False
        self._failures, self._free_since = 0, None
        self._term.gain(asked + self._ttl)
        return True

    async def _lead(self) -> None:
        try:
            holding = Holding(self._consul, self.key, self._session, self._ttl, self._term, rng=self._rng)
            self._term.lose(await first(holding.until_lost(), self._resign()))
        finally:
            self._term.release()

    async def _resign(self) -> str:
        while self._contending:
            self._woken.clear()
            await self._woken.wait()
        return "it gives way to one that can read the cluster"

    async def _create(self) -> str:
        return await self._consul.create_session(name=self.key, ttl=self._ttl, lock_delay=0.0)

    async def _destroy(self) -> None:
        if self._session:
            await self._consul.destroy_session(self._session)
            self._session = ""

    async def _give_up(self, session: str) -> None:
        """Release the lock and end the session. What fails is left to the TTL."""
        if not session:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END):
                with contextlib.suppress(*FAILURES):
                    await self._consul.release(self.key, session)
                with contextlib.suppress(*FAILURES):
                    await self._consul.destroy_session(session)

    def _value(self, *, for_now: bool = False) -> bytes:
        since = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        return LockValue(holder=self._term.own, since=since, for_now=for_now).encode()

    def _fence(self, session: str) -> bytes:
        return msgspec.json.encode({"KV": {"Verb": "check-session", "Key": self.key, "Session": session}})
