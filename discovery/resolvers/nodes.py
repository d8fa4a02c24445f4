"""Which nodes take traffic from outside, and at which address. Pure."""

from collections.abc import Iterator, Sequence

from ..kube.objects import ZONE, NodeBody
from ..targets import AddressType
from .addresses import canonical, family_of, is_name
from .definition import host

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"
"""The label that takes a node out of load balancers, whatever its value (core/v1 well-known labels)."""

REMOVED = "ToBeDeletedByClusterAutoscaler"
"""The taint of a node that the cluster autoscaler is about to remove."""

NOT_READY = "the node is not ready"


def why_unfit(node: NodeBody, *, cordoned: bool) -> str | None:
    """Why a node should get no traffic from outside, as load balancers decide it; None where it may.

    Args:
        node: as it is now.
        cordoned: whether nodes that take no new pods may get it.
    """
    if node.metadata.deletion_timestamp is not None:
        return "the node is being deleted"
    if any(taint.key == REMOVED for taint in node.spec.taints or ()):
        return "the cluster autoscaler is removing the node"
    if EXCLUDED in (node.metadata.labels or {}):
        return f"the node has the label {EXCLUDED}"
    if not is_ready(node):
        return NOT_READY
    if node.spec.unschedulable and not cordoned:
        return "the node is cordoned"
    return None


def is_ready(node: NodeBody) -> bool:
    """Whether its kubelet says so, and is heard."""
    return any(one.type == "Ready" and one.status == "True" for one in node.status.conditions or ())


def zone_of(node: NodeBody) -> str:
    """Where it is, "" where that is not known."""
    return (node.metadata.labels or {}).get(ZONE, "")


class Address:
    """Where a node can be reached.

    Args:
        node: as it is now.
        types: the kinds of address that are wanted, best first.
        families: of IP addresses, likewise.

    Attributes:
        found: the address, or None: an address of the first type that the node has in a wanted family. Within a type
            the first family that it has, and of that the first. Host names are of every family.
        unreadable: how many of the addresses of these types are none.
    """

    def __init__(self, node: NodeBody, types: Sequence[AddressType], families: Sequence[str]) -> None:
        self.unreadable = 0
        by_type = [list(self._read(node, kind)) for kind in types]
        self.found = next((found for places in by_type if (found := _first(places, families))), None)

    def _read(self, node: NodeBody, kind: AddressType) -> Iterator[str]:
        for one in node.status.addresses or ():
            if one.type == kind:
                place = canonical(one.address) if kind.endswith("IP") else host(one.address)
                if place is None:
                    self.unreadable += 1
                else:
                    yield place


def _first(places: Sequence[str], families: Sequence[str]) -> str | None:
    for family in families:
        for place in places:
            if is_name(place) or family_of(place) == family:
                return place
    return None
