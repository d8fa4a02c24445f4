"""The pods behind a Service: follows its EndpointSlices, and the Service itself where the port is a number.

What a watch brings is only noted by the callbacks here; a task of this resolver takes it up. A burst is thus one
change, and a slow reader delays nobody.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from ..events import Event, Hook
from ..kube.kinds import ENDPOINT_SLICES, SERVICES, Kind
from ..kube.lists import DECODE_ERRORS
from ..kube.objects import Object, ServiceBody, SliceBody
from ..kube.store import Changes
from ..targets import Endpoints
from ..turns import Turns
from . import Sink
from .readiness import EndpointSet


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


class EndpointsResolver:
    """Follows one target. The namespace of the target must be settled."""

    def __init__(self, target: Endpoints, subscribe: Subscribe, emit: Hook) -> None:
        assert target.namespace is not None
        self._target = target
        self._namespace = target.namespace
        self._subscribe = subscribe
        self._emit = emit
        self._turns = Turns()

    async def run(self, sink: Sink) -> None:
        """Follow until cancelled."""
        wake = asyncio.Event()
        endpoints = EndpointSet(self._target)
        slices, service = Feed(wake.set), Feed(wake.set)
        needs_service = isinstance(self._target.port, int)
        feeds = (slices, service) if needs_service else (slices,)
        leave = [self._subscribe(ENDPOINT_SLICES, self._namespace, self._target.service, slices)]
        if needs_service:
            leave.append(self._subscribe(SERVICES, self._namespace, self._target.service, service))
        first = True
        try:
            while True:
                await wake.wait()
                wake.clear()
                self._turns.start()
                await self._take_up(endpoints, slices, service)
                if all(feed.complete for feed in feeds):
                    delta = endpoints.take()
                    if endpoints.unreadable:
                        data = {"addresses": endpoints.unreadable}
                        self._emit(Event("endpoints.skipped", str(self._target), data))
                        endpoints.unreadable = 0
                    sink.note(endpoints.problem(needs_service=needs_service))
                    if first:
                        first = False
                        sink.replace(delta.changed)  # what an earlier run told may be gone
                    else:
                        sink.update(delta.changed, delta.removed)
                        sink.synced()
                for feed in feeds:
                    if feed.error is not None:
                        sink.failed(*feed.error)
        finally:
            for unsubscribe in leave:
                unsubscribe()

    async def _take_up(self, endpoints: EndpointSet, slices: Feed, service: Feed) -> None:
        while service.pending:
            _, held = service.pending.popitem()
            body = None if held is None else self._decode(held)
            if held is None or isinstance(body, ServiceBody):
                endpoints.serve(body if isinstance(body, ServiceBody) else None)
        taken, slices.pending = slices.pending, {}
        for name, held in taken.items():
            body = None if held is None else self._decode(held)
            if held is None or isinstance(body, SliceBody):
                endpoints.put(name, body if isinstance(body, SliceBody) else None)
            if self._turns.due():
                await self._turns.give()

    def _decode(self, held: Object) -> SliceBody | ServiceBody | None:
        """What it says; None where it cannot be read, and then what it said before holds on."""
        try:
            return held.decode(held.body)
        except DECODE_ERRORS as error:
            self._emit(Event("object.unreadable", f"{held.namespace}/{held.name}", {"error": repr(error)[:200]}))
            return None
