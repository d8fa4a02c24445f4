"""A pool: the usable backends of one target, and the pick.

What is known of the backends lives in the target's `Membership`, which all its pools share; a pool adds how it picks.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import attrs

from .balancing import Balancer, Key, LeastRequest, Node, Picker
from .calling import Rules, call
from .checks import check_timeout, instance
from .errors import ConfigurationError, DiscoveryError, NoBackends, NotReady, quote
from .events import Hook
from .lease import FAILURES, Lease
from .membership import Membership
from .model import Backend, BackendId, Candidate, Change, PoolStatus, Snapshot
from .retrying import Outcome, RetryPolicy, classify

T = TypeVar("T")


def _failures(_instance: object, _attribute: "attrs.Attribute[Any]", value: object) -> None:
    kinds = value if isinstance(value, tuple) else (None,)
    if not all(isinstance(kind, type) and issubclass(kind, BaseException) for kind in kinds):
        raise ConfigurationError(f"failures={quote(value)} is no tuple of exceptions")


@attrs.frozen(kw_only=True)
class PoolOptions:
    """What makes two pools of one target different. `failures`: exceptions that count against a backend.

    Raises:
        ConfigurationError: one is of the wrong kind, or cannot be hashed.
    """

    balancer: Balancer = attrs.field(factory=LeastRequest, validator=instance(Balancer))
    retry: RetryPolicy = attrs.field(factory=RetryPolicy, validator=instance(RetryPolicy))
    failures: tuple[type[BaseException], ...] = attrs.field(default=FAILURES, validator=_failures)

    def __attrs_post_init__(self) -> None:
        try:
            hash(self)
        except TypeError as error:
            raise ConfigurationError(
                f"{quote(self.balancer)} cannot be hashed",
                next_step="Make a policy a frozen value: equal ones share a pool",
            ) from error


@attrs.define
class _Few:
    """Members for one pick."""

    nodes: list[Node]
    version: int = 0


class Pool:
    """The usable backends of one target. Made by `Discovery.pool`, given back by `async with` or `aclose()`."""

    def __init__(
        self,
        membership: Membership,
        options: PoolOptions,
        *,
        emit: Hook,
        rng: random.Random,
        give_back: Callable[["Pool"], None],
        far: str = "",
    ) -> None:
        self._membership = membership
        self._options = options
        self._emit = emit
        self._rng = rng
        self._give_back = give_back
        self.far = far  # what to advise where no backend can be connected to
        # What a pick is made of, for integrations that count on a node themselves: `nodes` is empty once it is closed.
        self.picker: Picker = options.balancer.picker(membership, rng)
        self.nodes: Sequence[Node] = membership.nodes
        self._failures = options.failures
        self._closed = False

    def __repr__(self) -> str:
        status, synced_at = self.status, self._membership.synced_at
        since = f"synced {self._membership.now() - synced_at:.1f} s ago" if synced_at is not None else "never synced"
        if status.stale_for:
            since += f", stale for {status.stale_for:.1f} s"
        if status.last_error is not None:
            since += f", {type(status.last_error).__name__}"
        if self._closed:
            since += ", closed"
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
        self.nodes = ()
        self._closed = True
        self._membership.wake()

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
            RuntimeError: the pool is closed.
        """
        if self.nodes:
            node = self.picker(key)
            node.in_flight += 1
            return Lease(node, self._failures)
        raise self._why_not()

    def choose(self, key: Key = None) -> Node:
        """As `pick`, for integrations that count on the node themselves."""
        if self.nodes:
            return self.picker(key)
        raise self._why_not()

    def pick_other(self, tried: Sequence[Node], key: Key = None) -> Lease:
        """Choose a backend that was not tried, on a node that was not tried before any other; else any there is."""
        if not self.nodes:
            raise self._why_not()
        places = {node.backend.node for node in tried} - {""}
        others = [node for node in self.nodes if node not in tried]
        elsewhere = [node for node in others if node.backend.node not in places]
        nodes = elsewhere or others or list(self.nodes)
        node = self._options.balancer.picker(_Few(nodes), self._rng)(key)
        node.in_flight += 1
        return Lease(node, self._failures)

    def acquire(self, key: Key = None, timeout: float | None = None) -> "Acquisition":
        """`async with pool.acquire() as lease`: wait for a backend, at most `timeout` seconds (None: for ever).

        Raises:
            NotReady, NoBackends: the time is over; what `pick` would say.
            ConfigurationError: `timeout` is no number of seconds.
        """
        check_timeout(timeout)
        return Acquisition(self, key, timeout)

    async def call(self, fn: Callable[[Backend], Awaitable[T]], *, idempotent: bool = False, key: Key = None) -> T:
        """Run `fn(backend)` with this pool's retries, for any protocol.

        Args:
            fn: the whole exchange. Exceptions of `failures` (by default OSError, TimeoutError and EOFError) count
                against the backend.
            idempotent: whether it may be done twice. If not, only a connection that was never made is tried again.
            key: for hash policies.

        Raises:
            NotReady, NoBackends: as `pick`.
            RetriesExhausted: every attempt failed; from the last error.
        """

        async def attempt(lease: Lease) -> T:
            with lease:
                async with asyncio.timeout(self._options.retry.per_try_timeout):
                    return await fn(lease.backend)

        return await call(
            attempt,
            self.pick(key),
            lambda tried: self.pick_other(tried, key),
            idempotent=idempotent,
            rules=self.rules(classify),
        )

    def rules(self, judge: Callable[[BaseException], Outcome]) -> Rules:
        """How calls on this pool are tried again, by what `judge` makes of an error."""
        return Rules(
            policy=self._options.retry,
            judge=judge,
            rng=self._rng,
            emit=self._emit,
            name=self._membership.name,
            far=self.far,
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
        """What `pick` may return now, ordered by address."""
        return self.snapshot.backends

    @property
    def snapshot(self) -> Snapshot:
        """`backends`, with their version and the time of the first sync."""
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
        )

    def explain(self) -> tuple[Candidate, ...]:
        """Every address known, whether it may be picked, and why."""
        return tuple(self._membership.candidates())

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
        return self._membership.why_empty()

    async def changes(self) -> AsyncIterator[Change]:
        """First the current set as soon as there is one, then what was added, removed and updated since.

        A slow reader misses nothing and delays nobody: what happens meanwhile is told as one change. It ends with the
        pool.
        """
        held, told = self._membership, dict[BackendId, Backend]()
        pending: dict[BackendId, None] = {}
        first = True
        held.listeners.add(pending.setdefault)
        try:
            pending.update(dict.fromkeys(node.backend.id for node in held.nodes))
            while not self.closed:
                if held.synced_at is not None:
                    change = self._change(told, pending)
                    if first or change.added or change.removed or change.updated:
                        first = False
                        yield change
                        continue
                await held.turned()
        finally:
            held.listeners.discard(pending.setdefault)

    def _change(self, told: dict[BackendId, Backend], pending: dict[BackendId, None]) -> Change:
        added: list[Backend] = []
        removed: list[Backend] = []
        updated: list[Backend] = []
        for key in pending:
            before, now = told.get(key), self._membership.usable(key)
            if now is None:
                if before is not None:
                    removed.append(told.pop(key))
                continue
            told[key] = now
            if before is None:
                added.append(now)
            elif before != now:
                updated.append(now)
        pending.clear()
        return Change(added=tuple(added), removed=tuple(removed), updated=tuple(updated), snapshot=self.snapshot)

    def _why_not(self) -> Exception:
        if self.closed:
            return RuntimeError(f"the pool {self.name} is closed")
        return self._not_ready(None) if self._membership.synced_at is None else self._membership.why_empty()

    def _not_ready(self, timeout: float | None) -> NotReady:
        within = "" if timeout is None else f" within {timeout:g} s"
        cause = self._membership.last_error
        if cause is None and self._membership.synced_at is not None:
            cause = self._membership.why_empty()
        error = NotReady(f"{self.name} is not ready{within}: {cause or 'the first answer is still awaited'}")
        error.__cause__ = cause
        return error


class Acquisition:
    """A pick that waits. An async context manager, and nothing else."""

    def __init__(self, pool: Pool, key: Key, timeout: float | None) -> None:
        self._pool = pool
        self._key = key
        self._timeout = timeout
        self._lease: Lease | None = None

    async def __aenter__(self) -> Lease:
        self._lease = await self._wait()
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lease is not None
        self._lease.__exit__(kind, error, trace)

    async def _wait(self) -> Lease:
        failure: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        return self._pool.pick(self._key)
                    except (NotReady, NoBackends) as error:
                        failure = error
                    await self._pool.turned()
        except TimeoutError:
            assert failure is not None
            raise failure from failure.__cause__
