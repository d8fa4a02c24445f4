"""Checks the backends that another way of finding them tells, and withholds those that fail.

What it tells is passed on at once, with `withheld` for what checks have said. That the source speaks is passed on as
soon as something is offered: who waits for a pool to be ready waits for the first checks too. What the results come to
is decided in `checked_set`, how a check is made in `probes`. Time passes here.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable

from ..events import Event, Hook
from ..model import Backend, BackendId
from . import NONE_WITHHELD, Remark, Resolver, Sink, Withheld
from .checked_set import CheckedSet
from .derived import Delta
from .health import Health, HealthCheck
from .probes import Probe

AT_ONCE = 64
"""Checks of one target under way at a time: a thousand backends found at once are connected to in turn."""

JITTER = 0.1
"""The part of an interval by which a check may be early or late, so that clients and backends part."""

FIRST_EARLIER = 0.5
"""The part by which the second check may be early: backends found at once are not all due at once again."""

Check = Callable[[Backend], Awaitable[str | None]]
"""Checks a backend: why it failed, or None where it passed."""


class CheckedResolver:
    """A way of finding backends, with health checks. Implements `Resolver`.

    Args:
        resolver: finds them.
        spec: how they are checked.
        emit: takes events.
        rng: spreads checks.
        name: the target, as text.
        check: makes one check; None makes it as `spec` says.
    """

    def __init__(
        self,
        resolver: Resolver,
        spec: HealthCheck,
        emit: Hook,
        rng: random.Random,
        *,
        name: str,
        check: Check | None = None,
    ) -> None:
        self._resolver = resolver
        self._spec = spec
        self._emit = emit
        self._rng = rng
        self._name = name
        self._check = check or Probe(spec)
        self._found = CheckedSet(spec)  # outlives a run that breaks: what was learnt holds

    async def run(self, sink: Sink) -> None:
        """Find and check until cancelled.

        Raises:
            Exception: what the inner resolver raises, when no check is under way any more.
        """
        broken: Exception | None = None
        async with asyncio.TaskGroup() as group:
            checks = _Checks(self._check, self._spec, self._rng, group)
            between = _Between(self._found, checks, sink, self._report)
            telling = group.create_task(between.keep())
            try:
                await self._resolver.run(between)
            except Exception as error:  # noqa: BLE001 - raised below, as itself and not in a group
                broken = error
                telling.cancel()
                checks.end()
        if broken is not None:
            raise broken

    def _report(self, backend: Backend, before: Health, after: Health) -> None:
        """Events: once when a backend goes out, once when it is back."""
        if before.standing != after.standing:
            if after.standing == "failing":
                self._emit(Event("health.failed", self._name, {"backend": backend.netloc, "error": after.error}))
            elif before.standing == "failing":
                self._emit(Event("health.recovered", self._name, {"backend": backend.netloc}))


class _Checks:
    """The tasks that check backends, one for each; `group` owns them."""

    def __init__(self, check: Check, spec: HealthCheck, rng: random.Random, group: asyncio.TaskGroup) -> None:
        self._check = check
        self._interval = spec.interval
        self._rng = rng
        self._group = group
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[BackendId, asyncio.Task[None]] = {}

    def begin(self, backend: Backend, heard: Callable[[Backend, str | None], None]) -> None:
        """Check a backend from now on, where that is not done yet."""
        if backend.id not in self._tasks:
            self._tasks[backend.id] = self._group.create_task(self._keep(backend, heard))

    def stop(self, key: BackendId) -> None:
        """Check it no more."""
        task = self._tasks.pop(key, None)
        if task is not None:
            task.cancel()

    def end(self) -> None:
        """Check nothing more."""
        for key in tuple(self._tasks):
            self.stop(key)

    async def _keep(self, backend: Backend, heard: Callable[[Backend, str | None], None]) -> None:
        earlier = FIRST_EARLIER
        while True:
            async with self._places:
                error = await self._check(backend)
            heard(backend, error)
            await asyncio.sleep(self._interval * self._rng.uniform(1.0 - earlier, 1.0 + JITTER))
            earlier = JITTER


class _Between:
    """The sink of the inner resolver: tells the outer one what both it and the checks say."""

    def __init__(
        self, found: CheckedSet, checks: _Checks, sink: Sink, report: Callable[[Backend, Health, Health], None]
    ) -> None:
        self._found = found
        self._checks = checks
        self._sink = sink
        self._report = report
        self._remarks: tuple[Remark, ...] = ()
        self._news = asyncio.Event()
        self._speaks = False  # which has not been passed on

    def replace(self, backends: Iterable[Backend], withheld: Withheld = NONE_WITHHELD) -> None:
        """These are all there are, and the source speaks."""
        self._found.replace(backends, withheld)
        self.synced()

    def update(
        self, changed: Iterable[Backend], removed: Iterable[BackendId], withheld: Withheld = NONE_WITHHELD
    ) -> None:
        """These are new or different, and those are gone."""
        self._found.update(changed, removed, withheld)
        self._tell()

    def synced(self) -> None:
        """All that is there has been told, and the source speaks (again)."""
        self._speaks = True
        self._tell()

    def failed(self, error: Exception, since: float | None = None) -> None:
        """The source cannot be read. It has spoken before, whatever checks have yet to say."""
        if self._speaks:
            self._speaks = False
            self._sink.synced()
        self._sink.failed(error, since)

    def note(self, error: Exception | None) -> None:
        """What is wrong with what the source says."""
        self._sink.note(error)

    def remark(self, remarks: tuple[Remark, ...]) -> None:
        """What is worth knowing and is no error."""
        self._remarks = remarks
        self._remark()

    async def keep(self) -> None:
        """Tell what checks have said: what comes together is one change."""
        while True:
            await self._news.wait()
            self._news.clear()
            self._tell()

    def _heard(self, backend: Backend, error: str | None) -> None:
        change = self._found.heard(backend.id, error)
        if change is not None:
            self._report(backend, *change)
            self._news.set()

    def _tell(self) -> None:
        delta = self._found.take()
        if delta.changed or delta.removed:
            self._follow(delta)
            self._sink.update(delta.changed, delta.removed, delta.withheld)
            self._remark()
        if self._speaks and self._found.settled:
            self._speaks = False
            self._sink.synced()

    def _remark(self) -> None:
        self._sink.remark(self._remarks + self._found.remarks())

    def _follow(self, delta: Delta) -> None:
        for key in delta.removed:
            self._checks.stop(key)
        for backend in delta.changed:
            if self._found.is_checked(backend.id):
                self._checks.begin(backend, self._heard)
            else:
                self._checks.stop(backend.id)
