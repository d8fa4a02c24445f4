"""A pool: the usable backends of one target, and the pick.

What is known of the backends lives in the target's `Membership`, which all its pools share, and in its `Candidates`;
a pool adds how it picks.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import attrs

from . import caller
from .acquiring import LOOK_AGAIN, Acquisition, Queue
from .balancing import Key, Learner, Node, Picker
from .balancing.outlier import Probe
from .balancing.selection import Selection, Shape, Surroundings
from .calling import Rules, call
from .candidates import Candidates
from .changes import changes
from .checks import check_timeout
from .errors import ConfigurationError, DiscoveryError, NoBackends, NotReady, Overloaded
from .events import Event, Hook
from .lease import Lease
from .membership import order
from .model import Backend, Candidate, Change, PoolStatus, Snapshot
from .pool_options import PoolOptions
from .retrying import Budget, Latencies, Outcome, classify

T = TypeVar("T")

NEVER = (-1, -1)
"""No version."""


class Pool:
    """The usable backends of one target. Made by `Discovery.pool`, given back by `async with` or `aclose()`."""

    def __init__(
        self,
        candidates: Candidates,
        options: PoolOptions,
        *,
        around: Surroundings,
        learnt: "Learnt",
        emit: Hook,
        give_back: Callable[["Pool"], None],
        far: str = "",
    ) -> None:
        self._candidates = candidates
        self._membership = candidates.membership
        self._options = options
        self._emit = emit
        self._rng = around.rng
        self._give_back = give_back
        self.far = far  # what to advise where no backend can be connected to
        self.budget = learnt.budget
        self.latencies = learnt.latencies
        self._failures = options.failures
        self.learner = options.balancer if isinstance(options.balancer, Learner) else None
        self._most, self._most_each = options.max_in_flight, options.max_in_flight_per_backend
        self.limited = self._most is not None or self._most_each is not None
        self._held = 0
        self.now = around.now  # seconds, of the loop's clock
        self._learn = None if self.learner is None else _learning(self.learner, self.now)
        self.ended: Callable[[Lease], None] | None = self._over if self.limited else self._learn
        self.plain = self.ended is None  # a pick needs nothing but `node.in_flight += 1`
        # Pools with other options count on the same backends, and do not tell this one when they are done.
        again = None if self._most_each is None else LOOK_AGAIN
        self._queue = Queue(self.pick, options.max_queued, again=again)
        self._closed = False
        self._panic = False
        self._outage = False
        self._laid = -1  # of which version of the candidates the selection is
        self._backends: tuple[tuple[int, int], tuple[Backend, ...]] = (NEVER, ())
        shape = Shape(
            balancer=options.balancer,
            locality=options.locality,
            slow_start=options.slow_start,
            panic_threshold=0.0 if options.outlier is None else options.outlier.panic_threshold,
        )
        self._selection = Selection(candidates.nodes, shape, around)
        # What a pick is made of, for integrations that count on a node themselves: `nodes` is empty once it is closed.
        self.picker: Picker = self._selection.picker
        self.nodes: Sequence[Node] = self._selection.nodes
        candidates.listen(self._refresh)
        self._refresh()

    def __repr__(self) -> str:
        status, synced_at = self.status, self._membership.synced_at
        since = f"synced {self._membership.clock() - synced_at:.1f} s ago" if synced_at is not None else "never synced"
        if status.stale_for:
            since += f", stale for {status.stale_for:.1f} s"
        if status.last_error is not None:
            since += f", {type(status.last_error).__name__}"
        if self._closed:
            since += ", closed"
        if self._candidates.out:
            since += f", {len(self._candidates.out)} kept out"
        if self._candidates.suspended:
            since += ", outage"
        ready = f"0 ready, {status.backends} standing in" if status.standing_in else f"{status.backends} ready"
        return f"<Pool {self._membership.name} {ready}, {status.not_ready} not ready, {since}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Give the pool back; the last one to do so ends it."""
        self._give_back(self)

    def close(self) -> None:
        """Refuse every pick from now on, and end what iterates over `changes()`."""
        if self._closed:
            return
        self._closed = True
        self._candidates.leave(self._refresh)
        self._save(outage=False)
        self.nodes = ()
        self._backends = NEVER, ()
        self._membership.wake()
        self._queue.serve()

    @property
    def in_flight(self) -> int:
        """Leases held now of what its target resolves to, by all pools of the target."""
        return self._membership.in_flight

    @property
    def closed(self) -> bool:
        """Whether it has been given back by all."""
        return self._closed

    # Picking

    def pick(self, key: Key = None) -> Lease:
        """Choose a backend, and count on it until the lease is released.

        Raises:
            NotReady: never synced; the cause says why.
            NoBackends: synced, and nothing is usable.
            Overloaded: `max_in_flight` or `max_in_flight_per_backend` is reached.
            RuntimeError: the pool is closed.
        """
        if self.nodes and not self.limited:
            node = self.picker(key)
            node.in_flight += 1
            return Lease(node, self._failures) if self.plain else Lease(node, self._failures, self.ended, self.now())
        return self.lease(self.choose(key))

    def choose(self, key: Key = None) -> Node:
        """As `pick`, for integrations that count on the node themselves (`lease`)."""
        if not self.nodes and not self._probing():
            raise self._why_not()
        self._check_room()
        node = self.picker(key)
        if self._most_each is None or node.in_flight < self._most_each or isinstance(node, Probe):
            return node  # a probe is one request, and the only one its backend gets
        return self._with_room(self._selection.other((node,), key, room=self._most_each))

    def lease(self, node: Node) -> Lease:
        """The lease of a node that was chosen just now."""
        node.in_flight += 1
        if self.limited:
            self._held += 1
        return Lease(node, self._failures, self.ended, self.now() if self.learner else 0.0)

    def pick_other(self, tried: Collection[Node], key: Key = None) -> Lease:
        """Choose a backend that was not tried, on a machine that was not tried before any other; else any there is.

        Raises:
            NotReady, NoBackends, Overloaded, RuntimeError: as `pick`.
        """
        if not self.nodes:
            raise self._why_not()
        self._check_room()
        return self.lease(self._with_room(self._selection.other(tried, key, room=self._most_each)))

    def answered(self, lease: Lease) -> None:
        """The answer has begun: the time until now is what is learnt of the backend, not that of the answer's end."""
        if self.learner is not None and lease.since:
            now = self.now()
            failed = lease.went is False
            self.learner.observe(lease.node, now - lease.since, now, failed=failed, retry_after=lease.retry_after)
            lease.since = 0.0

    def acquire(self, key: Key = None, timeout: float | None = None) -> Acquisition:
        """`async with pool.acquire() as lease`: wait for a backend, at most `timeout` seconds (None: for ever).

        Those who wait are served in their order. At most `max_queued` wait for a limit on requests in flight.

        Raises:
            NotReady, NoBackends, Overloaded: the time is over; what `pick` would say. Overloaded at once, where too
                many wait already.
            ConfigurationError: `timeout` is no number of seconds.
        """
        check_timeout(timeout)
        return Acquisition(self._queue, key, timeout)

    async def call(
        self, fn: Callable[[Backend], Awaitable[T]], *, idempotent: bool | None = None, key: Key = None
    ) -> T:
        """Run `fn(backend)` with this pool's retries, hedges, budget and deadline, for any protocol.

        What is left out here is as `discovery.options` says it around the call.

        Args:
            fn: the whole exchange. Exceptions of `failures` (by default OSError, TimeoutError and EOFError) count
                against the backend.
            idempotent: whether it may be done twice. If not, only a connection that was never made is tried again.
            key: for hash policies.

        Raises:
            NotReady, NoBackends, Overloaded: as `pick`.
            RetriesExhausted: every attempt failed; from the last error.
            DeadlineExceeded: the time for the call is over; from the last error, if there was an attempt.
        """
        rules = self.rules(classify)
        end = rules.end()
        said = caller.current()
        if said is not None:
            idempotent = said.idempotent if idempotent is None else idempotent
            key = said.key if key is None else key

        async def attempt(lease: Lease, _number: int) -> T:
            with lease:
                try:
                    async with asyncio.timeout_at(rules.limit(end)) as limit:
                        return await fn(lease.backend)
                except TimeoutError as error:
                    if not limit.expired():
                        raise
                    raise TimeoutError(f"no answer from {lease.backend.netloc} in time") from error

        return await call(
            attempt,
            self.pick(key),
            lambda tried: self.pick_other(tried, key),
            idempotent=bool(idempotent),
            rules=rules,
            end=end,
        )

    def rules(self, judge: Callable[[BaseException], Outcome]) -> Rules:
        """How calls on this pool are tried again, by what `judge` makes of an error."""
        return Rules(
            policy=self._options.retry,
            judge=judge,
            rng=self._rng,
            emit=self._emit,
            clock=self._membership.clock,
            name=self._membership.name,
            far=self.far,
            budget=self.budget,
            latencies=self.latencies,
        )

    # Knowing

    @property
    def options(self) -> PoolOptions:
        """What it was made with."""
        return self._options

    @property
    def name(self) -> str:
        """The target, as text."""
        return self._membership.name

    @property
    def backends(self) -> tuple[Backend, ...]:
        """What `pick` may return now, ordered by address: without those that are kept out.

        The subset that is on by itself above 100 backends only spares connections: those beyond it are told here too,
        as another client picks them. One that was asked for (`subset=`) is all that is told.
        """
        version = self._selection.version, self._membership.version
        if self._backends[0] != version:
            self._backends = version, tuple(sorted((node.backend for node in self._pickable()), key=order))
        return self._backends[1]

    def _pickable(self) -> Iterable[Node]:
        if self._closed:
            return ()
        beyond = self._membership.nodes if self._options.subset is None else ()
        return (*self._selection.nodes, *(node for node in beyond if node not in self._candidates))

    @property
    def snapshot(self) -> Snapshot:
        """All that the target offers as usable, with its version and the time of the first sync.

        What a client's own subset, outlier detection or zone leaves out of `backends` is in it.
        """
        return self._membership.snapshot()

    @property
    def status(self) -> PoolStatus:
        """How the pool stands."""
        held = self._membership
        return PoolStatus(
            synced=held.synced_at is not None,
            backends=len(held.nodes),
            not_ready=held.not_ready,
            standing_in=held.standing_in,
            stale_for=held.stale_for(),
            last_error=held.last_error,
            ejected=len(self._candidates.out),
            panic=self._selection.panic,
            outage=self._candidates.suspended,
        )

    def explain(self) -> tuple[Candidate, ...]:
        """Every address known, whether it may be picked, and why."""
        return tuple(self._explained(candidate) for candidate in self._membership.candidates())

    def _explained(self, candidate: Candidate) -> Candidate:
        node = self._membership.record(candidate.backend.id) if candidate.usable else None
        if node is None:
            return candidate
        if node not in self._candidates:
            return attrs.evolve(candidate, usable=False, reason="not in this client's subset")
        ejection = self._candidates.out.get(node)
        why = self._selection.why_not(node)
        if why:
            return attrs.evolve(candidate, usable=False, reason=ejection.reason if ejection is not None else why)
        if ejection is not None:
            return attrs.evolve(candidate, reason=f"in panic all are used, though {ejection.reason}")
        return candidate

    @property
    def notes(self) -> tuple[str, ...]:
        """What is worth knowing of the target and is no error, such as a policy that cannot be kept here."""
        return tuple(remark.text for remark in self._membership.remarks)

    async def ready(self, timeout: float | None = None) -> None:
        """Wait until at least one backend is usable, at most `timeout` seconds (None: for ever).

        Raises:
            NotReady: the time is over, or the configuration cannot work; the message and the cause say why.
            ConfigurationError: `timeout` is no number of seconds.
            RuntimeError: the pool is closed.
        """
        check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout):
                while not self.nodes:
                    if self.closed:
                        raise self._why_not()
                    if isinstance(self._membership.last_error, ConfigurationError):
                        break
                    await self._membership.turned()
                else:
                    return
        except TimeoutError:
            pass
        raise self._not_ready(timeout)

    async def turned(self) -> None:
        """Wait for the next change of what may be picked, of the sync, of the error, or the end."""
        await self._membership.turned()

    async def settled(self, timeout: float | None = None, errors: tuple[type[Exception], ...] = (Exception,)) -> bool:
        """Wait until the target has been resolved once, or one of `errors` says that it cannot be.

        Returns:
            Whether it has been resolved; False also when `timeout` seconds were not enough. `status` tells more.
        """
        held = self._membership
        try:
            async with asyncio.timeout(timeout):
                while held.synced_at is None and not isinstance(held.last_error, errors) and not self.closed:
                    await held.turned()
        except TimeoutError:
            pass
        return held.synced_at is not None

    def why_empty(self) -> DiscoveryError:
        """Why a pool that is synced has nothing to pick from."""
        ejected = len(self._candidates.out)
        if self._candidates.nodes and ejected:
            return NoBackends(
                f"{self.name} has nothing usable: {ejected} of {len(self._candidates.nodes)} are kept out for failures",
                next_step="pool.explain() tells why of each; OutlierDetection(panic_threshold=...) uses all then",
            )
        return self._membership.why_empty()

    def changes(self) -> AsyncIterator[Change]:
        """First the current set as soon as there is one, then what was added, removed and updated since.

        It tells of `snapshot`: all that the target offers. A slow reader misses nothing and delays nobody: what happens
        meanwhile is told as one change. It ends with the pool.
        """
        return changes(self._membership, lambda: self._closed)

    # Keeping

    def relocate(self) -> None:
        """The client's own zone has become known, or another."""
        if self._options.locality is not None and not self._closed:
            self._laid = -1
            self._refresh()

    def _refresh(self) -> None:
        """The candidates changed, or what is thought of them."""
        held, selection = self._candidates, self._selection
        if self._laid != held.version:  # else all that is new is whether a probe is wanted
            self._laid = held.version
            selection.refresh(held.out, uneven=held.uneven, ranked=held.ranked)
        self.nodes = selection.nodes
        self.picker = self._pick_probe if self._probing() else selection.picker
        panic = selection.panic or (self._panic and held.outage)  # it comes and goes with each answer of an outage
        if panic is not self._panic:
            self._panic = panic
            name = "panic.started" if self._panic else "panic.ended"
            self._emit(Event(name, self.name, {"out": len(held.out), "backends": len(held.nodes)}))
        self._save(outage=selection.panic and held.suspended)
        if self._queue:
            self._queue.serve()

    def _save(self, *, outage: bool) -> None:
        """In an outage of the whole service the budget is spared."""
        if self.budget is not None and outage is not self._outage:
            self.budget.outages += 1 if outage else -1
        self._outage = outage

    def _probing(self) -> bool:
        """Whether the next pick is the one request that a backend is tried with again."""
        detector = self._candidates.detector
        return detector is not None and detector.wanted()

    def _pick_probe(self, key: Key) -> Node:
        detector = self._candidates.detector
        assert detector is not None
        node = detector.probe()
        self.picker = self._pick_probe if self._probing() else self._selection.picker
        if node is not None:
            return node
        if not self.nodes:
            raise self._why_not()
        return self._selection.picker(key)

    def _over(self, lease: Lease) -> None:
        """A lease of a pool with limits has ended."""
        if self._learn is not None:
            self._learn(lease)
        self._held -= 1
        if self._queue:
            self._queue.serve()

    def _check_room(self) -> None:
        if self._most is not None and self._held >= self._most:
            raise self._overloaded(f"{self._held} exchanges are in flight, as many as max_in_flight allows")

    def _with_room(self, node: Node) -> Node:
        """The node, that was chosen among those with room: if it has none, nobody has."""
        if self._most_each is not None and node.in_flight >= self._most_each:
            raise self._overloaded(f"each of {len(self.nodes)} backends has {self._most_each} exchanges in flight")
        return node

    def _overloaded(self, why: str) -> Overloaded:
        return Overloaded(
            f"{self.name}: {why}", next_step="Send less, raise the limit, or wait for a place with pool.acquire()"
        )

    def _why_not(self) -> Exception:
        if self.closed:
            return RuntimeError(f"the pool {self.name} is closed")
        return self._not_ready(None) if self._membership.synced_at is None else self.why_empty()

    def _not_ready(self, timeout: float | None) -> NotReady:
        within = "" if timeout is None else f" within {timeout:g} s"
        cause = self._membership.last_error
        if cause is None and self._membership.synced_at is not None:
            cause = self.why_empty()
        error = NotReady(f"{self.name} is not ready{within}: {cause or 'the first answer is still awaited'}")
        error.__cause__ = cause
        return error


def _learning(learner: Learner, clock: Callable[[], float]) -> Callable[[Lease], None]:
    """What tells a policy of each lease that ends. A closure, because it runs for every request."""
    observe = learner.observe

    def ended(lease: Lease) -> None:
        if lease.went is not None and lease.since:
            now = clock()
            observe(lease.node, now - lease.since, now, failed=not lease.went, retry_after=lease.retry_after)

    return ended


@attrs.frozen
class Learnt:
    """What all pools of a target that say the same share beside the backends' records."""

    budget: Budget | None
    latencies: Latencies | None
