"""At which nodes a Service of the type NodePort is reached, once each however many pods and families. Pure."""

from collections.abc import Callable, Iterable

from ...balancing.hashing import encoded, xxh64
from ...errors import quote
from ...kube.objects import ServiceBody, ServicePort
from ...resolvers.addresses import families, family_of
from ...resolvers.definition import cluster_ips
from ..options import BridgeOptions
from .endpoints import NOWHERE, Standing, standings
from .nodes import Look, Nodes
from .unusable import Unusable
from .ways import Found, Place, ServiceView, follows_all_nodes


class NodePorts:
    """The nodes by which one Service is reached.

    Args:
        view: of the type NodePort.
        nodes: all there are.
        options: which of them are wanted, and at which address.
    """

    def __init__(self, view: ServiceView, nodes: Nodes, options: BridgeOptions) -> None:
        self._view = view
        self._options = options
        self._standings = standings(view.slices, all_ready=view.body.spec.publish_not_ready_addresses)
        self._everywhere = follows_all_nodes(view.body, options)
        self._cap = options.cap if self._everywhere else options.max_nodes
        self._families = _families(view.body, options)
        self._fit = nodes.fit(Look(options.address_types, self._families, options.cordoned))

    def found(self, remarks: list[str]) -> Found:
        """The places of each port, by its name. Adds to `remarks` what an operator should know.

        Raises:
            Unusable: it has endpoints, and no node that serves has an address of the kind that is wanted.
        """
        if not self._standings and not self._everywhere:
            return {}
        self._check_family()
        self._check_addresses(remarks)
        return {port.name: self._of(port) for port in self._view.body.ports}

    def _check_family(self) -> None:
        if self._standings and not self._families:
            raise Unusable(
                f"it has no address of the family {self._options.family}, so no node port either",
                reason="address",
                next_step="Make the Service dual-stack, or let the bridge prefer a family",
            )

    def _check_addresses(self, remarks: list[str]) -> None:
        serving = {name for one in self._standings.values() for name in self._candidates(one)}
        lost = sorted(name for name in serving if self._fit[name].address is None)
        if not lost:
            return
        strict = "" if self._options.family.startswith("prefer-") else f" and the family {self._options.family}"
        text = (
            f"{len(lost)} of the {len(serving)} nodes that could serve it have no address of the type "
            f"{' or '.join(self._options.address_types)}{strict}, such as {quote(lost[0])}"
        )
        if len(lost) == len(serving):
            raise Unusable(text, reason="address", next_step="Name other kinds of address in the bridge's options")
        remarks.append(text)

    def _candidates(self, standing: Standing) -> Iterable[str]:
        """Fit nodes that could serve."""
        return self._fit if self._everywhere else (name for name in standing.nodes() if name in self._fit)

    def _of(self, port: ServicePort) -> list[Place]:
        if not port.node_port:
            raise Unusable(f"its port {port.port} has no node port", reason="port", next_step="See its spec.ports")
        standing = self._standings.get(port.name, NOWHERE)
        by_address: dict[str, Place] = {}
        for name in self._candidates(standing):
            place = self._place(name, standing, port.node_port)
            if place is not None and _better(place, by_address.get(place.address)):
                by_address[place.address] = place
        return chosen(by_address.values(), self._cap, f"{self._view.namespace}/{self._view.name}/{port.name}/")

    def _place(self, name: str, standing: Standing, port: int) -> Place | None:
        address, family, zone, _ = self._fit[name]
        if address is None:
            return None
        if self._everywhere:
            passing = standing.usable(family)
        elif standing.stands_at(name, family):
            passing = standing.usable_at(name, family)
        else:
            return None
        if not passing and self._options.not_ready == "absent":
            return None
        return Place(address, port, passing, name, zone)


def chosen(found: Iterable[Place], cap: int | None, salt: str) -> list[Place]:
    """At most `cap` of them, those that serve first, by rendezvous: whoever leaves frees its own place alone."""
    all_found = list(found)
    if cap is None or len(all_found) <= cap:
        return all_found
    digest: Callable[[bytes], int] = xxh64()

    def order(place: Place) -> tuple[bool, int, str]:
        return not place.passing, digest(encoded(salt + place.node)), place.node

    return sorted(all_found, key=order)[:cap]


def _better(one: Place, other: Place | None) -> bool:
    """Whose an address is that two nodes have: of the one that serves, then by name."""
    return other is None or (not one.passing, one.node) < (not other.passing, other.node)


def _families(body: ServiceBody, options: BridgeOptions) -> tuple[str, ...]:
    """Those that are wanted, best first, as far as the Service has them: so far its node port is open."""
    wanted = families(options.family)
    has = {one.lower() for one in body.spec.ip_families or ()} or set(map(family_of, cluster_ips(body)))
    return tuple(one for one in wanted if one in has) if has else wanted
