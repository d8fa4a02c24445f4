"""The watches that are open, shared by all who read the same: opened with the first reader, ended after the last.

Several objects by their names are read in one watch of all of that kind in the namespace: a field selector knows one
name only, and a watch a name would be a connection a name. Where RBAC allows the names and not the whole, it is a watch
a name after all.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import attrs

from ..errors import AccessDenied, DiscoveryError
from ..events import Event, Hook
from .access import Access
from .informer import Informer
from .kinds import ENDPOINT_SLICES, SERVICES, Kind
from .objects import Object
from .readers import Follower, Reader
from .store import Changes, Name

Place = tuple[str, str | None, str | None]
"""A kind's resource; the namespace, None for all; the one group that is watched, None where the watch is shared."""

ONE_BY_ONE = 600.0
"""Seconds for which names are read one by one after the whole was denied; those that come later ask for it again."""


@attrs.define(eq=False)
class _Open:
    place: Place
    informer: Informer
    task: "asyncio.Task[None]"
    subscriptions: "set[_Subscription]" = attrs.field(factory=set)


@attrs.define(eq=False)
class _Subscription:
    """One reader, and where it reads."""

    kind: Kind
    namespace: str
    group: str
    reader: Reader
    opened: _Open
    leave: Callable[[], None]


class _Moved:
    """A reader that another watch has told of `names`: those that this one has not told by its first sync are gone."""

    def __init__(self, reader: Reader, names: Iterable[str]) -> None:
        self._reader = reader
        self._names = set(names)
        self.failed = reader.failed

    def changed(self, changes: Changes) -> None:
        self._names -= changes.keys()
        self._reader.changed(changes)

    def synced(self) -> None:
        gone, self._names = self._names, set()
        if gone:
            self._reader.changed(dict.fromkeys(gone))
        self._reader.synced()


class Watches:
    """Owns every informer and its task; `aclose()` ends them all. `access` is the way to the server."""

    def __init__(self, access: Access, *, emit: Hook, rng: random.Random, reconcile: float | None) -> None:
        self.access = access
        self._emit = emit
        self._rng = rng
        self._reconcile = reconcile
        self._open: dict[Place, _Open] = {}
        self._whole: dict[Place, _Open] = {}
        self._one_by_one: dict[tuple[str, str], float] = {}  # and until when, in the loop's time
        self._ending: set[asyncio.Task[None]] = set()

    def subscribe(self, kind: Kind, namespace: str, group: str, reader: Reader) -> Callable[[], None]:
        """Tell this reader of a group of objects; returns what ends it, which may be called again."""
        places = (kind.resource, namespace, None), (kind.resource, None, None)
        whole = next((self._whole[place] for place in places if place in self._whole), None)
        if whole is not None and whole.informer.synced:
            return whole.informer.add((namespace, group), reader)
        opened = self._opened(kind, namespace, group)
        leave = opened.informer.add((namespace, group), reader)
        subscription = _Subscription(kind, namespace, group, reader, opened, leave)
        opened.subscriptions.add(subscription)
        return partial(self._unsubscribe, subscription)

    async def prefetch(self, namespace: str | None) -> None:
        """Hold all EndpointSlices and Services of a namespace, or (None) of all, until the end.

        Returns when they are there. Services that may not all be read are read as they are needed.

        Raises:
            DiscoveryError: the first list of slices failed. It goes on being tried.
        """
        slices, services = (self._hold(kind, namespace) for kind in (ENDPOINT_SLICES, SERVICES))
        found = await asyncio.gather(slices.informer.settled(), services.informer.settled(), return_exceptions=True)
        for error in found:
            if isinstance(error, BaseException) and not (error is found[1] and isinstance(error, DiscoveryError)):
                raise error

    def follow(self, kind: Kind, namespace: str | None, follower: Follower) -> Callable[[], None]:
        """Tell this one of every object of a kind, in a namespace or (None) in all; returns what ends it.

        As with `prefetch`, the watch itself goes on until the end.
        """
        return self._hold(kind, namespace).informer.follow(follower)

    async def listed_anew(self, kind: Kind, namespace: str | None) -> Mapping[Name, Object]:
        """All objects there are now, by a list of its own: to confirm what another list lacks.

        Raises:
            DiscoveryError: it failed.
        """
        return await self._hold(kind, namespace).informer.listed_anew()

    async def aclose(self) -> None:
        """End every watch, and wait until each has let go of its connection."""
        for opened in (*self._open.values(), *self._whole.values()):
            self._end(opened)
        self._open.clear()
        self._whole.clear()
        if self._ending:
            await asyncio.wait(self._ending)

    def _opened(self, kind: Kind, namespace: str, group: str) -> _Open:
        """The informer that reads this group for all, opened now if it was not."""
        until = self._one_by_one.get((kind.resource, namespace), 0.0)
        alone = not kind.shared or asyncio.get_running_loop().time() < until
        place: Place = kind.resource, namespace, group if alone else None
        opened = self._open.get(place)
        if opened is None:
            opened = self._open[place] = self._start(place, kind, namespace, everything=False)
        return opened

    def _hold(self, kind: Kind, namespace: str | None) -> _Open:
        place: Place = kind.resource, namespace, None
        if place not in self._whole:
            self._whole[place] = self._start(place, kind, namespace, everything=True)
        return self._whole[place]

    def _start(self, place: Place, kind: Kind, namespace: str | None, *, everything: bool) -> _Open:
        informer = Informer(
            self.access,
            kind,
            namespace,
            everything=everything,
            emit=self._emit,
            rng=self._rng,
            reconcile=self._reconcile,
            denied=partial(self._denied, place) if kind.named and not everything else None,
        )
        return _Open(place, informer, asyncio.create_task(informer.run(), name=repr(informer)))

    def _denied(self, place: Place, error: AccessDenied) -> bool:
        """Read by name what may not be read whole; whether that is a change, so that the error need not be told."""
        opened = self._open.get(place)
        if opened is None or place[2] is not None or len({one.group for one in opened.subscriptions}) < 2:
            return False
        resource, namespace, _ = place
        assert namespace is not None
        self._one_by_one[resource, namespace] = asyncio.get_running_loop().time() + ONE_BY_ONE
        self._emit(Event("watch.split", f"{resource} in {namespace}", {"error": str(error)}))
        del self._open[place]
        for one in opened.subscriptions:
            group = one.namespace, one.group
            reader = _Moved(one.reader, opened.informer.names(group))
            one.leave()
            one.opened = self._opened(one.kind, *group)
            one.opened.subscriptions.add(one)
            one.leave = one.opened.informer.add(group, reader)
        opened.subscriptions.clear()
        self._end(opened)
        return True

    def _unsubscribe(self, one: _Subscription) -> None:
        opened = one.opened
        if one not in opened.subscriptions:
            return
        opened.subscriptions.discard(one)
        one.leave()
        if not opened.subscriptions and self._open.get(opened.place) is opened:
            del self._open[opened.place]
            self._end(opened)

    def _end(self, opened: _Open) -> None:
        opened.task.cancel()
        self._ending.add(opened.task)
        opened.task.add_done_callback(self._ending.discard)
