"""Follows Consul: the list of names, and each service that is wanted, by blocking queries.

A failure changes nothing of what is known. What is known is given as a whole, and may be older for one service than for
another: each is right as of its own last answer.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from ...consul.blocking import Pace, next_index, pause
from ...consul.objects import HealthEntry
from ...consul.reads import ONCE, Answer, Read
from ...errors import ConsulError, DiscoveryError
from ...events import Event, Hook
from .absences import Absences
from .instances import Sighting, sighting
from .options import CONSUL, MOST, ImportOptions

T = TypeVar("T")

Names = dict[str, tuple[str, ...]]
"""Services and the tags of their instances."""

Instances = tuple[HealthEntry, ...]

NAMES = "the list of services"
"""What it is called in events."""

WAIT = 300.0
"""Seconds that a query blocks while nothing is awaited in particular."""

MARGIN = 0.05
"""Seconds by which a confirming list comes later than it has to: clocks are not read at the same instant."""

AT_ONCE = 8
"""Services that `read` asks for at a time."""


class Catalog(Protocol):
    """The two reads of a `Consul` that are used here."""

    async def services(self, read: Read = ONCE) -> Answer[Names]:
        """The names of all services, and their tags."""

    async def health(self, service: str, read: Read = ONCE, *, tags: Sequence[str] = ()) -> Answer[Instances]:
        """The instances of one, with their checks."""


class Sources:
    """What Consul says of the services that are wanted.

    Args:
        consul: where it is asked.
        options: which services.
        emit: takes events.
        rng: spreads pauses.
        changed: called when something is known that was not.

    Attributes:
        seen: each service that is listed; None until it has been read.
        listed: the names have been read once.
    """

    def __init__(
        self, consul: Catalog, options: ImportOptions, *, emit: Hook, rng: random.Random, changed: Callable[[], None]
    ) -> None:
        self._consul = consul
        self._options = options
        self._emit = emit
        self._rng = rng
        self._changed = changed
        self._absences = Absences(options.confirm_after)
        self._following: dict[str, asyncio.Task[None]] = {}
        self._beyond: frozenset[str] = frozenset()
        self._failing: set[str] = set()
        self.seen: dict[str, Sighting | None] = {}
        self.listed = False

    def __repr__(self) -> str:
        return f"<Sources {len(self.seen)} services, {len(self._following)} followed>"

    @property
    def synced(self) -> bool:
        """Whether the names have been read, and each service that is followed: one that cannot be holds up no other."""
        return self.listed and all(self.seen[name] is not None or name in self._failing for name in self._chosen())

    def gone(self, name: str) -> bool:
        """Whether a service is not in Consul any more, beyond doubt."""
        return self._absences.gone(name)

    # Once

    async def read(self) -> None:
        """Read the names, and every service, once.

        Raises:
            ConsulError: something could not be read.
        """
        self._take_names(await self._consul.services(ONCE), went_back=False)
        free = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with free:
                self._take(name, await self._consul.health(name, ONCE))

        try:
            async with asyncio.TaskGroup() as group:
                for name in self._chosen():
                    group.create_task(one(name))
        except* ConsulError as failures:
            raise failures.exceptions[0] from None

    # For as long as it runs

    async def run(self) -> None:
        """Follow Consul until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                await self._follow(NAMES, self._consul.services, partial(self._names_answered, group), self._wait)
        finally:
            self._following.clear()

    async def _follow(
        self,
        what: str,
        ask: Callable[[Read], Awaitable[Answer[T]]],
        take: Callable[[Answer[T], bool], None],
        wait: Callable[[], float] = lambda: WAIT,
    ) -> None:
        """Ask one thing again and again. `take` is told whether Consul's index is lower than it ever was here."""
        loop = asyncio.get_running_loop()
        pace, index, newest, failures = Pace(loop.time()), 0, 0, 0
        while True:
            await asyncio.sleep(pace.delay(loop.time()))
            try:
                answer = await ask(Read(index=index, wait=wait()))
            except DiscoveryError as error:
                failures, index = failures + 1, 0  # whoever answers next may not have come as far
                await self._failed(what, error, failures)
                continue
            failures = 0
            self._recovered(what)
            went_back, newest = answer.index < newest, answer.index
            index = next_index(index, answer.index)
            take(answer, went_back)

    def _names_answered(self, group: asyncio.TaskGroup, answer: Answer[Names], went_back: bool) -> None:
        news = self._take_names(answer, went_back=went_back)
        chosen = self._chosen()
        for name in self._following.keys() - set(chosen):
            self._following.pop(name).cancel()
            self._failing.discard(name)
        for name in chosen:
            if name not in self._following:
                asking = self._follow(name, partial(self._consul.health, name), partial(self._answered, name))
                self._following[name] = group.create_task(asking, name=f"import of {name}")
        if news:
            self._changed()

    def _answered(self, name: str, answer: Answer[Instances], _went_back: bool) -> None:
        if self._take(name, answer):
            self._changed()

    def _wait(self) -> float:
        """How long the list of names may block: shorter while it has to confirm something."""
        return min(self._options.confirm_after + MARGIN, WAIT) if self._absences.open else WAIT

    async def _failed(self, what: str, error: DiscoveryError, failures: int) -> None:
        """Say it, once, and pause."""
        reason = error.reason if isinstance(error, ConsulError) else type(error).__name__
        name = "import.retry" if what in self._failing else "import.failed"
        if what not in self._failing:
            self._failing.add(what)
            self._changed()
        self._emit(Event(name, what, {"error": str(error), "reason": reason}))
        await asyncio.sleep(pause(failures, self._rng, reason))

    def _recovered(self, what: str) -> None:
        if what in self._failing:
            self._failing.discard(what)
            self._emit(Event("import.recovered", what))

    # What an answer says

    def _take_names(self, answer: Answer[Names], *, went_back: bool) -> bool:
        """Whether anything is otherwise than it was known to be."""
        was_open, first = self._absences.open, not self.listed
        listed = answer.value
        wanted = frozenset(name for name, tags in listed.items() if self._options.wants(name, tags))
        whole = answer.known_leader and not answer.filtered
        now = asyncio.get_running_loop().time()
        self._absences.listed(wanted, now, whole=whole, went_back=went_back, bare=not listed.keys() - {CONSUL})
        # From an answer that is not whole nothing follows about what it lacks.
        kept = wanted if whole else wanted | self.seen.keys()
        news = first or was_open or kept != self.seen.keys()
        self.seen = {name: self.seen.get(name) for name in sorted(kept)}
        self.listed = True
        self._tell_beyond()
        return news

    def _take(self, name: str, answer: Answer[Instances]) -> bool:
        """Whether the service is otherwise than it was known to be."""
        if name not in self.seen:
            return False
        before = self.seen[name]
        now = sighting(answer.value, self._options, whole=answer.known_leader and not answer.filtered)
        self.seen[name] = now
        for one in now.skipped if before is None else set(now.skipped) - set(before.skipped):
            self._emit(Event("import.skipped", name, {"instance": one.instance, "reason": one.reason}))
        return now != before

    def _chosen(self) -> list[str]:
        """The names that are followed: those that are already, and others as long as there are not too many."""
        names = sorted(self.seen, key=lambda name: (name not in self._following, self.seen[name] is None, name))
        return names[:MOST]

    def _tell_beyond(self) -> None:
        beyond = frozenset(self.seen) - frozenset(self._chosen())
        if beyond - self._beyond:
            self._emit(
                Event("import.too-many", "", {"services": len(self.seen), "most": MOST, "left": sorted(beyond)[:5]})
            )
        self._beyond = beyond
