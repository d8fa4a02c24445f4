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
        """A Service as it is defined now, or as it last was known while the API server is away.

        Args:
            name: its own.
            namespace: likewise.
            timeout: seconds to wait for the first answer, None for ever.

        Raises:
            InvalidTarget: a name or namespace that cannot be one.
            ServiceNotFound: there is none.
            AccessDenied, Unauthenticated, ApiUnavailable, ConfigurationError: it cannot be read, for this reason.
            NotReady: no answer in time, or one that cannot be read.
        """
        with self._reading(name, namespace) as reading:
            async with reading.within(timeout, reading.no_answer):
                return await reading.answer()

    def watch(self, name: str, namespace: str) -> AsyncIterator[Service | None]:
        """A Service as it is defined now, then each other definition; None while there is none of this name.

        A slow reader misses what was overtaken meanwhile, and is told the newest. While the API server is away
        nothing is told. It ends when the Discovery is closed.

        Args:
            name: its own.
            namespace: likewise.

        Raises:
            InvalidTarget: a name or namespace that cannot be one; raised at once.
            AccessDenied, Unauthenticated, ApiUnavailable, ConfigurationError: the first answer is that it cannot be
                read. Later failures are not raised: they are retried, and told as events.
        """
        ClusterIP(name, namespace=namespace)
        return self._watch(name, namespace)

    async def load_balancer(
        self, name: str, namespace: str, timeout: float | None, on_progress: Progress | None = None
    ) -> LoadBalancerStatus:
        """Wait until a Service of the type LoadBalancer has an external address.

        If the Service is deleted meanwhile, it is waited for the next of its name.

        Args:
            name: its own.
            namespace: likewise.
            timeout: seconds for all of it, None for ever. A cloud takes one to five minutes.
            on_progress: called with each definition that has no address yet, the first included, and None where the
                Service has been deleted.

        Raises:
            InvalidTarget: a name or namespace that cannot be one.
            ServiceNotFound: there is none.
            NoBackends: it is of another type, or becomes one.
            AccessDenied, Unauthenticated, ApiUnavailable, ConfigurationError: it cannot be read, for this reason.
            NotReady: no address in time.
        """
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
