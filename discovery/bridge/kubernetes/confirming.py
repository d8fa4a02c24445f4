"""The second look: every list is read once more, some time after the first, or after one that lacked something."""

import asyncio
from collections.abc import Callable

from ...errors import DiscoveryError
from ..options import BridgeOptions
from ..timing import Due
from .model import Cluster
from .sources import Reading, Sources


class Confirming:
    """Has lists read a second time, beside everything else.

    Args:
        sources: read them.
        cluster: what is doubted there.
        options: `confirm_after`.
        now: the loop's time.
        wake: called when a second look is done.

    Attributes:
        confirmed: the first lists have been, so that what Consul holds and they lack is gone.
    """

    def __init__(
        self,
        sources: Sources,
        cluster: Cluster,
        options: BridgeOptions,
        now: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self.confirmed = False
        self._sources = sources
        self._cluster = cluster
        self._after = options.confirm_after
        self._repair = options.repair
        self._due = Due(now)
        self._wake = wake
        self._reading: asyncio.Task[Reading] | None = None

    @property
    def at(self) -> float | None:
        """When the next look begins (the loop's time); None where none is due."""
        return self._due.at

    def begin(self) -> None:
        """The first lists are whole."""
        self._due.after(self._after)

    def look(self) -> bool:
        """Begin what is due, and take up what is done; whether something has just been confirmed."""
        done = self._reading is not None and self._reading.done() and self._settled(self._reading)
        if self._reading is None and any(self._cluster.doubted.values()):
            self._due.after(self._after, sooner=True)
        if self._reading is None and self._sources.unwatched:
            self._due.after(self._repair, sooner=True)
        if self._reading is None and self._due.taken():
            self._reading = asyncio.create_task(self._sources.read_anew(), name="bridge: second lists")
            self._reading.add_done_callback(lambda _: self._wake())
        return done

    async def now(self) -> None:
        """Look at once, and wait for it.

        Raises:
            DiscoveryError: a list cannot be read.
        """
        found = await self._sources.read_anew()
        await self._sources.take_up()
        self._sources.settle(found)
        self.confirmed = True

    async def aclose(self) -> None:
        """End what is under way."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _settled(self, reading: "asyncio.Task[Reading]") -> bool:
        self._reading = None
        try:
            self._sources.settle(reading.result())
        except DiscoveryError:  # the watches tell of it too
            self._due.after(self._after)
            return False
        self.confirmed = True
        return True
