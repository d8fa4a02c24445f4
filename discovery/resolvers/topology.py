"""Which endpoints are meant for this client, by where it is: as kube-proxy decides it (pkg/proxy/topology.go). Pure.

    internal traffic policy Local   only those on our node, even if there are none
    hints for nodes                 those that name our node, if every ready endpoint has such a hint and one names it
    hints for zones                 likewise

The last two never empty a pool: whatever the hints lack, all endpoints are for everybody.
"""

import weakref
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from ..kube.objects import Hints
from ..model import Backend, BackendId

Mode = Literal["everywhere", "our node only", "hinted node", "hinted zone"]


class Place:
    """Where this client is: "" is not known.

    Args:
        node: its own.
        zone: its own; where it is not told, it is that of the endpoints on our node, as long as they agree.
    """

    def __init__(self, node: str = "", zone: str = "") -> None:
        self.node = node
        self._told = zone
        self._seen: Counter[str] = Counter()

    @property
    def zone(self) -> str:
        """Told, or else seen; "" where what is seen disagrees."""
        return self._told or (next(iter(self._seen)) if len(self._seen) == 1 else "")

    def see(self, zones: Mapping[str, int]) -> None:
        """So many endpoints more on our node are in these zones; less, where the numbers are below 0."""
        for zone, count in zones.items():
            self._seen[zone] += count
            if self._seen[zone] <= 0:
                del self._seen[zone]

    def forget(self, zones: Mapping[str, int]) -> None:
        """Take back what one target has had us see."""
        self.see({zone: -count for zone, count in zones.items()})


class Topology:
    """The endpoints of one target, and which of them are kept from this client."""

    def __init__(self, place: Place) -> None:
        self.mode: Mode = "everywhere"
        self._place = place
        self._zone = place.zone  # that was counted with
        self._local = False
        self._shown: dict[BackendId, tuple[Backend, Hints | None]] = {}
        self._on_ours = 0  # of those that are shown
        self._zones: Counter[str] = Counter()  # of those on our node
        weakref.finalize(self, place.forget, self._zones).atexit = False
        self._ready = 0
        self._hinted = [0, 0]  # ready ones with a hint for nodes, for zones
        self._ours = [0, 0]  # of these, those that name our node, our zone

    @property
    def local_but_where(self) -> bool:
        """Whether only endpoints on our node should be used, and we do not know which that is."""
        return self._local and not self._place.node

    @property
    def none_is_local(self) -> bool:
        """Whether only endpoints on our node may be used, and there are others only."""
        return self.mode == "our node only" and bool(self._shown) and not self._on_ours

    def keep_local(self, local: bool) -> None:
        """Whether the Service's internal traffic policy is Local."""
        self._local = local

    def put(self, old: BackendId | None, new: Backend | None, hints: Hints | None) -> None:
        """One endpoint came, changed or went. To be followed by `settle`."""
        if not (self._place.node or self._place.zone):
            return
        if old is not None and (before := self._shown.pop(old, None)) is not None:
            self._count(*before, -1)
            self._meet(before[0], -1)
        if new is not None:
            self._shown[new.id] = new, hints
            self._count(new, hints, 1)
            self._meet(new, 1)

    def hint(self, key: BackendId, hints: Hints | None) -> bool:
        """Only the hints of an endpoint are others; whether it is shown, and they are."""
        before = self._shown.get(key)
        if before is None or before[1] == hints:
            return False
        self.put(key, before[0], hints)
        return True

    def settle(self) -> bool:
        """Decide the mode anew; whether it is another one, so that `why_not` may answer otherwise for all."""
        if self._zone != self._place.zone:
            self._zone = self._place.zone
            self._ready, self._hinted, self._ours = 0, [0, 0], [0, 0]
            for backend, hints in self._shown.values():
                self._count(backend, hints, 1)
        before, self.mode = self.mode, self._decide()
        return before != self.mode

    def why_not(self, key: BackendId) -> str | None:
        """Why this endpoint is kept from this client; None where it is not."""
        if self.mode == "everywhere":
            return None
        backend, hints = self._shown[key]
        if self.mode == "our node only":
            if backend.node != self._place.node:
                where = backend.node or "an unknown node"
                return f"on {where}, and the internal traffic policy is Local: this client is on {self._place.node}"
        elif backend.ready:
            nodes, zones = _names(hints)
            if self.mode == "hinted node" and self._place.node not in nodes:
                return f"its hints name {_listed(nodes)}: this client is on {self._place.node}"
            if self.mode == "hinted zone" and self._zone not in zones:
                return f"its hints name {_listed(zones)}: this client is in {self._zone}"
        return None

    def shown(self) -> Iterator[Backend]:
        """All of them."""
        return (backend for backend, _ in self._shown.values())

    def _decide(self) -> Mode:
        if self._local:
            return "our node only" if self._place.node else "everywhere"
        for kind, mode in enumerate(("hinted node", "hinted zone")):
            if self._ours[kind] and self._hinted[kind] == self._ready:
                return mode  # type: ignore[return-value] # a Mode
        return "everywhere"

    def _meet(self, backend: Backend, one: int) -> None:
        """An endpoint on our node tells our zone."""
        if self._place.node and backend.node == self._place.node:
            self._on_ours += one
            if backend.zone:
                self._zones[backend.zone] += one
                self._place.see({backend.zone: one})

    def _count(self, backend: Backend, hints: Hints | None, one: int) -> None:
        """Only ready ones count: the controller gives no hints to others."""
        if not backend.ready:
            return
        self._ready += one
        if hints is None:
            return
        for kind, (names, ours) in enumerate(zip(_names(hints), (self._place.node, self._zone), strict=True)):
            self._hinted[kind] += bool(names) and one
            self._ours[kind] += bool(ours) and ours in names and one


def _names(hints: Hints | None) -> tuple[list[str], list[str]]:
    if hints is None:
        return [], []
    return [one.name for one in hints.for_nodes or ()], [one.name for one in hints.for_zones or ()]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) or "nothing"
