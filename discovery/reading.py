"""One Service, followed for whoever asks: what is known of it, and what to say where nothing is."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from .definition import LoadBalancerStatus, Service
from .errors import DiscoveryError, NotReady
from .events import Event, Hook
from .kube.objects import DECODE_ERRORS, Object
from .resolvers.address_set import not_balanced, why_pending
from .resolvers.definition import definition
from .resolvers.following import Feed
from .resolvers.naming import named, no_service
from .targets import ClusterIP

Progress = Callable[[Service | None], object]
"""Called with a Service's definition, or None where it has been deleted."""


class Reading:
    """What is known of one Service. `feed` is told by a watch.

    Args:
        target: names it.
        domain: the cluster's.
        emit: takes events.

    Attributes:
        answered: the API server has said what there is.
        service: as it was last read; None where there is none.
        error: why it cannot be read now.
    """

    def __init__(self, target: ClusterIP, domain: str, emit: Hook) -> None:
        self.answered = False
        self.service: Service | None = None
        self.error: Exception | None = None
        self._target = target
        self._domain = domain
        self._emit = emit
        self._wake = asyncio.Event()
        self._unreadable: Exception | None = None
        self._closed = False
        self.feed = Feed(self._wake.set)

    @property
    def known(self) -> bool:
        """Whether `service` is what it said, or at least what it said before."""
        return self.answered and (self._unreadable is None or self.service is not None)

    def close(self) -> None:
        """Nothing more will come."""
        self._closed = True
        self._wake.set()

    async def turned(self) -> bool:
        """Wait until something is different; False where nothing more will come."""
        await self._wake.wait()
        if self._closed:
            return False
        self._wake.clear()
        pending, self.feed.pending = self.feed.pending, {}
        for held in pending.values():
            self._read(held)
        self.answered = self.feed.complete
        self.error = self.feed.error[0] if self.feed.error is not None else None
        return True

    async def answer(self) -> Service:
        """The first definition."""
        await self._first()
        if self.service is None:
            raise self._nothing()
        return self.service

    async def assigned(self, on_progress: Progress | None) -> LoadBalancerStatus:
        """The first definition that has an external address."""
        await self.answer()
        told: list[Service | None] = []
        while self.service is None or self._waits(self.service):
            if told != [self.service]:
                told = [self.service]
                if on_progress is not None:
                    on_progress(self.service)
            await self._turned()
        return self.service.load_balancer

    @asynccontextmanager
    async def within(self, seconds: float | None, otherwise: Callable[[float], NotReady]) -> AsyncIterator[None]:
        """What is done in the block must be done in so many seconds, None for ever."""
        try:
            async with asyncio.timeout(seconds) as limit:
                yield
        except TimeoutError:
            if seconds is None or not limit.expired():
                raise
            raise otherwise(seconds) from self.error

    def no_answer(self, seconds: float) -> NotReady:
        """What to say when no answer has come."""
        return NotReady(
            f"no answer about {named(self._target)} within {seconds:g} s",
            next_step="Check the address of the API server and the way to it, or wait longer",
        )

    def no_address(self, seconds: float) -> NotReady:
        """What to say when no address has come."""
        what = named(self._target)
        if not self.answered:
            return self.no_answer(seconds)
        if self.service is None:
            return NotReady(f"{what} has been deleted, and not made again within {seconds:g} s")
        return NotReady(f"{what} has no external address after {seconds:g} s", next_step=why_pending(self._target))

    async def _first(self) -> None:
        while not self.answered:
            if self.error is not None:
                raise self.error
            await self._turned()

    async def _turned(self) -> None:
        if not await self.turned():
            raise RuntimeError("this Discovery is closed")

    def _waits(self, service: Service) -> bool:
        if service.type != "LoadBalancer":
            raise not_balanced(self._target, service.type)
        return service.load_balancer.pending

    def _nothing(self) -> DiscoveryError:
        if self._unreadable is None:
            return no_service(self._target)
        error = NotReady(
            f"{named(self._target)} cannot be read",
            next_step=f"Look at it: kubectl get service {self._target.service} -n {self._target.namespace} -o yaml",
        )
        error.__cause__ = self._unreadable
        return error

    def _read(self, held: Object | None) -> None:
        if held is None:
            self.service = self._unreadable = None
            return
        try:
            body = held.decode(held.body)
        except DECODE_ERRORS as error:
            self._unreadable = error
            self._emit(Event("object.unreadable", f"{held.namespace}/{held.name}", {"error": repr(error)[:200]}))
            return
        self.service = definition(body, name=held.name, namespace=held.namespace, uid=held.uid, domain=self._domain)
