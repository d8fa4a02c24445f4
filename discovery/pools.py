"""The pools that are open: the same target and options give the same pool, counted, and ended after its last use.

A target is resolved once, however many pools use it: what is learnt of its backends is one `Membership`.
"""

import asyncio
import random
import time
from collections.abc import Callable
from typing import TypeVar

import attrs

from .balancing.outlier import OutlierDetection
from .balancing.selection import Surroundings
from .balancing.subset import Subset
from .candidates import Candidates
from .events import Event, Hook
from .kube.reflector import CALM, REFUSED
from .membership import Membership
from .pool import Learnt, Pool
from .pool_options import PoolOptions
from .resolvers import Resolver
from .resolvers.health import HealthCheck
from .retrying import Budget, Hedging, Latencies, RetryBudget
from .targets import Target

K = TypeVar("K")
V = TypeVar("V")

Resolved = Target | Resolver
"""What a pool is of: a target whose namespace is settled, or a user's own way of finding backends."""


Way = tuple[Resolved, HealthCheck | None]
"""How backends are found: of what, and how they are checked."""

Sight = tuple[Subset | None, OutlierDetection | None]
"""Which of a target's backends a client uses, and when one is out."""


@attrs.define
class _Uses:
    """Candidates, and by how many pools they are used."""

    candidates: Candidates
    pools: int = 0


@attrs.define(eq=False)
class _Resolving:
    """A target that is being resolved, what is learnt of it, and by how many pools it is used."""

    membership: Membership
    task: "asyncio.Task[None]"
    candidates: dict[Sight, _Uses] = attrs.field(factory=dict)
    budgets: dict[RetryBudget, Budget] = attrs.field(factory=dict)
    latencies: dict[Hedging, Latencies] = attrs.field(factory=dict)
    pools: int = 0


