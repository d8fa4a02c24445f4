"""Which nodes there are, which are fit, and where each is reached: looked at once, asked by every Service. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from ...kube.objects import NodeBody
from ...resolvers.addresses import family_of, is_name
from ...resolvers.nodes import NOT_READY, Address, is_ready, why_unfit, zone_of
from ...targets import AddressType


class Look(NamedTuple):
    """How nodes are looked at: kinds of address, best first, families likewise, and whether cordoned ones are fit."""

    types: tuple[AddressType, ...]
    families: tuple[str, ...]
    cordoned: bool


class Spot(NamedTuple):
    """A node, looked at.

    Attributes:
        address: None where it has none of the kind.
        family: of the address; None where that is a host name, which is of either.
        zone: "" where that is not known.
        unfit: why it should get no traffic, None where it may.
    """

    address: str | None
    family: str | None
    zone: str
    unfit: str | None


class Nodes:
    """The nodes of a cluster. What each comes to is kept for each look, until the node itself changes.

    Where not one node is ready, it is the control plane that hears none of them: readiness is not held against any
    then, as Kubernetes evicts nothing in such a case (its node lifecycle controller calls it a full disruption).

    Attributes:
        cluster: the uid that tells their cluster from every other, "" where it is not known.
    """

    def __init__(self) -> None:
        self.cluster = ""
        self._ready: set[str] = set()
        self._bodies: dict[str, NodeBody] = {}
        self._seen: dict[Look, dict[str, Spot]] = {}
        self._fit: dict[Look, dict[str, Spot]] = {}

    def __repr__(self) -> str:
        return f"<Nodes: {len(self._bodies)}>"

    def __len__(self) -> int:
        return len(self._bodies)

    @property
    def unheard(self) -> bool:
        """Whether there are nodes, and not one of them is ready."""
        return bool(self._bodies) and not self._ready

    def put(self, name: str, body: NodeBody | None) -> bool:
        """Take a node as it is now, None where it is gone; whether it is another than before."""
        if body == self._bodies.get(name):
            return False
        if body is None:
            del self._bodies[name]
        else:
            self._bodies[name] = body
        self._fit.clear()
        self._ready.discard(name)
        if body is not None and is_ready(body):
            self._ready.add(name)
        for look, seen in self._seen.items():
            if body is None:
                del seen[name]
            else:
                seen[name] = _spot(body, look)
        return True

    def seen(self, look: Look) -> Mapping[str, Spot]:
        """Every node by its name, as this look has it. Not to be kept: it changes with the nodes."""
        found = self._seen.get(look)
        if found is None:
            found = self._seen[look] = {name: _spot(body, look) for name, body in self._bodies.items()}
        return found

    def fit(self, look: Look) -> Mapping[str, Spot]:
        """Those that may get traffic. Not to be kept either."""
        found = self._fit.get(look)
        if found is None:
            fit = (None, NOT_READY) if self.unheard else (None,)
            found = self._fit[look] = {name: spot for name, spot in self.seen(look).items() if spot.unfit in fit}
        return found


def _spot(body: NodeBody, look: Look) -> Spot:
    address = Address(body, look.types, look.families).found
    family = None if address is None or is_name(address) else family_of(address)
    return Spot(address, family, zone_of(body), why_unfit(body, cordoned=look.cordoned))
