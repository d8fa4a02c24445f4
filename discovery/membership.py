"""The backends of one target, as its resolver tells them: who may be picked, and what is learnt of each.

All pools of a target share one membership, and with it the record (`Node`) of each backend. What is picked from is one
list that is changed in place: a change costs what changed. What users read is built when it is read.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence

from .balancing import Node, Watcher
from .errors import NoBackends
from .events import Event, Hook
from .model import Backend, BackendId, Candidate, Snapshot
from .resolvers import NONE_WITHHELD, Remark, Withheld

UNUSED = -1

Follower = Callable[[Sequence[Node], Sequence[Node], Sequence[Node]], None]
"""Is told which records came among those that may be picked, which left, and which stayed with a new backend."""


class Membership:
    """The sink of one resolver. Implements `resolvers.Sink`. `clock`: what all times here are of."""

    def __init__(self, name: str, *, emit: Hook, clock: Callable[[], float]) -> None:
        self.name = name
        self.nodes: list[Node] = []
        self.version = 0
        self.synced_at: float | None = None
        self.last_error: Exception | None = None
        self.standing_in = False
        self.remarks: tuple[Remark, ...] = ()
        self.uneven = 0  # of those that may be picked, how many have a weight of their own
        self.ranked = 0  # and how many are not of the first priority
        self.watchers: list[Watcher] = []
        self.followers: list[Follower] = []
        self._emit = emit
        self.clock = clock
        self._records: dict[BackendId, Node] = {}
        self._withheld: dict[BackendId, str] = {}
        self._ready = 0
        self._pickable = 0
        self._moved: dict[Node, bool] = {}  # in one change: whose place may be another, and whether it was in
        self._serving_on = 0
        self._empty = True
        self._stale_since: float | None = None
        self._broken: Exception | None = None
        self._wrong: Exception | None = None
        self._waiters: set[asyncio.Future[None]] = set()
        self._snapshot: Snapshot | None = None
        self.listeners: set[Callable[[BackendId], object]] = set()

    # What a resolver tells

    def replace(self, backends: Iterable[Backend], withheld: Withheld = NONE_WITHHELD) -> None:
        """These are all there are."""
        given = {backend.id: backend for backend in backends}
        self.update(given.values(), [key for key in self._records if key not in given], withheld)
        self.synced()

    def update(
        self, changed: Iterable[Backend], removed: Iterable[BackendId], withheld: Withheld = NONE_WITHHELD
    ) -> None:
        """These are new or different, and those are gone."""
        self._at = self.clock()
        touched: list[BackendId] = []
        for key in removed:
            node = self._records.pop(key, None)
            if node is not None:
                self._count(node.backend, -1)
                self._withheld.pop(key, None)
                self._take_out(node)
                touched.append(key)
        touched.extend(backend.id for backend in changed if self._put(backend, withheld.get(backend.id)))
        if touched:
            touched.extend(self._stand_in())
            self._changed(touched)

    def synced(self) -> None:
        """All that is there has been told, and the source speaks."""
        if self._stale_since is not None or self._broken is not None:
            self._stale_since = self._broken = None
            self._conclude()
        if self.synced_at is None:
            self.synced_at = self.clock()
            self._emit(Event("pool.synced", self.name, {"backends": len(self.nodes)}))
            self.wake()

    def failed(self, error: Exception, since: float | None = None) -> None:
        """The source cannot be read; what was told holds on."""
        if self._stale_since is None:
            self._stale_since = since if since is not None else self.clock()
        self._broken = error
        self._conclude()

    def note(self, error: Exception | None) -> None:
        """What is wrong with what the source says."""
        if error is not self._wrong:
            if error is not None and str(error) != str(self._wrong):
                self._emit(Event("pool.problem", self.name, {"error": str(error)}))
            self._wrong = error
            self._conclude()

    def remark(self, remarks: tuple[Remark, ...]) -> None:
        """What is worth knowing and is no error."""
        for remark in remarks:
            if remark.warning and remark not in self.remarks:
                self._emit(Event("pool.warning", self.name, {"warning": remark.text}))
        self.remarks = remarks

    # What pools read

    def stale_for(self) -> float:
        """Seconds since the source last spoke, 0 while it speaks."""
        return 0.0 if self._stale_since is None else max(0.0, self.clock() - self._stale_since)

    @property
    def not_ready(self) -> int:
        """Known backends that are not ready."""
        return len(self._records) - self._ready

    @property
    def in_flight(self) -> int:
        """Leases held now, of all known backends."""
        return sum(node.in_flight for node in self._records.values())

    def snapshot(self) -> Snapshot:
        """What may be picked now; built once for each version."""
        if self._snapshot is None or self._snapshot.synced_at != self.synced_at:
            backends = tuple(sorted((node.backend for node in self.nodes), key=order))
            self._snapshot = Snapshot(backends=backends, version=self.version, synced_at=self.synced_at)
        return self._snapshot

    def record(self, key: BackendId) -> Node | None:
        """What is learnt of the backend of this identity."""
        return self._records.get(key)

    def usable(self, key: BackendId) -> Backend | None:
        """The backend of this identity, if it may be picked."""
        node = self._records.get(key)
        return node.backend if node is not None and node.index != UNUSED else None

    def candidates(self) -> Iterator[Candidate]:
        """Every backend known, in or out, and why."""
        for node in sorted(self._records.values(), key=lambda one: order(one.backend)):
            usable = node.index != UNUSED
            reason = self._withheld.get(node.backend.id) or _reason(node.backend, usable)
            yield Candidate(backend=node.backend, usable=usable, reason=reason, in_flight=node.in_flight)

    async def turned(self) -> None:
        """Wait for the next change of what may be picked, of the sync or of the error."""
        loop = asyncio.get_running_loop()
        if loop.time != self.clock:
            raise RuntimeError("this pool belongs to another event loop: make a Discovery in each loop")
        waiter = loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    # How it is kept

    def _put(self, backend: Backend, why_not: str | None) -> bool:
        """Keep a backend as it is now; False where that is what it was."""
        node, before = self._records.get(backend.id), self._withheld.get(backend.id)
        if node is None:
            node = self._records[backend.id] = Node(backend, self.watchers)
        elif node.backend == backend and before == why_not:
            return False
        else:
            self._count(node.backend, -1)
            self._describe(node, backend)
        if why_not is not None:
            self._withheld[backend.id] = why_not
        elif before is not None:
            del self._withheld[backend.id]
        self._count(backend, 1)
        if self._may_pick(backend):
            self._put_in(node)
        else:
            self._take_out(node)
        return True

    def _may_pick(self, backend: Backend) -> bool:
        fit = _stands_in(backend) if self.standing_in else backend.ready
        return fit and backend.id not in self._withheld

    def _count(self, backend: Backend, one: int) -> None:
        """Count it in or out: what is withheld is neither ready to be picked nor stands in."""
        self._ready += backend.ready and one
        if backend.id not in self._withheld:
            self._pickable += backend.ready and one
            self._serving_on += _stands_in(backend) and one

    def _stand_in(self) -> Iterable[BackendId]:
        """When nothing is ready, those that still serve while they terminate take over (KEP-1669), and back."""
        standing_in = not self._pickable and bool(self._serving_on)
        if standing_in == self.standing_in:
            return ()
        self.standing_in = standing_in
        for node in self._records.values():
            if self._may_pick(node.backend):
                self._put_in(node)
            else:
                self._take_out(node)
        return tuple(self._records)

    def _describe(self, node: Node, backend: Backend) -> None:
        """It stays, and is another than it was."""
        if node.index != UNUSED:
            self._moved.setdefault(node, True)
            self._mark(node.backend, -1)
            self._mark(backend, 1)
        node.backend = backend

    def _mark(self, backend: Backend, one: int) -> None:
        self.uneven += (backend.weight != 1.0) and one
        self.ranked += (backend.priority != 0) and one

    def _put_in(self, node: Node) -> None:
        if node.index == UNUSED:
            self._moved.setdefault(node, False)
            self._mark(node.backend, 1)
            node.since = self._at
            node.index = len(self.nodes)
            self.nodes.append(node)

    def _take_out(self, node: Node) -> None:
        """The last one takes its place: the order of `nodes` means nothing."""
        if node.index != UNUSED:
            self._moved.setdefault(node, True)
            self._mark(node.backend, -1)
            last = self.nodes.pop()
            if last is not node:
                self.nodes[node.index] = last
                last.index = node.index
            node.index = UNUSED

    def _changed(self, touched: list[BackendId]) -> None:
        self.version += 1
        self._snapshot = None
        self._follow()
        for listener in self.listeners:
            for key in touched:
                listener(key)
        self._emit(Event("pool.changed", self.name, {"ready": self._ready, "known": len(self._records)}))
        if self._empty is not (not self.nodes):
            self._empty = not self.nodes
            if self.synced_at is not None:
                name = "pool.empty" if self._empty else "pool.filled"
                self._emit(Event(name, self.name, {"known": len(self._records)}))
        self.wake()

    def _follow(self) -> None:
        moved, self._moved = self._moved, {}
        entered = [node for node, was_in in moved.items() if not was_in and node.index != UNUSED]
        left = [node for node, was_in in moved.items() if was_in and node.index == UNUSED]
        stayed = [node for node, was_in in moved.items() if was_in and node.index != UNUSED]
        if entered or left or stayed:
            for follow in tuple(self.followers):
                follow(entered, left, stayed)

    def _conclude(self) -> None:
        self.last_error = self._broken or self._wrong
        self.wake()

    def wake(self) -> None:
        """Let those who wait look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def why_empty(self) -> NoBackends:
        """Why a synced membership has nothing to pick."""
        known = len(self._records)
        if isinstance(self.last_error, NoBackends):
            cause, step = str(self.last_error), ""
        elif self._withheld:
            cause = f"{known} known, of which {len(self._withheld)} withheld: {next(iter(self._withheld.values()))}"
            step = "pool.explain() tells it of each"
        elif known:
            cause = f"{known} known, none ready"
            step = "Look at the pods' readiness: kubectl get pods, or pool.explain()"
        elif self.last_error is not None:
            cause, step = str(self.last_error), ""
        else:
            cause = "no endpoints"
            step = "No pod is in its EndpointSlices: compare the Service's selector with the pods' labels"
        problem = NoBackends(f"{self.name} has nothing usable: {cause}", next_step=step)
        problem.__cause__ = self.last_error
        return problem


def _stands_in(backend: Backend) -> bool:
    return backend.serving and backend.terminating


def order(backend: Backend) -> tuple[str, int, str]:
    """How backends are listed: by address."""
    return backend.address, backend.port, backend.id.uid


def _reason(backend: Backend, usable: bool) -> str:
    if usable:
        return "ready" if backend.ready else "standing in: nothing is ready, and it still serves while it terminates"
    if backend.terminating:
        return "terminating" if backend.serving else "terminating, and no longer serving"
    return "not ready"
