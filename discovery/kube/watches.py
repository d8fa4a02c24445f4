"""The watches that are open, shared by all who read the same: opened with the first reader, ended after the last."""

import asyncio
import random
from collections.abc import Callable

import attrs

from ..events import Hook
from .access import Access
from .informer import Informer
from .kinds import ENDPOINT_SLICES, Kind
from .readers import Reader

Place = tuple[str, str | None, str | None]
"""A kind's resource; the namespace, None for all; the one name that is watched, None where the watch is shared."""


@attrs.define(eq=False)
class _Open:
    informer: Informer
    task: "asyncio.Task[None]"
    readers: int = 0


class Watches:
    """Owns every informer and its task; `aclose()` ends them all."""

    def __init__(self, access: Access, *, emit: Hook, rng: random.Random, reconcile: float | None) -> None:
        self._access = access
        self._emit = emit
        self._rng = rng
        self._reconcile = reconcile
        self._open: dict[Place, _Open] = {}
        self._whole: dict[Place, _Open] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def subscribe(self, kind: Kind, namespace: str, group: str, reader: Reader) -> Callable[[], None]:
        """Tell this reader of a group of objects; returns what ends it, which may be called again."""
        places = (kind.resource, namespace, None), (kind.resource, None, None)
        whole = next((self._whole[place] for place in places if place in self._whole), None)
        if whole is not None and whole.informer.synced:
            return whole.informer.add((namespace, group), reader)
        place: Place = kind.resource, namespace, None if kind.shared else group
        opened = self._open.get(place)
        if opened is None:
            opened = self._open[place] = self._start(kind, namespace, everything=False)
        opened.readers += 1
        leave = opened.informer.add((namespace, group), reader)
        left = False

        def unsubscribe() -> None:
            nonlocal left
            if not left:
                left = True
                leave()
                self._give_back(place, opened)

        return unsubscribe

    async def prefetch(self, namespace: str | None) -> None:
        """Hold all EndpointSlices of a namespace, or (None) of all, until the end. Returns when they are there.

        Raises:
            DiscoveryError: the first list failed. It goes on being tried.
        """
        place: Place = ENDPOINT_SLICES.resource, namespace, None
        if place not in self._whole:
            self._whole[place] = self._start(ENDPOINT_SLICES, namespace, everything=True)
        await self._whole[place].informer.settled()

    async def aclose(self) -> None:
        """End every watch, and wait until each has let go of its connection."""
        for opened in (*self._open.values(), *self._whole.values()):
            self._end(opened)
        self._open.clear()
        self._whole.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    def _start(self, kind: Kind, namespace: str | None, *, everything: bool) -> _Open:
        informer = Informer(
            self._access,
            kind,
            namespace,
            everything=everything,
            emit=self._emit,
            rng=self._rng,
            reconcile=self._reconcile,
        )
        return _Open(informer, asyncio.create_task(informer.run(), name=repr(informer)))

    def _give_back(self, place: Place, opened: _Open) -> None:
        opened.readers -= 1
        if not opened.readers and self._open.get(place) is opened:
            del self._open[place]
            self._end(opened)

    def _end(self, opened: _Open) -> None:
        opened.task.cancel()
        self._ending.add(opened.task)
        opened.task.add_done_callback(self._ending.discard)
