"""How a Service's endpoints stand, by port, node and family: what decides where it is reached, and its health. Pure.

Usable is a ready endpoint; or one that still serves while it terminates, where the port has no ready one of its family.
So a node whose endpoints are all leaving goes to critical before they are gone, as it fails a load balancer's health
check, and yet a Service that has nothing else keeps them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from ...kube.objects import Endpoint, SliceBody
from ...resolvers.addresses import canonical

READY: Final = 0
LEAVING: Final = 1
UNREADY: Final = 2
"""How an endpoint stands, best first: `LEAVING` terminates and still serves."""

FAMILIES: Final = {"IPv4": "ipv4", "IPv6": "ipv6"}
"""Kinds of slices whose endpoints have addresses."""


class Standing:
    """How the endpoints of one port stand. A family of None is either."""

    __slots__ = ("_best", "_nodes")

    def __init__(self) -> None:
        self._nodes: dict[str | None, dict[str, int]] = {None: {}}
        self._best: dict[str | None, int] = {}

    def __bool__(self) -> bool:
        return bool(self._nodes[None])

    def add(self, family: str, ranks: Mapping[str, int]) -> None:
        """Take the best endpoint of each node in a slice of this family; "" is that of no known node."""
        for key in (family, None):
            nodes = self._nodes.setdefault(key, {})
            for node, rank in ranks.items():
                nodes[node] = min(rank, nodes.get(node, rank))
            best = min(ranks.values(), default=UNREADY)
            self._best[key] = min(best, self._best.get(key, best))

    def nodes(self) -> Iterable[str]:
        """Those that have an endpoint."""
        return (node for node in self._nodes[None] if node)

    def stands_at(self, node: str, family: str | None) -> bool:
        """Whether the node has an endpoint, usable or not."""
        return node in self._nodes.get(family, ())

    def usable_at(self, node: str, family: str | None) -> bool:
        """Whether the node has a usable one."""
        rank = self._nodes.get(family, {}).get(node, UNREADY)
        return rank != UNREADY and rank == self._best[family]

    def usable(self, family: str | None = None) -> bool:
        """Whether there is a usable one anywhere."""
        return self._best.get(family, UNREADY) != UNREADY


NOWHERE = Standing()
"""That of a port without endpoints."""


@attrs.frozen
class Pod:
    """An endpoint at its own address. `node` and `zone` are "" where they are not known."""

    address: str
    port: int
    node: str
    zone: str
    usable: bool


def standings(slices: Iterable[SliceBody], *, all_ready: bool) -> dict[str, Standing]:
    """How the endpoints of each port stand, by the port's name.

    Args:
        slices: all of the Service's.
        all_ready: whether the Service publishes addresses that are not ready: then each counts as ready.
    """
    found: dict[str, Standing] = {}
    for body in slices:
        family = FAMILIES.get(body.address_type)
        if family is None:
            continue
        ranks: dict[str, int] = {}
        for endpoint in body.endpoints or ():
            if endpoint.addresses:
                node, rank = endpoint.node_name or "", _rank(endpoint, all_ready)
                ranks[node] = min(rank, ranks.get(node, rank))
        if ranks:
            for name in _ports(body):
                found.setdefault(name, Standing()).add(family, ranks)
    return found


def pods(slices: Iterable[SliceBody], port: str, family: str, *, all_ready: bool) -> list[Pod]:
    """The endpoints of one port and family, one for each address, by their addresses."""
    best: dict[str, tuple[int, int, str, str]] = {}
    for body in slices:
        number = _ports(body).get(port) if FAMILIES.get(body.address_type) == family else None
        for endpoint in (body.endpoints or ()) if number is not None else ():
            address = canonical(endpoint.addresses[0]) if endpoint.addresses else None
            if number is not None and address is not None:
                claim = _rank(endpoint, all_ready), number, endpoint.node_name or "", endpoint.zone or ""
                best[address] = min(claim, best.get(address, claim))
    least = min((rank for rank, *_ in best.values()), default=UNREADY)
    return [
        Pod(address, number, node, zone, rank == least != UNREADY)
        for address, (rank, number, node, zone) in sorted(best.items())
    ]


def families_of(slices: Iterable[SliceBody]) -> set[str]:
    """Those that have an endpoint."""
    return {FAMILIES[body.address_type] for body in slices if body.address_type in FAMILIES and body.endpoints}


def nodes_of(slices: Iterable[SliceBody]) -> set[str]:
    """The nodes with an endpoint: those whose changes may concern the Service."""
    return {node for body in slices for node in _nodes(body)}


def _nodes(body: SliceBody) -> Iterator[str]:
    return (endpoint.node_name for endpoint in body.endpoints or () if endpoint.node_name)


def _ports(body: SliceBody) -> dict[str, int]:
    """The numbers by name; none means any, which nobody can call."""
    return {port.name or "": port.port for port in body.ports or () if port.port is not None and 0 < port.port < 65536}


def _rank(endpoint: Endpoint, all_ready: bool) -> int:
    """A missing `ready` or `serving` means yes, a missing `terminating` no (EndpointConditions, discovery/v1)."""
    conditions = endpoint.conditions
    if all_ready or conditions is None or conditions.ready is not False:
        return READY
    return LEAVING if conditions.terminating and conditions.serving is not False else UNREADY
