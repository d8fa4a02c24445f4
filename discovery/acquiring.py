"""Picks that wait: for a first backend, or for a free place under a limit, first come, first served."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from types import TracebackType

import attrs

from .balancing import Key
from .errors import DiscoveryError, Overloaded
from .lease import Lease

LOOK_AGAIN = 0.01
"""Seconds between two looks for a place that nobody tells of when it becomes free: what a short exchange takes."""

Pick = Callable[[Key], Lease]


@attrs.define(eq=False)
class _Waiter:
    """One that waits, and where its lease is put."""

    key: Key
    place: "asyncio.Future[Lease]"


class Queue:
    """Those who wait for a pick of one pool.

    A place that becomes free is given to the first who waits, at once: nobody can come between.

    Args:
        pick: of the pool.
        most: that may wait for a free place.
        again: seconds after which to look again, while somebody waits; None where all that becomes free is told.
    """

    def __init__(self, pick: Pick, most: int, *, again: float | None = None) -> None:
        self._pick = pick
        self._most = most
        self._again = again
        self._timer: asyncio.TimerHandle | None = None
        self._waiting: deque[_Waiter] = deque()
        self._serving = False
        self._loop = _running_loop()

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
                why = str(error).removesuffix(f". {error.next_step}")
                raise Overloaded(
                    f"{why}, and {self._most} wait already", next_step="Send less, or raise max_queued"
                ) from None
        try:
            async with asyncio.timeout(timeout):
                return await self._place(key)
        except TimeoutError:
            pass
        return self._pick(key)  # says why not, as things are now

    async def _place(self, key: Key) -> Lease:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            raise RuntimeError("this pool belongs to another event loop: make a Discovery in each loop")
        waiter = _Waiter(key, loop.create_future())
        self._waiting.append(waiter)
        self._arm()
        try:
            return await waiter.place
        except BaseException:
            _give_back(waiter.place)
            raise
        finally:
            self._waiting.remove(waiter)
            if not self._waiting and self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def serve(self) -> None:
        """Something became free, or may have: let those pick who can, in their order."""
        if self._serving:  # a pick that takes a probe is itself a change, and its waiter would be served twice
            return
        self._serving = True
        try:
            for waiter in tuple(self._waiting):
                if not waiter.place.done() and not self._serve(waiter):
                    return
        finally:
            self._serving = False

    def _serve(self, waiter: _Waiter) -> bool:
        """False where there is nothing for it, nor for those after it."""
        try:
            waiter.place.set_result(self._pick(waiter.key))
        except DiscoveryError:
            return False
        except RuntimeError as closed:
            waiter.place.set_exception(closed)
        return True

    def _arm(self) -> None:
        if self._again is not None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._again, self._look)

    def _look(self) -> None:
        self._timer = None
        self.serve()
        self._arm()


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


def _running_loop() -> asyncio.AbstractEventLoop | None:
    with contextlib.suppress(RuntimeError):
        return asyncio.get_running_loop()
    return None


def _give_back(place: "asyncio.Future[Lease]") -> None:
    """A lease that came in the moment in which its waiter gave up."""
    if place.done() and not place.cancelled() and place.exception() is None:
        lease = place.result()
        lease.ignore()
        lease.release()
