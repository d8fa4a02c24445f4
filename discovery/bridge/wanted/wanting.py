"""What Consul should hold for each Service, with what speaks against it: bad annotations, names that are taken. Pure.

A Service that cannot be registered as it is keeps its last good registration, and is reported once. Where only its
annotations are wrong, the last good ones hold on, so that its endpoints are still followed.
"""

from collections.abc import Container, Mapping

import attrs

from ...events import Event, Hook
from ..kubernetes.model import Cluster
from ..options import BridgeOptions
from ..records import Instance, Key, NodeEntry, ServiceKey
from .annotations import Wishes, read
from .claims import Claims
from .desired import Desired, ServiceView, desired, is_selected
from .names import port_names
from .unusable import Unusable


@attrs.frozen
class Wanted:
    """What one Service comes to: its instances by where they stand, and their nodes; `kept`: leave what there is."""

    instances: Mapping[Key, Instance] = attrs.field(factory=dict)
    nodes: tuple[NodeEntry, ...] = ()
    kept: bool = False


KEPT = Wanted(kept=True)
NOTHING = Wanted()


class Wanting:
    """Works out what is wanted, Service by Service.

    Args:
        cluster: as it is known.
        options: of the bridge.
        emit: takes events: `bridge.unusable` and `bridge.usable`, `bridge.remark`.

    Attributes:
        unusable: Services that cannot be registered as they are, and why.
        released: Services that waited for a name which has become free: to be worked out again.
    """

    def __init__(self, cluster: Cluster, options: BridgeOptions, emit: Hook) -> None:
        self.unusable: dict[ServiceKey, str] = {}
        self.released: set[ServiceKey] = set()
        self._cluster = cluster
        self._options = options
        self._emit = emit
        self._claims = Claims()
        self._wishes: dict[ServiceKey, Wishes] = {}
        self._remarks: dict[ServiceKey, tuple[str, ...]] = {}

    @property
    def keys(self) -> frozenset[ServiceKey]:
        """Services of which something is remembered: also those that have ended since they were last looked at."""
        return self._claims.keys | self.unusable.keys()

    def stays(self, key: ServiceKey, names: Container[str]) -> bool:
        """Whether a Service asks for no other names than these, which it has."""
        view = self._cluster.view(key)
        if view is None or not view.body.ports:
            return False
        try:
            wishes = read(view.body.metadata.annotations)
            wanted = port_names(view.namespace, view.name, view.body.ports, self._options, wishes)
        except Unusable:
            return False
        return all(one.text in names for one in wanted.values())

    def of(self, key: ServiceKey) -> Wanted:
        """What this Service comes to now."""
        view = self._cluster.view(key)
        if view is None or not is_selected(view, self._options):
            self._forget(key)
            return NOTHING
        problem: Unusable | None = None
        try:
            found = self._as_asked(key, view)
        except Unusable as error:
            problem, found = error, self._as_before(key, view)
        self._report(key, problem)
        return found

    def _as_asked(self, key: ServiceKey, view: ServiceView) -> Wanted:
        wishes = read(view.body.metadata.annotations)
        made = desired(view, self._cluster.nodes, self._options, wishes)
        refused = self._claims.claim(key, made.names)
        self.released |= self._claims.take()
        if refused is not None:
            raise Unusable(refused, reason="name")
        self._wishes[key] = wishes
        return self._wanted(key, made)

    def _as_before(self, key: ServiceKey, view: ServiceView) -> Wanted:
        """By the annotations that were good; under the names that it still has."""
        wishes = self._wishes.get(key)
        if wishes is None:
            return KEPT
        try:
            return self._wanted(key, desired(view, self._cluster.nodes, self._options, wishes))
        except Unusable:
            return KEPT

    def _wanted(self, key: ServiceKey, made: Desired) -> Wanted:
        self._remark(key, made.remarks)
        return Wanted({one.key: one for one in made.instances}, made.nodes)

    def _forget(self, key: ServiceKey) -> None:
        self.released |= self._claims.release(key)
        self._wishes.pop(key, None)
        self._remarks.pop(key, None)
        self._report(key, None)

    def _report(self, key: ServiceKey, problem: Unusable | None) -> None:
        before = self.unusable.pop(key, None)
        if problem is None:
            if before is not None:
                self._emit(Event("bridge.usable", "/".join(key)))
            return
        self.unusable[key] = str(problem)
        if before != str(problem):
            self._emit(Event("bridge.unusable", "/".join(key), {"error": str(problem)}))

    def _remark(self, key: ServiceKey, remarks: tuple[str, ...]) -> None:
        before = self._remarks.pop(key, ())
        if remarks:
            self._remarks[key] = remarks
        for text in remarks:
            if text not in before:
                self._emit(Event("bridge.remark", "/".join(key), {"remark": text}))