class Pools:
    """Owns every pool, membership and resolver's task of one event loop.

    Args:
        resolver: how a target is resolved.
        far: what to advise where no backend of a target can be connected to; "" where nothing is known.
        zone: this client's own, "" where it is not known.
        emit: takes events.
        rng: chooses backends, and spreads pauses.
    """

    def __init__(
        self,
        resolver: Callable[[Resolved, HealthCheck | None], Resolver],
        far: Callable[[Resolved], str],
        zone: Callable[[], str],
        emit: Hook,
        rng: random.Random,
    ) -> None:
        self._resolver = resolver
        self._far = far
        self._zone = zone
        self._emit = emit
        self._rng = rng
        self._resolving: dict[Way, _Resolving] = {}
        self._pools: dict[tuple[Resolved, PoolOptions], Pool] = {}
        self._uses: dict[Pool, tuple[tuple[Resolved, PoolOptions], int]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._offloaded: set[asyncio.Future[None]] = set()
        self._seen = zone()

    def __len__(self) -> int:
        return len(self._pools)

    def open(self, target: Resolved, options: PoolOptions) -> Pool:
        """The pool of a target, counted as one more use of it."""
        key = target, options
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = self._make(target, options)
        self._uses[pool] = key, self._uses.get(pool, (key, 0))[1] + 1
        return pool

    def close(self, pool: Pool) -> None:
        """Take back one use of a pool; the last one ends it, and what only it needed."""
        held = self._uses.get(pool)
        if held is None:
            return
        key, uses = held
        if uses > 1:
            self._uses[pool] = key, uses - 1
            return
        del self._uses[pool], self._pools[key]
        pool.close()
        self._leave(*key)

    def refuse(self) -> None:
        """Let every pool refuse; nothing here is awaited, so it works in a process that was forked."""
        for pool in self._pools.values():
            pool.close()

    async def aclose(self) -> None:
        """End all of them."""
        self.refuse()
        for resolving in self._resolving.values():
            self._end(resolving)
        self._pools.clear()
        self._uses.clear()
        self._resolving.clear()
        if self._ending:
            await asyncio.wait(self._ending)
        if self._offloaded:
            await asyncio.wait(self._offloaded)

    def _make(self, target: Resolved, options: PoolOptions) -> Pool:
        far = self._far(target)
        resolving = self._resolve(target, options.health)
        resolving.pools += 1
        uses = self._candidates(resolving, options)
        uses.pools += 1
        try:  # a balancer may be anybody's
            return Pool(
                uses.candidates,
                options,
                around=self._around(),
                learnt=self._learnt(resolving, options),
                emit=self._emit,
                give_back=self.close,
                far=far,
            )
        except BaseException:
            self._leave(target, options)
            raise

    def _leave(self, target: Resolved, options: PoolOptions) -> None:
        way, sight = (target, options.health), (options.used_subset, options.outlier)
        resolving = self._resolving[way]
        uses = resolving.candidates[sight]
        uses.pools -= 1
        if not uses.pools:
            resolving.candidates.pop(sight).candidates.close()
        resolving.pools -= 1
        if not resolving.pools:
            del self._resolving[way]
            self._end(resolving)

    def _resolve(self, target: Resolved, health: HealthCheck | None) -> _Resolving:
        resolving = self._resolving.get((target, health))
        if resolving is None:
            loop = asyncio.get_running_loop()
            membership = Membership(str(target), emit=self._emit, clock=loop.time)
            membership.followers.append(self._look_around)
            resolver = self._resolver(target, health)
            task = loop.create_task(self._keep(resolver, membership), name=f"resolve {target}")
            resolving = self._resolving[target, health] = _Resolving(membership, task)
        return resolving

    def _candidates(self, resolving: _Resolving, options: PoolOptions) -> _Uses:
        sight = options.used_subset, options.outlier
        uses = resolving.candidates.get(sight)
        if uses is None:
            candidates = Candidates(resolving.membership, *sight, emit=self._emit, rng=self._rng)
            uses = resolving.candidates[sight] = _Uses(candidates)
        return uses

    def _learnt(self, resolving: _Resolving, options: PoolOptions) -> Learnt:
        budget, hedging, clock = options.retry.budget, options.hedging, _clock()
        return Learnt(
            None if budget is None else _kept(resolving.budgets, budget, Budget, clock),
            None if hedging is None else _kept(resolving.latencies, hedging, Latencies, clock),
        )

    def _around(self) -> Surroundings:
        return Surroundings(zone=self._zone, rng=self._rng, now=_clock(), offload=self._offload)

    def _look_around(self, *_moved: object) -> None:
        """Backends of one target may have told the client's own zone, by which others are chosen too."""
        zone = self._zone()
        if zone != self._seen:
            self._seen = zone
            asyncio.get_running_loop().call_soon(self._relocate)  # once all who follow the target have been told

    def _relocate(self) -> None:
        for pool in tuple(self._pools.values()):
            pool.relocate()

    def _offload(self, work: Callable[[], None]) -> None:
        """In a thread; it is waited for before this ends."""
        future = asyncio.get_running_loop().run_in_executor(None, work)
        self._offloaded.add(future)
        future.add_done_callback(self._offloaded_done)

    def _offloaded_done(self, future: "asyncio.Future[None]") -> None:
        self._offloaded.discard(future)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._emit(Event("balancer.failed", "", {"error": repr(error)}))

    async def _keep(self, resolver: Resolver, membership: Membership) -> None:
        """Run a resolver; one that breaks is told of, and run again."""
        failures = 0
        while True:
            began = membership.clock()
            try:
                await resolver.run(membership)
            except Exception as error:  # noqa: BLE001 - a resolver may be anybody's
                failures = 1 if membership.clock() - began >= CALM else failures + 1
                membership.failed(error)
                self._emit(Event("resolver.failed", membership.name, {"error": repr(error)}))
                await asyncio.sleep(REFUSED.delay(failures, self._rng))
            else:
                return

    def _end(self, resolving: _Resolving) -> None:
        for uses in resolving.candidates.values():
            uses.candidates.close()
        resolving.candidates.clear()
        if resolving.task.cancel():
            self._ending.add(resolving.task)
            resolving.task.add_done_callback(self._ending.discard)


def _clock() -> Callable[[], float]:
    """The running loop's. Most loops only hand on the monotonic clock: asking that itself is a call less a request."""
    loop = asyncio.get_running_loop()
    return time.monotonic if type(loop).time is asyncio.BaseEventLoop.time else loop.time


def _kept(known: dict[K, V], spec: K, make: Callable[[K, Callable[[], float]], V], clock: Callable[[], float]) -> V:
    """What is learnt under a specification, from when it is first asked for."""
    kept = known.get(spec)
    if kept is None:
        kept = known[spec] = make(spec, clock)
    return kept
