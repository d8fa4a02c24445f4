"""One run of a bridge: waits for what changes, and has passes made. Owns its tasks, and ends them in good order."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from ..consul.api import Consul
from ..consul.blocking import DENIED
from ..errors import ConfigurationError, ConsulError, DiscoveryError, quote
from ..events import Event, Hook
from .judging import Evidence
from .kubernetes.confirming import Confirming
from .kubernetes.model import Cluster
from .kubernetes.sources import Kubernetes, Sources
from .leading.freshness import Freshness
from .leading.session_lock import Leadership, SessionLock
from .leading.yielding import PATIENCE, Yielding
from .options import BridgeOptions
from .records import ServiceKey
from .registry.apply import Outcome
from .registry.approval import Approval
from .status import BridgeStatus
from .syncing import Syncing
from .timing import Debounce, Due, Pauses

ASKED_AGAIN = 5.0
"""Seconds between two looks at whether an operator has approved what is held back."""

ENDING = 8.0
"""Seconds that the orderly end may take; the giving up of the lock comes after it."""


class Running:
    """A bridge at work.

    Args:
        consul: where to write.
        kubernetes: what opens the watches.
        leadership: who may write.
        options: of the bridge.
        emit: takes events.
        rng: spreads pauses.
    """

    def __init__(
        self,
        consul: Consul,
        kubernetes: Kubernetes,
        leadership: Leadership,
        options: BridgeOptions,
        emit: Hook,
        rng: random.Random,
    ) -> None:
        self.now = asyncio.get_running_loop().time
        self.leadership = leadership
        self.cluster = Cluster(options)
        self.errors: Counter[str] = Counter()
        self.error: DiscoveryError | None = None
        self._options = options
        self._emit = emit
        self._debounce = Debounce(options.debounce, options.max_debounce)
        self.sources = Sources(kubernetes, options, self.cluster, emit, self._debounce.wake)
        self.syncing = Syncing(consul, self.cluster, options, leadership, emit, self.now)
        self._consul = consul
        self.approval = Approval(consul, options)
        self._pauses = Pauses(rng)
        self._repair, self._retry, self._ask = (Due(self.now) for _ in range(3))
        self._begun = False
        self._led = False  # by anybody that was seen to
        self._unapproved = ("", "")
        self._behind_since: float | None = None
        self.confirming = Confirming(self.sources, self.cluster, options, self.now, self._debounce.wake)
        self.on_leadership: Callable[[], None] = _nothing
        self._tasks: list[asyncio.Task[None]] = []
        self._started_at = self.now()
        self._all = True  # the next pass looks at every Service
        self._lost = False  # we led, and have not since
        self._yielding = Yielding(min(PATIENCE, (options.expire_after or PATIENCE) / 2))

    def stale_for(self) -> float:
        """Seconds since the source that has been silent longest spoke; 0 while all speak."""
        error = self.sources.error
        return 0.0 if error is None else max(0.0, self.now() - error[1])

    def status(self) -> BridgeStatus:
        """How it stands."""
        syncing, leadership = self.syncing, self.leadership
        owned = syncing.catalog.owned.values()
        held_back: Counter[str] = Counter(one.reason for ones in syncing.withheld.values() for one in ones)
        return BridgeStatus(
            owner=self._options.owner,
            synced=self.sources.synced,
            stale_for=self.stale_for(),
            leading=leadership.leading,
            leader_known=leadership.known,
            leader=leadership.holder,
            owned=len(owned),
            passing=sum(held.instance.status == "passing" for held in owned),
            services=len(syncing.catalog.services),
            withheld=dict(held_back),
            asks=syncing.asks,
            unusable=dict(syncing.wanting.unusable),
            filtered=syncing.filtered,
            passes=syncing.passes,
            transactions=syncing.transactions,
            changes=dict(syncing.totals),
            errors=dict(self.errors),
            behind_for=0.0 if self._behind_since is None else self.now() - self._behind_since,
            last_error="" if self.error is None else str(self.error),
        )

    async def woken(self) -> None:
        """Wait until something has changed, in Kubernetes or in who leads."""
        await self._debounce.wait()

    @property
    def _awaited(self) -> bool:
        """Whether a first pass is waited for: there is no reason to let more changes come together before it."""
        return not self._begun or (self.leadership.leading and not self.syncing.loaded)

    async def run(self) -> None:
        """Work until cancelled; then do what is to be done at the end."""
        async with self.opened():
            try:
                while True:
                    await self._debounce.wait(self._next(), settle=not self._awaited)
                    await self.turn()
            finally:
                await self._end()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Follow the cluster and stand for leader, within the block."""
        self._started_at = self.now()
        self._tasks = [asyncio.create_task(self.leadership.run(self._elected), name="bridge: leadership")]
        self._tasks.append(asyncio.create_task(self._freshness().run(), name="bridge: freshness"))
        if isinstance(self.leadership, SessionLock):
            self.leadership.contend(False)  # it is for those who can read the cluster
        for task in self._tasks:
            task.add_done_callback(lambda _: self._debounce.wake())
        try:
            self.sources.open()
            yield
        finally:
            self.sources.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self.confirming.aclose()

    def _elected(self) -> None:
        """Who leads may have changed, or why that is not known."""
        self._led = self._led or self.leadership.known
        self._lost = self._lost or not self.leadership.leading
        self._debounce.wake()
        self.on_leadership()

    async def take_up(self) -> None:
        """Take up what has come of the cluster.

        Raises:
            ConfigurationError: nothing has come yet, of the cluster or of the lock, and with these options nothing can.
        """
        for task in self._tasks:
            if task.done():
                task.result()  # a fault of ours: nothing else ends it
        await self.sources.take_up()
        self._despair()
        lock = self.leadership
        if self.sources.synced and isinstance(lock, SessionLock):
            stands = self._yielding.stands(
                self.now(), leading=lock.leading, known=lock.known, silent_for=self.stale_for()
            )
            lock.contend(stands)

    def _despair(self) -> None:
        """Give up what no waiting helps against, while nothing is lost by it: once it has worked, files come back."""
        failed = self.sources.error
        errors = (
            None if failed is None or self.sources.begun else failed[0],
            None if self._led else self.leadership.error,
        )
        for error in errors:
            if isinstance(error, ConfigurationError):
                raise error

    def _freshness(self) -> Freshness:
        return Freshness(self._consul, self.leadership, self._options, silent_for=self._silent_for, emit=self._emit)

    def _silent_for(self) -> float:
        """Seconds since all that is read of the cluster was current; before the first lists, since the beginning."""
        return self.stale_for() if self.sources.synced else self.now() - self._started_at

    # One turn

    async def turn(self) -> None:
        """Take up what has come, and make a pass where there is something to do."""
        await self.take_up()
        if not self.sources.synced:
            return
        if not self._begun:
            self._begun = True
            self.confirming.begin()
            self._emit(Event("bridge.synced", self._options.owner, {"services": len(self.cluster)}))
        if self.confirming.look():
            self.cluster.dirty |= set(self.syncing.withheld)
        if self._lost or not self.leadership.leading:  # somebody else may have written, even if we lead again by now
            self._lost = False
            self.syncing.forget()
            self._all = True
            self.cluster.dirty.clear()
        if not self.leadership.leading:
            self._stand_by()
            return
        if self._retry.at is None or self._retry.taken():
            try:
                await self._pass()
            except DiscoveryError as error:
                self._failed(error)

    def _stand_by(self) -> None:
        """Where another leads, nothing is behind for our sake; where nobody does, everything is."""
        if self.leadership.known:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = self.now()

    async def _pass(self) -> None:
        if self._behind_since is None and (self._all or self.cluster.dirty):
            self._behind_since = self.now()
        approved = await self._approved()
        keys = await self._keys()
        if keys is not None and not keys and not self.syncing.waiting:
            self._current()
            return
        confirmed = self.confirming.confirmed and self.sources.error is None
        evidence = Evidence(confirmed=confirmed, twice=self.confirming.confirmed, approved=approved)
        if keys is None and not self.syncing.catalog.owned:
            outcome = await self.syncing.fill(evidence)
        else:
            outcome = await self.syncing.apply(await self.syncing.plan(keys, evidence))
        self._note(outcome, keys)
        if approved and outcome.error is None:
            await self.approval.used()

    async def _keys(self) -> set[ServiceKey] | None:
        """Services to look at; None for all."""
        if not self.syncing.loaded or self._repair.taken():
            self._repair.after(0.0)  # until it is done
            await self.syncing.load()
            self._repair.after(self._options.repair)
            self._all = True
        self.cluster.dirty |= await self.syncing.reread()
        keys, self.cluster.dirty = self.cluster.dirty, set()
        everything, self._all = self._all, False
        return None if everything else keys

    def _note(self, outcome: Outcome, keys: set[ServiceKey] | None) -> None:
        if outcome.deposed:
            self.syncing.forget()
            self._all = True
            return
        changed = bool(outcome.lost) or any(reason == "conflict" for _, reason in outcome.failed)
        if outcome.error is not None or changed:
            self._again(keys)
        else:
            self.syncing.finished(keys)
        if outcome.error is not None:
            self._failed(outcome.error)
        elif changed:
            self._debounce.wake()
        else:
            self._current()
        if self.syncing.asks:
            self._ask.after(ASKED_AGAIN, sooner=True)

    def _again(self, keys: set[ServiceKey] | None) -> None:
        if keys is None:
            self._all = True
        else:
            self.cluster.dirty |= keys

    def _failed(self, error: DiscoveryError) -> None:
        """What was to be done stays to be done; it is tried again after a pause."""
        reason = error.reason if isinstance(error, ConsulError) else type(error).__name__
        pause = max(self._pauses.failed(), DENIED if reason == "denied" else 0.0)
        self._retry.after(pause)
        self._all = True
        self.errors[reason] += 1
        name = "bridge.failed" if self.error is None else "bridge.retry"
        self.error = error
        self._emit(Event(name, self._options.owner, {"error": str(error), "reason": reason, "pause": round(pause, 1)}))

    def _current(self) -> None:
        """Consul holds all that is wanted, but for what is held back."""
        self._behind_since = None
        self._pauses.worked()
        if self.error is not None:
            self.error = None
            self._emit(Event("bridge.recovered", self._options.owner))

    async def _approved(self) -> str:
        """The word of an operator, where one is waited for and given."""
        if not self._ask.taken() or not self.syncing.asks:
            return ""
        self._ask.after(ASKED_AGAIN)
        word = await self.approval.given()
        if word != self.syncing.asks:
            self._say_unapproved(word)
            return ""
        self.cluster.dirty |= set(self.syncing.withheld)
        return word

    def _say_unapproved(self, word: str) -> None:
        """Once: an operator has given another word than is asked for."""
        if word and self._unapproved != (word, self.syncing.asks):
            self._unapproved = word, self.syncing.asks
            data = {"word": quote(word), "asks": self.syncing.asks}
            self._emit(Event("bridge.unapproved", self._options.owner, data))

    # Times

    def _next(self) -> float | None:
        """When there is something to do even if nothing happens."""
        dues = [self.confirming.at, self._yielding.at]
        if self.leadership.leading and self._retry.at is not None:
            dues.append(self._retry.at)
        elif self.leadership.leading:
            dues += [self._repair.at, self._ask.at, self.syncing.next_try]
        return min((at for at in dues if at is not None), default=None)

    async def _end(self) -> None:
        """What the options want of an orderly end, within bounds."""
        if self._options.shutdown == "keep" or not self.leadership.leading or not self.syncing.loaded:
            return
        try:
            async with asyncio.timeout(ENDING):
                await self.syncing.reread()
                await self.syncing.end()
        except (DiscoveryError, TimeoutError) as error:
            self._emit(Event("bridge.unfinished", self._options.owner, {"error": str(error)}))


def _nothing() -> None:
    """Nobody else wants to know who leads."""
