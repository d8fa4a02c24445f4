"""Follows objects of the Kubernetes API for one target, and tells its sink what they come to.

What a watch brings is only noted by the callbacks here; a task of the resolver takes it up. A burst is thus one change,
and a slow reader delays nobody. What the objects come to is not decided here: each way of finding backends has a
`Derived` of its own, which is pure.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import attrs

from ..errors import AccessDenied, ApiUnavailable, ServiceNotFound
from ..events import Event, Hook
from ..kube.kinds import Kind
from ..kube.objects import DECODE_ERRORS, Object
from ..kube.store import Changes
from ..turns import Turns
from . import Sink
from .derived import Derived

NO_SUCH_RESOURCE = 404


class Feed:
    """What a watch has brought and nobody has taken up yet: the newest of each object."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.pending: dict[str, Object | None] = {}
        self.complete = False
        self.error: tuple[Exception, float] | None = None
        self._wake = wake

    def changed(self, changes: Changes) -> None:
        """Objects came, changed, or (None) went."""
        self.pending.update(changes)
        self._wake()

    def synced(self) -> None:
        """All there is has been told, and the watch speaks."""
        if self.complete and self.error is None:
            return
        self.complete, self.error = True, None
        self._wake()

    def failed(self, error: Exception, since: float) -> None:
        """The watch is broken, and last spoke at `since`."""
        self.error = error, since
        self._wake()


class Subscribe(Protocol):
    """What follows the objects of a kind, namespace and group for a feed, until the function it returns is called."""

    def __call__(self, kind: Kind, namespace: str, group: str, reader: Feed, /) -> Callable[[], None]: ...  # noqa: D102


@attrs.frozen
class Source:
    """Objects that are followed.

    Args:
        kind: of them.
        namespace: "" where the kind has none.
        group: which of them: see `Kind.group_of`.
        put: takes each that changed, by name, read; None where it is gone.
        denied: called with the error where we may not read these and never could, which are then done without, and
            with None when that ends; None where they cannot be done without.
        instead: what is followed where the server does not know this kind.
    """

    kind: Kind
    namespace: str
    group: str
    put: Callable[[str, Any], None]
    denied: Callable[[Exception | None], None] | None = None
    instead: "Source | None" = None


Plan = Callable[[], tuple[Derived, Sequence[Source]]]
"""Begins from nothing: what the objects will come to, and what feeds it."""


