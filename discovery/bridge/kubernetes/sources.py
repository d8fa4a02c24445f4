"""What the bridge reads of Kubernetes: Services, EndpointSlices and nodes, each by one watch.

What a watch brings is only noted in its callback; so a burst is one change, and a bridge that is busy writing delays
nobody.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs

from ...events import Event, Hook
from ...kube.kinds import ENDPOINT_SLICES, NODES, SERVICES, Kind
from ...kube.objects import DECODE_ERRORS, Object
from ...kube.readers import Follower
from ...kube.store import Name
from ...turns import Turns
from ..awaiting import all_of
from ..options import BridgeOptions
from .model import KINDS, Cluster, KindName

KIND: Mapping[KindName, Kind] = {"services": SERVICES, "endpointslices": ENDPOINT_SLICES, "nodes": NODES}


class Kubernetes(Protocol):
    """What opens the watches: `kube.watches.Watches`."""

    def follow(self, kind: Kind, namespace: str | None, follower: Follower) -> Callable[[], None]:
        """Tell this one of every object of a kind; returns what ends it."""

    async def listed_anew(self, kind: Kind, namespace: str | None) -> Mapping[Name, Object]:
        """All objects there are now, by a list of its own."""


@attrs.frozen
class _News:
    """What has become of one object: None where it is gone; `listed`: only a list says so."""

    held: Object | None
    listed: bool


Reading = dict[KindName, dict[Name, Object]]
"""All objects of each kind, as a list of its own had them."""


class Source:
    """One kind in one namespace or in all: what has come and is not taken up yet. Implements `Follower`.

    Attributes:
        gone: what events have said to be gone since that was last cleared: a list that began before may still have it.
        lacked: what a list of the watch has lacked since then: one that began before says nothing of that.
    """

    def __init__(self, kind: KindName, wake: Callable[[], None]) -> None:
        self.kind: KindName = kind
        self.pending: dict[Name, _News] = {}
        self.gone: set[Name] = set()
        self.lacked: set[Name] = set()
        self.complete = False
        self.error: tuple[Exception, float] | None = None
        self._wake = wake

    def changed(self, changes: Mapping[Name, Object | None], *, listed: bool) -> None:
        """Objects came, changed, or (None) went."""
        for name, held in changes.items():
            self.pending[name] = _News(held, listed)
            if held is None:
                (self.lacked if listed else self.gone).add(name)
        self._wake()

    def synced(self) -> None:
        """All there is has been told, and the watch speaks."""
        if not self.complete or self.error is not None:
            self.complete, self.error = True, None
            self._wake()

    def failed(self, error: Exception, since: float) -> None:
        """The watch is broken, and last spoke at `since`."""
        self.error = error, since
        self._wake()


class Sources:
    """All that the bridge reads. `open()` begins, `close()` ends.

    Args:
        kubernetes: opens the watches.
        options: of the bridge: in which namespaces.
        cluster: where it is taken up.
        emit: takes events.
        wake: called when there is something to take up.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        options: BridgeOptions,
        cluster: Cluster,
        emit: Hook,
        wake: Callable[[], None],
    ) -> None:
        self._kubernetes = kubernetes
        self._cluster = cluster
        self._emit = emit
        self._unwatched: dict[KindName, set[Name]] = {kind: set() for kind in KINDS}
        where: tuple[str | None, ...] = options.namespaces or (None,)
        self._places: list[tuple[KindName, str | None]] = [
            (kind, namespace) for kind in KINDS for namespace in (where if kind != "nodes" else (None,))
        ]
        self._sources = [Source(kind, wake) for kind, _ in self._places]
        self._leave: list[Callable[[], None]] = []

    def open(self) -> None:
        """Follow all of it."""
        for source, (kind, namespace) in zip(self._sources, self._places, strict=True):
            self._leave.append(self._kubernetes.follow(KIND[kind], namespace, source))

    def close(self) -> None:
        """Follow nothing more."""
        leave, self._leave = self._leave, []
        for end in leave:
            end()

    @property
    def synced(self) -> bool:
        """Whether every list has been whole once."""
        return all(source.complete for source in self._sources)

    @property
    def begun(self) -> bool:
        """Whether any list has been whole once."""
        return any(source.complete for source in self._sources)

    @property
    def error(self) -> tuple[Exception, float] | None:
        """Why one of them is not current, and since when (the loop's time): the one that has been silent longest."""
        errors = [source.error for source in self._sources if source.error is not None]
        return min(errors, key=lambda one: one[1], default=None)

    @property
    def unwatched(self) -> bool:
        """Whether something is there that a watch's own list lacked: that watch may never tell of its end."""
        return any(self._unwatched.values())

    async def take_up(self) -> None:
        """Tell the cluster what has come."""
        turns = Turns()
        turns.start()
        for source in self._sources:
            pending, source.pending = source.pending, {}
            for name, news in pending.items():
                self._unwatched[source.kind].discard(name)
                self._tell(source.kind, name, news)
                if turns.due():
                    await turns.give()

    async def read_anew(self) -> Reading:
        """Every list once more, beside the watches: for `settle`.

        Raises:
            DiscoveryError: one of them failed.
        """
        for source in self._sources:
            source.gone.clear()
            source.lacked.clear()
        lists = await all_of(self._kubernetes.listed_anew(KIND[kind], namespace) for kind, namespace in self._places)
        found: Reading = {kind: {} for kind in KINDS}
        for (kind, _), there in zip(self._places, lists, strict=True):
            found[kind].update(there)
        return found

    def settle(self, found: Reading) -> None:
        """What both lists lack is gone, and what the first lacked wrongly is there. To be called after `take_up`.

        Of what the first lacked wrongly the watch knows nothing: so it is looked for again, until the watch has told
        of it or a list lacks it.
        """
        for kind, there in found.items():
            sources = [source for source in self._sources if source.kind == kind]
            gone = {name for source in sources for name in source.gone}
            lacked = {name for source in sources for name in source.lacked}
            unwatched = self._unwatched[kind]
            for name in unwatched - there.keys() - lacked:
                self._cluster.gone(kind, name, listed=True)
                lacked.add(name)  # for one more look
            unwatched.intersection_update(there)
            known = self._cluster.names(kind) | self._cluster.unreadable[kind].keys()
            wrongly = (there.keys() - known - gone) | (self._cluster.doubted[kind] & there.keys())
            for name in (wrongly | unwatched) - lacked:
                unwatched.add(name)
                self._tell(kind, name, _News(there[name], listed=True))
            self._cluster.confirmed(kind, there, but=lacked)

    def _tell(self, kind: KindName, name: Name, news: _News) -> None:
        if news.held is None:
            self._cluster.gone(kind, name, listed=news.listed)
            return
        try:
            body: Any = news.held.decode(news.held.body)
        except DECODE_ERRORS as error:  # what it said before holds on
            self._emit(Event("object.unreadable", "/".join(name), {"error": repr(error)[:200]}))
            self._cluster.cannot_read(kind, name, news.held.group)
            return
        if kind == "services":
            self._cluster.take_service(name, news.held.uid, body, listed=news.listed)
        elif kind == "endpointslices":
            self._cluster.take_slice(name, news.held.group, body, listed=news.listed)
        else:
            self._cluster.take_node(name[1], body, listed=news.listed)
