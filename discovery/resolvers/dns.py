"""Follows a name in the DNS: each of its questions by a task of its own, asked again by TTL.

When a question is asked again is decided in `dns_refresh`, what all answers come to in `dns_set`: both are pure. Time
passes here.
"""

import asyncio
import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

from ..dns.answers import Answer, Kind
from ..errors import ResolutionError
from ..events import Event, Hook
from ..model import Backend, BackendId
from ..targets import Dns
from ..targets.checks import address as literal
from . import Sink
from .dns_refresh import Known, pause, step
from .dns_set import KIND, Found, Question, compose, fixed, remarks

RESOLUTION_DELAY = 0.05
"""Seconds that a first answer waits for those asked for along with it (RFC 8305, section 3)."""

FEW = 2
"""Questions: both families of a name. More are targets of SRV records, which change together."""


class Finder(Protocol):
    """What looks names up: `dns.lookups.Lookups`."""

    async def find(self, name: str, kind: Kind, server: str | None = None) -> Answer:
        """The records of this kind.

        Raises:
            ResolutionError: there are none, or it cannot be known: see its `reason`.
        """


class DnsResolver:
    """Follows one name. Implements `Resolver`.

    Args:
        target: the name.
        lookups: asks the servers; shared with other names, and bounds how many questions are under way.
        emit: takes events.
        rng: spreads refreshes and pauses.
    """

    def __init__(self, target: Dns, lookups: Finder, emit: Hook, rng: random.Random) -> None:
        self._target = target
        self._lookups = lookups
        self._emit = emit
        self._rng = rng

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled. An address is its own answer."""
        if literal(self._target.name) is not None:
            backends, wrong = fixed(self._target)
            sink.replace(backends)
            sink.note(wrong)
            return
        async with asyncio.TaskGroup() as group:
            await _Following(
                self._target, self._lookups, group, self._rng, _Teller(self._target, sink, self._emit)
            ).run()


class _Following:
    """The questions of a target while it is followed; `group` owns their tasks."""

    def __init__(
        self, target: Dns, lookups: Finder, group: asyncio.TaskGroup, rng: random.Random, teller: "_Teller"
    ) -> None:
        self._target = target
        self._lookups = lookups
        self._group = group
        self._rng = rng
        self._teller = teller
        self._now = asyncio.get_running_loop().time
        self._known: dict[Question, Known] = {}
        self._tasks: dict[Question, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._whole = asyncio.Event()

    async def run(self) -> None:
        """Tell what the answers come to, as they come."""
        while True:
            self._wake.clear()
            found = compose(self._target, self._known)
            if self._ask(found.questions):
                await self._gather()
                continue
            self._teller.tell(found)
            await self._news()

    def _ask(self, questions: tuple[Question, ...]) -> bool:
        """Have these questions asked from now on, and no others; whether some are new."""
        for question in self._tasks.keys() - set(questions):
            self._tasks.pop(question).cancel()
            self._known.pop(question, None)
        new = [question for question in questions if question not in self._tasks]
        for question in new:
            self._whole.clear()
            self._tasks[question] = self._group.create_task(self._keep(question))
        return bool(new)

    async def _news(self) -> None:
        """Wait for something new. What comes close together is one change, where more is awaited or there are many."""
        await self._wake.wait()
        if not self._whole.is_set():
            await self._gather()
        elif len(self._tasks) > FEW:
            await asyncio.sleep(RESOLUTION_DELAY)

    async def _gather(self) -> None:
        """Wait until every question has been answered or has failed once, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RESOLUTION_DELAY):
                await self._whole.wait()

    async def _keep(self, question: Question) -> None:
        """Ask one question again and again."""
        known = Known()
        while True:
            before, known = known, step(known, await self._look_up(question), self._now())
            self._known[question] = known
            if len(self._known) == len(self._tasks):
                self._whole.set()
            if not known.same(before):
                self._wake.set()
            first, others = not before.answered, self._has_others(question)
            await asyncio.sleep(pause(known, self._now(), self._rng, first=first, relaxed=others))

    async def _look_up(self, question: Question) -> Answer | ResolutionError:
        try:
            return await self._lookups.find(question.name, question.kind, self._target.server)
        except ResolutionError as error:
            return error.with_traceback(None)  # its frames hold it: a cycle for each question

    def _has_others(self, question: Question) -> bool:
        """Whether the name has addresses, of whichever family."""
        asked = (self._known.get(Question(question.name, kind)) for kind in KIND.values())
        return any(known is not None and known.answer is not None for known in asked)


class _Teller:
    """Tells a sink what is found, as what is different from before."""

    def __init__(self, target: Dns, sink: Sink, emit: Hook) -> None:
        self._target = target
        self._name = str(target)
        self._sink = sink
        self._emit = emit
        self._told: Mapping[BackendId, Backend] | None = None
        self._skipped: Mapping[str, ResolutionError] = {}
        self._failing = False

    def tell(self, found: Found) -> None:
        """All that is known now. While nothing is known, what was told holds on."""
        self._report(found)
        if not found.unknown:
            self._sink.note(found.nothing)
            self._sink.remark(remarks(self._target, found.backends))
            self._replace(found.backends)
        if found.stale is not None:
            self._sink.failed(found.stale.error, found.stale.since)

    def _replace(self, backends: Mapping[BackendId, Backend]) -> None:
        told, self._told = self._told, backends
        if told is None:
            self._sink.replace(backends.values())  # what an earlier run told may be gone
            return
        changed = [backend for key, backend in backends.items() if told.get(key) != backend]
        self._sink.update(changed, [key for key in told if key not in backends])
        self._sink.synced()

    def _report(self, found: Found) -> None:
        """Events: once when it begins, once when it is over."""
        for host in found.skipped.keys() - self._skipped.keys():
            self._emit(Event("dns.skipped", self._name, {"host": host, "error": str(found.skipped[host])}))
        self._skipped = found.skipped
        if found.stale is not None and not self._failing:
            self._emit(Event("dns.failed", self._name, {"error": str(found.stale.error)}))
        elif found.stale is None and self._failing:
            self._emit(Event("dns.recovered", self._name))
        self._failing = found.stale is not None