class Following:
    """Follows one target. Implements `Resolver`.

    Args:
        name: the target, as text.
        plan: called at the beginning of each run.
        subscribe: opens the watches.
        emit: takes events.
    """

    def __init__(self, name: str, plan: Plan, subscribe: Subscribe, emit: Hook) -> None:
        self._name = name
        self._plan = plan
        self._subscribe = subscribe
        self._emit = emit

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled."""
        wake, turns, first = asyncio.Event(), Turns(), True
        derived, sources = self._plan()
        followed = [_Followed(source, self._subscribe, wake.set) for source in sources]
        try:
            for one in followed:
                one.open()
            while True:
                await wake.wait()
                wake.clear()
                turns.start()
                for one in followed:
                    one.judge()
                    await self._take_up(one, turns)
                if all(one.complete for one in followed):
                    self._tell(sink, derived, _unread(followed), first=first)
                    first = False
                for one in followed:
                    if one.feed.error is not None and not one.done_without:
                        sink.failed(*one.feed.error)
        finally:
            for one in followed:
                one.close()

    def _tell(self, sink: Sink, derived: Derived, unread: str, *, first: bool) -> None:
        delta = derived.take()
        if derived.unreadable:
            self._emit(Event("endpoints.skipped", self._name, {"addresses": derived.unreadable}))
            derived.unreadable = 0
        problem = derived.problem()
        if isinstance(problem, ServiceNotFound) and unread:
            problem = ApiUnavailable(
                f"{unread} cannot be read", next_step="Look at it: kubectl get -o yaml", status=200
            )
        sink.note(problem)
        sink.remark(derived.remarks())
        if first:
            sink.replace(delta.changed, delta.withheld)  # what an earlier run told may be gone
        else:
            sink.update(delta.changed, delta.removed, delta.withheld)
            sink.synced()

    async def _take_up(self, one: "_Followed", turns: Turns) -> None:
        for name, held in one.taken():
            if held is None:
                one.unreadable.discard(name)
                one.source.put(name, None)
            elif (body := self._read(held)) is not None:
                one.unreadable.discard(name)
                one.source.put(name, body)
            else:
                one.unreadable.add(name)
            if turns.due():
                await turns.give()

    def _read(self, held: Object) -> object:
        """What it says; None where it cannot be read, and then what it said before holds on."""
        try:
            return held.decode(held.body)
        except DECODE_ERRORS as error:
            self._emit(Event("object.unreadable", f"{held.namespace}/{held.name}", {"error": repr(error)[:200]}))
            return None


def _unread(followed: "Iterable[_Followed]") -> str:
    """An object that cannot be read, as kubectl names it; "" where all can."""
    return next((f"{one.source.kind.resource}/{name}" for one in followed for name in sorted(one.unreadable)), "")


class _Followed:
    """One source, or what is followed instead of it.

    Attributes:
        done_without: we may not read it and never could, and that is borne.
        complete: whether all that can be known of it has been taken up.
        unreadable: the names of its objects that cannot be read.
    """

    def __init__(self, source: Source, subscribe: Subscribe, wake: Callable[[], None]) -> None:
        self.source = source
        self.feed = Feed(wake)
        self.done_without = self._without = self.complete = False
        self.unreadable: set[str] = set()
        self._subscribe = subscribe
        self._wake = wake
        self._leave: Callable[[], None] | None = None
        self._first: tuple[Source, Feed, Callable[[], None]] | None = None  # asked on, while another stands in
        self._names: set[str] = set()
        self._left: list[tuple[Source, str]] = []

    def open(self) -> None:
        """Follow the source, from nothing."""
        source = self.source
        self._leave = self._subscribe(source.kind, source.namespace, source.group, self.feed)

    def close(self) -> None:
        """Follow nothing."""
        leave, self._leave, first, self._first = self._leave, None, self._first, None
        for end in (leave, first and first[2]):
            if end is not None:
                end()

    def taken(self) -> Iterable[tuple[str, Object | None]]:
        """What is pending, once. What another source left behind goes as soon as this one has told everything."""
        taken, self.feed.pending = self.feed.pending, {}
        self.complete = self.feed.complete or self.done_without
        if self.source.instead is not None or self._first is not None:
            for name, held in taken.items():
                (self._names.discard if held is None else self._names.add)(name)
        if self.feed.complete:
            for source, name in self._left:
                source.put(name, None)
            self._left = []
        return taken.items()

    def judge(self) -> None:
        """Whether something else is to be followed, or that it goes without: what was read once holds on."""
        if self._first is not None and self._first[1].complete:
            self._turn_back(*self._first)
        error = self.feed.error[0] if self.feed.error is not None else None
        borne = isinstance(error, AccessDenied) and self.source.denied is not None
        without = borne and not self.feed.complete
        if without is not self._without and self.source.denied is not None:
            self.source.denied(error if without else None)
        self.done_without, self._without = borne, without
        unknown = isinstance(error, ApiUnavailable) and error.status == NO_SUCH_RESOURCE
        if unknown and not self.feed.complete and self.source.instead is not None:
            self._turn_aside(self.source.instead)

    def _turn_aside(self, source: Source) -> None:
        """The first is still asked for: a gateway's 404 is over in a moment, and servers are renewed."""
        assert self._leave is not None
        self._first = self.source, self.feed, self._leave
        self._hand_over(source, Feed(self._wake))
        self.open()

    def _turn_back(self, source: Source, feed: Feed, leave: Callable[[], None]) -> None:
        assert self._leave is not None
        self._leave()
        self._first, self._leave = None, leave
        self._hand_over(source, feed)

    def _hand_over(self, source: Source, feed: Feed) -> None:
        self._left += [(self.source, name) for name in self._names]
        self._names = set()
        self.unreadable.clear()
        self.source, self.feed, self.complete, self._without = source, feed, False, False
