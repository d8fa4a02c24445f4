"""Which of several bridges with the same owner id acts: a Lease of Kubernetes, by the rules of client-go.

Times are judged by our own clock, from when a record was seen to change: a clock of another machine is never compared.
A candidate waits for the whole duration of the lease from the last change it has seen; a leader stops at the renew
deadline, which is shorter, so that it has stopped when another may begin (client-go: tools/leaderelection).

There is no fence: Consul knows nothing of a Lease. A leader that is suspended between its last check and its write can
write after another has begun. What it writes is compare-and-set, and a later pass repairs it; whoever must exclude it
uses the lock in Consul.
"""

import asyncio
import contextlib
import datetime as dt
import math
import random
from collections.abc import Callable
from typing import Any, TypedDict

from ...errors import AccessDenied, ApiUnavailable, ConfigurationError, DiscoveryError, Unauthenticated
from ...events import Hook
from ...kube.writes import Conflict, Missing, Writes
from ..options import BridgeOptions
from . import lease_record
from .lease_record import Record, read_record
from .term import CANDIDATE, Candidate, Term, identity

DURATION = 15.0
"""Seconds for which others keep off after each change of the record (client-go: LeaseDuration)."""

RENEW_DEADLINE = 10.0
"""Seconds after the last renewal at which a leader stops (client-go: RenewDeadline)."""

PATIENCE = 5.0
"""Seconds that one try may take: a request that nobody answers must not use up the whole deadline."""

RETRY = 2.0
"""Seconds between two tries (client-go: RetryPeriod)."""

JITTER = 1.2
"""A candidate's pause is lengthened by up to so much of itself, lest all try at once (client-go: JitterFactor)."""

REFUSED = 30.0
"""Seconds that a candidate waits at least after it was refused: rights do not come back in a moment."""

END = 2.0
"""Seconds that giving up the Lease may take at the end."""

RESOURCE = "leases.coordination.k8s.io"


class _Place(TypedDict):
    resource: str
    namespace: str


class LeaseLock(Candidate):
    """Leadership by the Lease `aiodiscovery-OWNER`.

    Args:
        writes: of the API server.
        namespace: where the Lease is.
        options: the `owner`.
        emit: takes `leader.gained`, `leader.lost`, `leader.changed`, `leader.failed`, `leader.retry` and
            `leader.recovered`.
        rng: spreads the pauses.
        holder: our own name among the candidates, which no other may have; by default the host's, made unique.
    """

    def __init__(
        self,
        writes: Writes,
        namespace: str,
        options: BridgeOptions,
        *,
        emit: Hook,
        rng: random.Random,
        holder: str = "",
    ) -> None:
        self.name = f"aiodiscovery-{options.owner}"
        self._writes = writes
        self._namespace = namespace
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._path = f"{self._collection}/{self.name}"
        self._place: _Place = {"resource": RESOURCE, "namespace": namespace}
        self._rng = rng
        self._clock = asyncio.get_running_loop().time
        super().__init__(Term(f"{namespace}/{self.name}", holder or identity(), emit=emit, clock=self._clock))
        self._seen: Record | None = None
        self._seen_at = 0.0
        self._has_written = False

    @property
    def fence(self) -> None:
        """None: Consul knows nothing of a Lease."""
        return

    async def run(self, changed: Callable[[], None]) -> None:
        """Stand for election until cancelled; then free the Lease, within two seconds."""
        self._term.changed = changed
        try:
            while True:
                pause = await self._turn()
                await asyncio.sleep(pause)
        finally:
            self._term.release()
            await self._give_up()

    async def _turn(self) -> float:
        """Take the Lease, or renew it; seconds until the next turn."""
        asked = self._clock()
        if not self._term.leading:
            self._term.lose(f"no renewal was acknowledged for {RENEW_DEADLINE:g} s")
        try:
            held = await self._tried(min(asked + PATIENCE, self._term.until if self._term.leading else math.inf))
        except DiscoveryError as error:
            return self._failed(error)
        self._term.worked(CANDIDATE)
        if not held:
            self._term.lose("another has the Lease")
            self._term.see(self._other())
        elif self._term.leading:
            self._term.extend(asked + RENEW_DEADLINE)
        else:
            self._term.lose("a renewal came too late")
            self._term.gain(asked + RENEW_DEADLINE)
        return self._next()

    async def _tried(self, until: float) -> bool:
        try:
            async with asyncio.timeout_at(until):
                return await self._try()
        except TimeoutError as error:
            raise ApiUnavailable(f"the API server did not answer for the Lease {self._term.subject} in time") from error

    async def _try(self) -> bool:
        """Whether the Lease is ours after this: renewed by what we know of it, else read first.

        Raises:
            DiscoveryError: not known.
        """
        seen = self._seen
        try:
            if seen is not None and self._term.leading:
                with contextlib.suppress(Conflict, Missing):  # somebody has written meanwhile: read what
                    return await self._write(seen)
            try:
                record = self._see(await self._writes.get(self._path, **self._place))
            except Missing:
                return await self._create()
            return await self._write(record) if self._may_take(record) else False
        except Conflict:  # somebody was faster; who, the next turn will see
            return False

    def _may_take(self, record: Record) -> bool:
        return record.holder in ("", self._term.own) or self._over(record)

    def _over(self, record: Record) -> bool:
        """Whether nothing has been seen of its holder for as long as the record lasts."""
        return self._clock() >= self._seen_at + (record.duration or DURATION)

    def _other(self) -> str:
        """Who leads, other than we: "" where the Lease is free, or has run out."""
        return "" if self._seen is None or self._may_take(self._seen) else self._seen.holder

    def _see(self, body: dict[str, Any]) -> Record:
        record = read_record(body)
        if self._seen is None or record.spec != self._seen.spec:
            self._seen_at = self._clock()
        self._seen = record
        return record

    async def _create(self) -> bool:
        self._has_written = True
        body = lease_record.first(self.name, self._namespace, self._term.own, DURATION, _now())
        self._see(await self._writes.create(self._collection, body, **self._place))
        return True

    async def _write(self, record: Record) -> bool:
        self._has_written = True
        body = lease_record.ours(record, self._term.own, DURATION, _now())
        self._see(await self._writes.replace(self._path, body, **self._place))
        return True

    def _failed(self, error: Exception) -> float:
        """Seconds until the next try. A leader goes on until its deadline, at its usual pace."""
        self._term.failed(CANDIDATE, error)
        if self._term.leading:
            return self._next()
        self._term.lose(f"no renewal was acknowledged for {RENEW_DEADLINE:g} s")
        self._term.see(self._other())
        refused = isinstance(error, AccessDenied | Unauthenticated | ConfigurationError)
        return REFUSED + self._rng.uniform(0.0, REFUSED) if refused else self._next()

    def _next(self) -> float:
        if self._term.leading:
            return min(RETRY, max(0.0, self._term.until - self._clock()))
        return RETRY * (1.0 + self._rng.uniform(0.0, JITTER))

    async def _give_up(self) -> None:
        """Free the Lease if it is ours, read anew: of a write that was cut off the outcome is not known."""
        if not self._has_written:
            return
        with contextlib.suppress(DiscoveryError, TimeoutError):  # what fails is left to its duration
            async with asyncio.timeout(END):
                record = self._see(await self._writes.get(self._path, **self._place))
                if record.holder == self._term.own:
                    await self._writes.replace(self._path, lease_record.freed(record, _now()), **self._place)


def _now() -> dt.datetime:
    """The wall clock, for people who read the Lease."""
    return dt.datetime.now(dt.UTC)
