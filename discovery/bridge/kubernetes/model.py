"""The cluster as the bridge knows it: what a list no longer has stays until a second list has confirmed it. Pure.

An event of a watch is evidence: what it says is taken up at once, and what it takes away is gone. A list may be empty
or cut short for reasons of its own (a cache that is not filled yet, a proxy, a restored backup), so what is merely
missing there is doubted: it stays as it was until the same has been seen twice.
"""

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Literal

from ...kube.objects import NodeBody, ServiceBody, SliceBody
from ...kube.store import Name
from ..options import BridgeOptions
from ..records import ServiceKey
from ..wanted.desired import Nodes, ServiceView
from ..wanted.endpoints import nodes_of

KindName = Literal["services", "endpointslices", "nodes"]
KINDS: tuple[KindName, ...] = ("services", "endpointslices", "nodes")


OF_THE_API = ("default", "kubernetes")
"""The Service of the API server itself, which every cluster has: its uid tells clusters apart."""


class Cluster:
    """Services, their slices, and nodes; and which Services have changed since that was last asked.

    Args:
        options: of the bridge: whether all nodes serve.

    Attributes:
        nodes: where each node is reached.
        dirty: Services whose registrations may be different now.
        told: Services of which an event has spoken: what it took away is gone for certain.
        ended: Services of which an event has said that they are no more: all that stood for them may go.
        doubted: by kind, what a list lacked.
        unreadable: by kind, objects that are there and cannot be read, of which nothing was known before; and of
            which Service they are, for slices.
    """

    def __init__(self, options: BridgeOptions) -> None:
        self.nodes = Nodes()
        self.dirty: set[ServiceKey] = set()
        self.told: set[ServiceKey] = set()
        self.ended: set[ServiceKey] = set()
        self.doubted: dict[KindName, set[Name]] = {kind: set() for kind in KINDS}
        self.unreadable: dict[KindName, dict[Name, ServiceKey]] = {kind: {} for kind in KINDS}
        self._options = options
        self._services: dict[ServiceKey, tuple[str, ServiceBody]] = {}
        self._slices: dict[ServiceKey, dict[str, SliceBody]] = {}
        self._service_of: dict[Name, ServiceKey] = {}
        self._nodes: dict[str, NodeBody] = {}
        self._at: defaultdict[str, set[ServiceKey]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._services)

    def __contains__(self, key: ServiceKey) -> bool:
        return key in self._services

    @property
    def keys(self) -> AbstractSet[ServiceKey]:
        """Of all Services."""
        return self._services.keys()

    def view(self, key: ServiceKey) -> ServiceView | None:
        """A Service with its slices; None where there is none."""
        found = self._services.get(key)
        if found is None:
            return None
        uid, body = found
        return ServiceView(
            namespace=key[0], name=key[1], uid=uid, body=body, slices=tuple(self._slices.get(key, {}).values())
        )

    # What is told of it

    def take_service(self, name: Name, uid: str, body: ServiceBody, *, listed: bool) -> None:
        """A Service as it is now."""
        self._sure("services", name)
        self.ended.discard(name)
        if self._services.get(name) == (uid, body):
            return
        self._services[name] = uid, body
        self._touch({name}, listed=listed)
        if name == OF_THE_API and uid != self.nodes.cluster:
            self.nodes.cluster = uid
            self._touch({*self._services}, listed=listed)

    def take_slice(self, name: Name, service: str, body: SliceBody, *, listed: bool) -> None:
        """An EndpointSlice as it is now, and the Service that it is of."""
        self._sure("endpointslices", name)
        key = name[0], service
        before = self._service_of.get(name)
        if before == key and self._slices[key].get(name[1]) == body:
            return
        if before is not None:
            self._drop_slice(name)
        self._service_of[name] = key
        self._slices.setdefault(key, {})[name[1]] = body
        for node in nodes_of((body,)):
            self._at[node].add(key)
        self._touch({key} if before is None else {key, before}, listed=listed)

    def take_node(self, name: str, body: NodeBody, *, listed: bool) -> None:
        """A node as it is now."""
        self._sure("nodes", ("", name))
        if self._nodes.get(name) == body:
            return
        self._nodes[name] = body
        self._touch(self._put_node(name, body), listed=listed)

    def cannot_read(self, kind: KindName, name: Name, of: str) -> None:
        """An object is there and cannot be read: what it said before holds on. `of` is a slice's Service."""
        self._sure(kind, name)
        if not self._holds(kind, name):
            self.unreadable[kind][name] = name[0], of

    def unclear(self, key: ServiceKey) -> bool:
        """Whether something that cannot be read may be of this Service, or what it stands on."""
        services, slices, nodes = (self.unreadable[kind] for kind in KINDS)
        return bool(nodes) or key in services or key in slices.values()

    def gone(self, kind: KindName, name: Name, *, listed: bool) -> None:
        """An object is gone: an event says so, or (`listed`) a list lacks it, which is only doubted."""
        if listed:
            self.unreadable[kind].pop(name, None)
            if self._holds(kind, name):
                self.doubted[kind].add(name)
            return
        self._sure(kind, name)
        if kind == "services":
            self.ended.add(name)  # even one that was never heard of: Consul may hold what stands for it
        self._remove(kind, name, listed=False)

    def confirmed(self, kind: KindName, there: Mapping[Name, object], *, but: AbstractSet[Name] = frozenset()) -> None:
        """A second list has these: what is doubted and not among them is gone.

        Of those in `but` it says nothing: they have come to be doubted since it began, and are doubted on.
        """
        doubted = self.doubted[kind] - but
        self.doubted[kind] &= but
        for name in doubted:
            if name not in there:
                self._remove(kind, name, listed=True)

    def names(self, kind: KindName) -> AbstractSet[Name]:
        """Of all objects of a kind that are held, doubted ones too."""
        if kind == "services":
            return self._services.keys()
        return self._service_of.keys() if kind == "endpointslices" else {("", name) for name in self._nodes}

    # Within

    def _holds(self, kind: KindName, name: Name) -> bool:
        if kind == "services":
            return name in self._services
        return name in self._service_of if kind == "endpointslices" else name[1] in self._nodes

    def _sure(self, kind: KindName, name: Name) -> None:
        self.doubted[kind].discard(name)
        self.unreadable[kind].pop(name, None)

    def _remove(self, kind: KindName, name: Name, *, listed: bool) -> None:
        if not self._holds(kind, name):
            return
        if kind == "services":
            del self._services[name]
            keys = {name}
        elif kind == "endpointslices":
            keys = {self._service_of[name]}
            self._drop_slice(name)
        else:
            del self._nodes[name[1]]
            keys = self._put_node(name[1], None)
        if listed:
            self.told -= keys  # what was told of them before is no evidence of this
        self._touch(keys, listed=listed)

    def _put_node(self, name: str, body: NodeBody | None) -> set[ServiceKey]:
        """Which Services it concerns."""
        unheard = self.nodes.unheard
        self.nodes.put(name, body)
        everywhere = self._options.nodes == "all" or self.nodes.unheard is not unheard
        return set(self._services) if everywhere else set(self._at.get(name, ()))

    def _drop_slice(self, name: Name) -> None:
        key = self._service_of.pop(name)
        body = self._slices[key].pop(name[1])
        left: set[str] = nodes_of(self._slices[key].values())
        for node in nodes_of((body,)) - left:
            self._at[node].discard(key)
            if not self._at[node]:
                del self._at[node]
        if not self._slices[key]:
            del self._slices[key]

    def _touch(self, keys: set[ServiceKey], *, listed: bool) -> None:
        self.dirty |= keys
        if not listed:
            self.told |= keys
