"""Services' definitions, read once or followed: from the same watches as the pools."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from .definition import LoadBalancerStatus, Service
from .events import Hook
from .kube.kinds import SERVICES
from .reading import Progress, Reading
from .resolvers.following import Subscribe
from .targets import ClusterIP


class Services:
    """Reads Services. It has no tasks: whoever asks is told by the watch.

    Args:
        subscribe: opens the watches.
        domain: the cluster's.
        emit: takes events.
    """

    def __init__(self, subscribe: Subscribe, domain: str, emit: Hook) -> None:
        self._subscribe = subscribe
        self._domain = domain
        self._emit = emit
        self._readings: set[Reading] = set()
        self._closed = False

    def close(self) -> None:
        """End all that is followed: those who wait are told."""
        self._closed = True
        for reading in self._readings:
            reading.close()

    async def get(self, name: str, namespace: str, timeout: float | None) -> Service:
        """As `Discovery.service`, in a namespace that is settled."""
        with self._reading(name, namespace) as reading:
            async with reading.within(timeout, reading.no_answer):
                return await reading.answer()

    def watch(self, name: str, namespace: str) -> AsyncIterator[Service | None]:
        """As `Discovery.watch_service`, likewise: a name that cannot be one is refused at once."""
        ClusterIP(name, namespace=namespace)
        return self._watch(name, namespace)

    async def load_balancer(
        self, name: str, namespace: str, timeout: float | None, on_progress: Progress | None = None
    ) -> LoadBalancerStatus:
        """As `Discovery.load_balancer`, likewise."""
        with self._reading(name, namespace) as reading:
            async with reading.within(timeout, reading.no_address):
                return await reading.assigned(on_progress)

    async def _watch(self, name: str, namespace: str) -> AsyncIterator[Service | None]:
        with self._reading(name, namespace) as reading:
            told: list[Service | None] = []
            while await reading.turned():
                if reading.known and told != [reading.service]:
                    told = [reading.service]
                    yield reading.service
                elif not reading.answered and reading.error is not None:
                    raise reading.error

    @contextmanager
    def _reading(self, name: str, namespace: str) -> Iterator[Reading]:
        if self._closed:
            raise RuntimeError("this Discovery is closed")
        reading = Reading(ClusterIP(name, namespace=namespace), self._domain, self._emit)
        leave = self._subscribe(SERVICES, namespace, name, reading.feed)
        self._readings.add(reading)
        try:
            yield reading
        finally:
            self._readings.discard(reading)
            leave()
