"""Picks that wait: for a first backend, or for a free place under a limit, first come, first served."""

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType

import attrs

from .balancing import Key
from .errors import DiscoveryError, Overloaded
from .lease import Lease

Pick = Callable[[Key], Lease]


@attrs.define(eq=False)
class _Waiter:
    """One that waits, and where its lease is put."""

    key: Key
    place: "asyncio.Future[Lease]"


class Queue:
    """Those who wait for a pick of one pool.

    A place that becomes free is given to the first who waits, at once: nobody can come between.
    """

    def __init__(self, pick: Pick, most: int) -> None:
        self._pick = pick
        self._most = most
        self._waiting: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, key: Key, timeout: float | None) -> Lease:
        """A lease, at once or within `timeout` seconds (None: for ever).

        Raises:
            DiscoveryError: what `pick` says still when the time is over, or now, where too many wait already.
        """
        try:
            return self._pick(key)
        except DiscoveryError as error:
            if isinstance(error, Overloaded) and len(self._waiting) >= self._most:
                raise Overloaded(f"{error}. And {self._most} wait already") from None
        try:
            async with asyncio.timeout(timeout):
                return await self._place(key)
        except TimeoutError:
            pass
        return self._pick(key)  # says why not, as things are now

    async def _place(self, key: Key) -> Lease:
        waiter = _Waiter(key, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            return await waiter.place
        except BaseException:
            _give_back(waiter.place)
            raise
        finally:
            self._waiting.remove(waiter)

    def serve(self) -> None:
        """Something became free, or may have: let those pick who can, in their order."""
        for waiter in tuple(self._waiting):
            if waiter.place.done():
                continue
            try:
                lease = self._pick(waiter.key)
            except DiscoveryError:
                return
            except RuntimeError as closed:
                waiter.place.set_exception(closed)
            else:
                waiter.place.set_result(lease)


class Acquisition:
    """A pick that waits. An async context manager, and nothing else."""

    def __init__(self, queue: Queue, key: Key, timeout: float | None) -> None:
        self._queue = queue
        self._key = key
        self._timeout = timeout
        self._lease: Lease | None = None

    async def __aenter__(self) -> Lease:
        self._lease = await self._queue.wait(self._key, self._timeout)
        return self._lease

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lease is not None
        self._lease.__exit__(kind, error, trace)


def _give_back(place: "asyncio.Future[Lease]") -> None:
    """A lease that came in the moment in which its waiter gave up."""
    if place.done() and not place.cancelled() and place.exception() is None:
        lease = place.result()
        lease.ignore()
        lease.release()
