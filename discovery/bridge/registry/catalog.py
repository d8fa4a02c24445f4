"""What Consul holds of ours: read once, then kept current by what our own transactions answer. Pure.

Nothing is planned from a guess: an entry is ours only where both its own metadata and that of its node say so, and a
node of which an answer was lost is *doubtful* until it has been read again.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, cast

from ...consul.objects import AgentService, Check, Node, NodeServices
from ..plan.operations import ALIVE, probe_id, readiness_id
from ..records import (
    MANAGED_BY,
    NAME,
    NAMESPACE,
    OWNER,
    US,
    Held,
    HeldNode,
    Instance,
    Key,
    NodeEntry,
    Pairs,
    ServiceKey,
    Status,
)

AGENT_CHECK = "serfHealth"
AGENT_META = "consul-network-segment"
"""What an agent registers its own node with: either says that one stands behind it."""

ESM_CHECK = "externalNodeHealth"
EXTERNAL = "external-node"
"""consul-esm puts this check on every node whose metadata asks for it, so on ours it came at our own wish."""

PROBED = {"tcp": "TCP", "interval": "Interval", "timeout": "Timeout"}
"""What of a check's definition is compared, by its name in lower case: Consul has two spellings of the durations."""

T = TypeVar("T")

_NOTHING: Mapping[Key, Held] = MappingProxyType({})


