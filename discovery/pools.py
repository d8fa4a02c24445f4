"""The pools that are open: the same target and options give the same pool, counted, and ended after its last use.

A target is resolved once, however many pools use it: what is learnt of its backends is one `Membership`.
"""

import asyncio
import random
from collections.abc import Callable

import attrs

from .events import Event, Hook
from .kube.reflector import CALM, REFUSED
from .membership import Membership
from .pool import Pool, PoolOptions
from .resolvers import Resolver
from .targets import Target

Resolved = Target | Resolver
"""What a pool is of: a target whose namespace is settled, or a user's own way of finding backends."""


@attrs.define(eq=False)
class _Resolving:
    """A target that is being resolved, and by how many pools it is used."""

    membership: Membership
    task: "asyncio.Task[None]"
    pools: int = 0


class Pools:
    """Owns every pool, membership and resolver's task of one event loop.

    Args:
        resolver: how a target is resolved.
        far: what to advise where no backend of a target can be connected to; "" where nothing is known.
        emit: takes events.
        rng: chooses backends, and spreads pauses.
    """

    def __init__(
        self, resolver: Callable[[Resolved], Resolver], far: Callable[[Resolved], str], emit: Hook, rng: random.Random
    ) -> None:
        self._resolver = resolver
        self._far = far
        self._emit = emit
        self._rng = rng
        self._resolving: dict[Resolved, _Resolving] = {}
        self._pools: dict[tuple[Resolved, PoolOptions], Pool] = {}
        self._uses: dict[Pool, tuple[tuple[Resolved, PoolOptions], int]] = {}
        self._ending: set[asyncio.Task[None]] = set()

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
        self._leave(key[0], self._resolving[key[0]])

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

    def _make(self, target: Resolved, options: PoolOptions) -> Pool:
        far = self._far(target)
        resolving = self._resolve(target)
        resolving.pools += 1
        try:  # a balancer may be anybody's
            return Pool(resolving.membership, options, emit=self._emit, rng=self._rng, give_back=self.close, far=far)
        except BaseException:
            self._leave(target, resolving)
            raise

    def _leave(self, target: Resolved, resolving: _Resolving) -> None:
        resolving.pools -= 1
        if not resolving.pools:
            del self._resolving[target]
            self._end(resolving)

    def _resolve(self, target: Resolved) -> _Resolving:
        resolving = self._resolving.get(target)
        if resolving is None:
            loop = asyncio.get_running_loop()
            membership = Membership(str(target), emit=self._emit, clock=loop.time)
            task = loop.create_task(self._keep(self._resolver(target), membership), name=f"resolve {target}")
            resolving = self._resolving[target] = _Resolving(membership, task)
        return resolving

    async def _keep(self, resolver: Resolver, membership: Membership) -> None:
        """Run a resolver; one that breaks is told of, and run again."""
        failures = 0
        while True:
            began = membership.now()
            try:
                await resolver.run(membership)
            except Exception as error:  # noqa: BLE001 - a resolver may be anybody's
                failures = 1 if membership.now() - began >= CALM else failures + 1
                membership.failed(error)
                self._emit(Event("resolver.failed", membership.name, {"error": repr(error)}))
                await asyncio.sleep(REFUSED.delay(failures, self._rng))
            else:
                return

    def _end(self, resolving: _Resolving) -> None:
        if resolving.task.cancel():
            self._ending.add(resolving.task)
            resolving.task.add_done_callback(self._ending.discard)
