"""How Consul is asked for a target: by blocking queries on the health of a service, or by executing a prepared query.

What index is asked with next is decided in `consul.blocking`. An answer that says nothing is an error here: one that
is empty because a token may not read, or because a server has no leader, must not empty a pool.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import attrs

from ..consul.blocking import Pace, next_index
from ..consul.objects import HealthEntry, PreparedAnswer
from ..consul.reads import ONCE, Answer, Consistency, Read
from ..errors import ConsulError, ServiceNotFound, quote
from ..targets import Consul
from . import Remark
from .consul_set import failed_over, hidden, rights

WAIT = 60.0
"""Seconds for which a query blocks while nothing changes. Consul's default is 300, but after a server was restored from
a snapshot a query may wait all that time for an index that is of a lost future."""

LEAST_WAIT = 1.0
"""Seconds, likewise, where answers may be stale for a shorter time than this."""

BURST = 10
INTERVAL = 0.5
"""So many questions follow their answers at once, and then one in so many seconds: where a service changes without end,
or a server wakes for changes of others, or does not block at all."""

PREPARED_INTERVAL = 5.0
"""Seconds after which a prepared query is asked again: it cannot block."""

JITTER = 0.1
"""The part of that by which it may be early or late, so that clients part."""


class Reads(Protocol):
    """What asks Consul: `consul.api.Consul`."""

    async def health(
        self,
        service: str,
        read: Read = ONCE,
        *,
        tags: Sequence[str] = (),
        node_meta: Sequence[tuple[str, str]] = (),
    ) -> Answer[tuple[HealthEntry, ...]]:
        """The instances of a service, with their checks.

        Raises:
            ConsulError, ConfigurationError: they cannot be read, for this reason.
        """

    async def prepared(
        self, query: str, read: Read = ONCE, *, near: str | None = None, datacenter: str | None = None
    ) -> Answer[PreparedAnswer]:
        """What a prepared query finds.

        Raises:
            ConsulError, ConfigurationError: it cannot be executed, for this reason.
        """


@attrs.frozen
class Told:
    """An answer, as it is told: the instances, and what is worth knowing of them."""

    entries: tuple[HealthEntry, ...]
    remarks: tuple[Remark, ...] = ()


class Blocking:
    """Asks for the health of a service, and blocks until it may be another."""

    def __init__(self, target: Consul, consul: Reads, now: Callable[[], float]) -> None:
        self._target = target
        self._consul = consul
        self._now = now
        self._pace = Pace(now(), interval=INTERVAL, burst=BURST)
        self._wait = WAIT if target.stale is None else min(WAIT, max(LEAST_WAIT, target.stale))
        self._index = 0

    async def ask(self) -> Told:
        """The next answer.

        Raises:
            ConsulError: there is none, or one that says nothing.
            ConfigurationError: no request can be made.
        """
        asked, began = self._index, self._now()
        answer = await self._fresh()
        self._index = next_index(asked, answer.index)
        if answer.index == asked and self._now() - began < self._wait:
            self._index = 0  # it woke up early for nothing: its state was replaced, and the index may not come for long
        _check(self._target, answer.value, answer)
        return Told(answer.value, (hidden(self._target),) if answer.filtered else ())

    def failed(self) -> None:
        """The next question does not block: its answer is to show at once that Consul speaks again."""
        self._index = 0

    def delay(self) -> float:
        """Seconds until the next question."""
        return self._pace.delay(self._now())

    async def _fresh(self) -> Answer[tuple[HealthEntry, ...]]:
        """An answer that is not too old: what another server cannot give, the leader is asked for."""
        bound = self._target.stale
        if bound is None:
            return await self._known("default")
        answer = await self._known("stale")
        behind = answer.index < self._index  # than what was told already: or Consul is another than it was
        if answer.known_leader and answer.last_contact <= bound and not behind:
            return answer
        return await self._health(Read(index=0 if behind else self._index, wait=self._wait))

    async def _known(self, consistency: Consistency) -> Answer[tuple[HealthEntry, ...]]:
        """An answer that says how far it is to be believed, where that matters.

        An agent blocks on a stream of its own, and then tells neither how old its answer is nor whether ACLs hide
        something. To ask once more without blocking goes past the stream.
        """
        answer = await self._health(Read(index=self._index, wait=self._wait, consistency=consistency))
        if answer.known_leader or not self._index or (answer.value and consistency == "default"):
            return answer
        direct = await self._health(Read(consistency=consistency))
        return direct if direct.index < self._index else attrs.evolve(direct, index=max(direct.index, answer.index))

    async def _health(self, read: Read) -> Answer[tuple[HealthEntry, ...]]:
        target = self._target
        where = attrs.evolve(read, datacenter=target.datacenter, near=target.near)
        return await self._consul.health(target.name, where, tags=target.tags, node_meta=target.node_meta)


class Query:
    """Executes a prepared query. It cannot block."""

    def __init__(self, target: Consul, consul: Reads, rng: random.Random) -> None:
        self._target = target
        self._consul = consul
        self._rng = rng

    async def ask(self) -> Told:
        """The next answer.

        Raises:
            ServiceNotFound: there is no such query.
            ConsulError: there is no answer, or one that says nothing.
            ConfigurationError: no request can be made.
        """
        target = self._target
        try:
            answer = await self._consul.prepared(target.name, near=target.near, datacenter=target.datacenter)
        except ConsulError as error:
            if error.reason != "not-found":
                raise
            raise ServiceNotFound(
                f"Consul has no prepared query {quote(target.name)}",
                next_step="See /v1/query for those that this token may read",
            ) from None
        entries = answer.value.nodes or ()
        _check(target, entries, answer)
        remarks = [hidden(target)] if answer.filtered else []
        if answer.value.failovers:
            remarks.append(failed_over(target, answer.value.datacenter))
        return Told(entries, tuple(remarks))

    def failed(self) -> None:
        """Nothing is remembered from one question to the next."""

    def delay(self) -> float:
        """Seconds until the next question."""
        return PREPARED_INTERVAL * self._rng.uniform(1.0 - JITTER, 1.0 + JITTER)


def _check(target: Consul, entries: tuple[HealthEntry, ...], answer: Answer[Any]) -> None:
    """Nothing is an answer only from a server that has a leader, and to a token that may read.

    Raises:
        ConsulError: it says nothing of the service.
    """
    if entries:
        return
    if answer.filtered:
        raise ConsulError(
            f"Consul shows this token no instance of {quote(target.name)}, and says that it hides some",
            reason="denied",
            next_step=rights(target),
        )
    if not answer.known_leader:
        raise ConsulError(
            f"Consul knows no instance of {quote(target.name)}, but has no leader to be sure",
            reason="no-leader",
            next_step="Look at consul operator raft list-peers; what is known stays in use",
        )