class Catalog:
    """The nodes and instances that Consul holds for one owner, found by key, by node and by Service.

    Every method is synchronous and takes time in proportion to what it is told, not to what is held.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, HeldNode] = {}
        self._owned: dict[Key, Held] = {}
        self._of: dict[ServiceKey, dict[Key, Held]] = {}
        self._on: dict[str, set[Key]] = {}
        self._doubtful: set[str] = set()

    def __repr__(self) -> str:
        return f"<Catalog {len(self._owned)} instances on {len(self._nodes)} nodes, {len(self._doubtful)} doubtful>"

    @property
    def owned(self) -> Mapping[Key, Held]:
        """Every instance of ours."""
        return self._owned

    @property
    def nodes(self) -> Mapping[str, HeldNode]:
        """Every node that was read, ours or not."""
        return self._nodes

    @property
    def services(self) -> Collection[ServiceKey]:
        """The Services of Kubernetes that instances of ours stand for."""
        return self._of.keys()

    @property
    def doubtful(self) -> Collection[str]:
        """Nodes that may hold something else than is known here: they must be read again."""
        return self._doubtful

    def of(self, key: ServiceKey) -> Mapping[Key, Held]:
        """The instances that stand for a Service."""
        return self._of.get(key, _NOTHING)

    def on(self, node: str) -> Collection[Key]:
        """The keys of our instances on a node."""
        return self._on.get(node, ())

    def put_node(self, node: HeldNode, held: Iterable[Held] | None = None) -> frozenset[ServiceKey]:
        """Take in a node.

        Args:
            node: as it is now.
            held: all of ours on it, where the whole node was read: the node is doubtful no longer. None leaves its
                instances as they are known.

        Returns:
            The Services of which an instance came, went or changed.
        """
        self._nodes[node.entry.name] = node
        if held is None:
            return frozenset()
        self._doubtful.discard(node.entry.name)
        new = {one.instance.key: one for one in held}
        touched = {self._owned[key].instance.of for key in self.on(node.entry.name) if key not in new}
        for key in [key for key in self.on(node.entry.name) if key not in new]:
            self.drop(key)
        for key, one in new.items():
            before = self._owned.get(key)
            if before != one:
                touched |= {one.instance.of} if before is None else {one.instance.of, before.instance.of}
                self.put(one)
        return frozenset(touched)

    def drop_node(self, name: str) -> frozenset[ServiceKey]:
        """A node is not there, and so nothing on it.

        Returns:
            The Services that had an instance on it.
        """
        self._doubtful.discard(name)
        self._nodes.pop(name, None)
        keys = tuple(self.on(name))
        touched = frozenset(self._owned[key].instance.of for key in keys)
        for key in keys:
            self.drop(key)
        return touched

    def put(self, held: Held) -> None:
        """Take in an instance of ours, new or changed."""
        key = held.instance.key
        before = self._owned.get(key)
        if before is not None and before.instance.of != held.instance.of:
            self.drop(key)
        self._owned[key] = held
        self._of.setdefault(held.instance.of, {})[key] = held
        self._on.setdefault(held.instance.node, set()).add(key)

    def drop(self, key: Key) -> None:
        """An instance of ours is gone; nothing happens where none was known."""
        held = self._owned.pop(key, None)
        if held is None:
            return
        _take_out(self._of, held.instance.of, key)
        _take_out(self._on, held.instance.node, key)

    def doubt(self, nodes: Iterable[str]) -> None:
        """The answer to a write on these nodes was lost, or told that they are not as known."""
        self._doubtful.update(nodes)


def _take_out(index: dict[Any, Any], of: object, key: Key) -> None:
    """Take a key out of an index of keys; an entry that is left empty goes."""
    group: dict[Key, Held] | set[Key] = index[of]
    if isinstance(group, set):
        group.discard(key)
    else:
        group.pop(key, None)
    if not group:
        del index[of]


def read_node(
    services: NodeServices, checks: Sequence[Check], owner: str, shared: dict[Any, Any] | None = None
) -> tuple[HeldNode, tuple[Held, ...]]:
    """A node as it came over the wire, normalised: so that what was written compares equal to what is read.

    Args:
        services: of a node that there is.
        checks: all that are on it. Both must come from reads that no ACL has filtered.
        owner: whose instances are ours.
        shared: equal values of all nodes read with the same dictionary are one object; to be dropped afterwards.

    Returns:
        The node, and the instances on it that are ours: none where the node is not.
    """
    node = services.node
    if node is None:
        raise ValueError("there is no such node: drop it instead")
    shared = {} if shared is None else shared
    meta = node.meta or {}
    owned = meta.get(OWNER) == owner and meta.get(MANAGED_BY) == US
    ours, foreign = _parted(services.services or (), owner if owned else None)
    by_id = {check.check_id: check for check in checks}
    held = tuple(_held(node, one, by_id, shared) for one in ours)
    mine = {one.id for one in ours}
    alive = by_id.get(ALIVE) if owned else None
    left = {check.check_id for check in checks if check.service_id not in mine and check is not alive}
    if owned and EXTERNAL in meta:
        left.discard(ESM_CHECK)
    entry = NodeEntry(name=node.name, address=node.address, meta=_pairs(meta, shared))
    return HeldNode(
        entry=entry,
        index=node.modify_index,
        owned=owned,
        agent=AGENT_CHECK in by_id or AGENT_META in meta,
        foreign=frozenset(one.id for one in foreign),
        foreign_checks=frozenset(left),
        check=alive.status if alive else "",
        check_index=alive.modify_index if alive else 0,
    ), held


def _parted(services: Iterable[AgentService], owner: str | None) -> tuple[list[AgentService], list[AgentService]]:
    """Those of the owner, and the others; without an owner all are others."""
    ours: list[AgentService] = []
    others: list[AgentService] = []
    for one in services:
        meta = one.meta or {}
        mine = owner is not None and meta.get(OWNER) == owner and meta.get(MANAGED_BY) == US
        (ours if mine else others).append(one)
    return ours, others


def _held(node: Node, service: AgentService, checks: Mapping[str, Check], shared: dict[Any, Any]) -> Held:
    readiness = _check_of(service, readiness_id(service.id), checks)
    probe = _check_of(service, probe_id(service.id), checks)
    weight = service.weights.passing if service.weights else 1
    instance = Instance(
        node=_one(node.name, shared),
        id=service.id,
        service=_one(service.service, shared),
        address=_one(service.address, shared),
        port=service.port,
        tags=_one(tuple(_one(tag, shared) for tag in service.tags or ()), shared),
        meta=_pairs(service.meta or {}, shared),
        weight=weight or 1,
        status=cast("Status", readiness.status if readiness else "passing"),
        of=_one(_service_of(service), shared),
    )
    return Held(
        instance=instance,
        index=service.modify_index,
        check_index=readiness.modify_index if readiness else 0,
        probe=None if probe is None else _definition(probe.definition or {}, shared),
        probe_index=probe.modify_index if probe else 0,
    )


def _check_of(service: AgentService, check_id: str, checks: Mapping[str, Check]) -> Check | None:
    check = checks.get(check_id)
    return check if check is not None and check.service_id == service.id else None


def _service_of(service: AgentService) -> ServiceKey:
    """By its id, which cannot drift; by its metadata where the id is not one that we give."""
    meta = service.meta or {}
    owner, *parts = service.id.split(".", 4)
    if owner == meta.get(OWNER) and len(parts) == 4:
        return parts[0], parts[1]
    return meta.get(NAMESPACE, ""), meta.get(NAME, "")


def _definition(definition: Mapping[str, Any], shared: dict[Any, Any]) -> Pairs:
    named = ((PROBED.get(key.lower().removesuffix("duration")), value) for key, value in definition.items())
    return _pairs({key: value for key, value in named if key and isinstance(value, str) and value}, shared)


def _pairs(mapping: Mapping[str, str], shared: dict[Any, Any]) -> Pairs:
    return _one(tuple(_one(pair, shared) for pair in sorted(mapping.items())), shared)


def _one(value: T, shared: dict[Any, Any]) -> T:
    """The one object that stands for all that are equal to this."""
    return cast("T", shared.setdefault(value, value))
