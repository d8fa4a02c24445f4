"""What Consul should hold of one Service: its instances, names and nodes, from what the cluster says now. Pure."""

from functools import lru_cache
from operator import attrgetter

import attrs

from ...kube.objects import ServicePort
from ..options import BridgeOptions
from ..records import CLUSTER, MANAGED_BY, OWNER, SOURCE, US, Instance, NodeEntry
from . import annotations
from .annotations import Wishes
from .endpoints import nodes_of
from .metadata import KUBERNETES, Metadata
from .names import Name, instance_id, node_name, port_names
from .nodes import Nodes, Spot
from .places import own_look, places
from .unusable import Unusable
from .ways import Place, ServiceView, follows_all_nodes, way_of

__all__ = [
    "Desired",
    "Name",
    "Nodes",
    "ServiceView",
    "Unusable",
    "desired",
    "follows_all_nodes",
    "is_selected",
    "nodes_of",
]

NOBODY = "127.0.0.1"
"""The address of a Consul node that stands for no machine: its instances have addresses of their own."""


@attrs.frozen
class Desired:
    """What Consul should hold of one Service.

    Attributes:
        instances: sorted by their keys.
        names: the Consul services that it has, sorted; also those without an instance now.
        nodes: those that the instances stand on, sorted.
        remarks: what an operator should know of it, such as nodes without an address; sorted.
    """

    instances: tuple[Instance, ...] = ()
    names: tuple[Name, ...] = ()
    nodes: tuple[NodeEntry, ...] = ()
    remarks: tuple[str, ...] = ()


def is_selected(view: ServiceView, options: BridgeOptions) -> bool:
    """Whether it is to be registered: by its namespace, its type, and its annotation or the options.

    One whose annotation cannot be read is: so `desired` says what is wrong, and what is registered stays.
    """
    if view.namespace in options.deny_namespaces or (options.namespaces and view.namespace not in options.namespaces):
        return False
    if way_of(view.body, options) is None:
        return False
    return annotations.asked(view.body.metadata.annotations, otherwise=not options.opt_in)


def desired(view: ServiceView, nodes: Nodes, options: BridgeOptions, wishes: Wishes | None = None) -> Desired:
    """What Consul should hold of a Service that is selected.

    Args:
        view: the Service, and all its slices.
        nodes: all there are.
        options: the bridge's.
        wishes: what its annotations ask for, where they have been read before.

    Raises:
        Unusable: it cannot be registered as it is.
    """
    if wishes is None:
        wishes = annotations.read(view.body.metadata.annotations)
    ports, remarks = view.body.ports, list[str]()
    if not ports:
        return Desired(remarks=("it has no ports",))
    names = port_names(view.namespace, view.name, ports, options, wishes)
    metadata = Metadata(view, options.owner, wishes.meta, remarks)
    made = _Maker(view, options, wishes, metadata)
    found = places(view, nodes, options, remarks)
    instances = [
        made.instance(port, names[port.name].text, place) for port in ports for place in found.get(port.name, ())
    ]
    seen = nodes.seen(own_look(options))
    standing_on = {place.node for spots in found.values() for place in spots}
    return Desired(
        instances=tuple(sorted(instances, key=attrgetter("node", "id"))),
        names=tuple(sorted(names.values(), key=attrgetter("text"))),
        nodes=tuple(_entry(options, node, seen.get(node), nodes.cluster) for node in sorted(standing_on)),
        remarks=tuple(sorted(remarks)),
    )


class _Maker:
    """Makes the instances of one Service."""

    def __init__(self, view: ServiceView, options: BridgeOptions, wishes: Wishes, metadata: Metadata) -> None:
        self._of = view.namespace, view.name
        self._options = options
        self._tags = tuple(dict.fromkeys((*options.tags, *wishes.tags)))
        self._weight = wishes.weight
        self._metadata = metadata

    def instance(self, port: ServicePort, service: str, place: Place) -> Instance:
        """One port at one place."""
        owner = self._options.owner
        return Instance(
            node=node_name(self._options.node_prefix, owner, place.node),
            id=instance_id(owner, *self._of, port.name, place.address),
            service=service,
            address=place.address,
            port=place.port,
            tags=self._tags,
            meta=self._metadata.of(port, place),
            weight=self._weight,
            status="passing" if place.passing else "critical",
            of=self._of,
        )


def _entry(options: BridgeOptions, node: str, spot: Spot | None, cluster: str) -> NodeEntry:
    address = spot.address if spot is not None else None
    return node_entry(options.node_prefix, options.owner, node, address, cluster, probed=options.probe == "esm")


@lru_cache(maxsize=2**14)
def node_entry(
    prefix: str, owner: str, node: str, address: str | None, cluster: str = "", *, probed: bool
) -> NodeEntry:
    """The Consul node that stands for a node of the cluster, or for "" the one for all other addresses.

    Args:
        prefix: of its name.
        owner: the bridge's owner id.
        node: its name in the cluster.
        address: where it is reached; None where it is not.
        cluster: the cluster's uid, "" where it is not known.
        probed: whether consul-esm is to look after it. It has nothing to ping where there is no address.
    """
    meta = {MANAGED_BY: US, OWNER: owner, SOURCE: KUBERNETES}
    if cluster:
        meta[CLUSTER] = cluster
    if probed:
        meta |= {"external-node": "true", "external-probe": "true" if address else "false"}
    return NodeEntry(name=node_name(prefix, owner, node), address=address or NOBODY, meta=tuple(sorted(meta.items())))
