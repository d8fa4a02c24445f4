"""Where the ports of a Service are reached from outside the cluster, and whether they answer there. Pure."""

from collections import defaultdict
from collections.abc import Iterable

from ...errors import quote
from ...kube.objects import ServiceBody, ServicePort
from ...kube.objects.services import Ingress
from ...resolvers.addresses import canonical, families, of_family
from ...resolvers.definition import place_of
from ..options import BridgeOptions
from .endpoints import NOWHERE, Pod, Standing, families_of, pods, standings
from .node_ports import NodePorts
from .nodes import Look, Nodes
from .unusable import Unusable
from .ways import Found, Place, ServiceView, way_of

PREFER = "Let the bridge prefer a family, and not insist on it"


def places(view: ServiceView, nodes: Nodes, options: BridgeOptions, remarks: list[str]) -> Found:
    """The places of each port, by its name. Adds to `remarks` what an operator should know.

    Raises:
        Unusable: it has addresses, and none of the kind that is wanted.
    """
    way = way_of(view.body, options)
    if way == "node-port":
        return NodePorts(view, nodes, options).found(remarks)
    if way == "pods":
        return _at_pods(view, nodes, options)
    if way is None:
        return {}
    own = _external_ips(view.body, remarks) if way == "external-ips" else _load_balancers(view.body)
    if not own and way == "load-balancer" and not view.body.ingress:
        remarks.append("its load balancer has no address yet")
        return {}
    return _at_its_own(view, own, options)


def own_look(options: BridgeOptions) -> Look:
    """How the bridge looks at nodes for their own sake, whatever the Service."""
    return Look(options.address_types, families(options.family), options.cordoned)


def _external_ips(body: ServiceBody, remarks: list[str]) -> dict[str, list[Ingress]]:
    found: dict[str, list[Ingress]] = {}
    for text in body.spec.external_ips or ():
        address = canonical(text)
        if address is None:
            remarks.append(f"its external IP {quote(text)} is no address")
        else:
            found[address] = []
    return found


def _load_balancers(body: ServiceBody) -> dict[str, list[Ingress]]:
    """What is said of each address; one may be there twice, with other ports."""
    found: defaultdict[str, list[Ingress]] = defaultdict(list)
    for ingress in body.ingress:
        place = place_of(ingress)
        if place is not None:
            found[place].append(ingress)
    return found


def _at_its_own(view: ServiceView, own: dict[str, list[Ingress]], options: BridgeOptions) -> Found:
    """At addresses that it has itself, which answer while it has a usable endpoint anywhere."""
    if not own:
        raise Unusable(
            "none of its addresses can be read", reason="address", next_step="See kubectl get service -o yaml"
        )
    found = of_family(tuple(own), options.family)
    if not found:
        has = ", ".join(list(own)[:5])
        raise Unusable(
            f"it has no address of the family {options.family}: it has {has}", reason="address", next_step=PREFER
        )
    standing = standings(view.slices, all_ready=view.body.spec.publish_not_ready_addresses)
    return {
        port.name: [Place(address, port.port, _answers(port, standing, own[address])) for address in found]
        for port in view.body.ports
    }


def _answers(port: ServicePort, standing: dict[str, Standing], ingresses: Iterable[Ingress]) -> bool:
    """Whether it has a usable endpoint, and the load balancer does not say that it could not open the port."""
    told = (one for ingress in ingresses for one in ingress.ports or ())
    closed = any(one.error and (one.port, one.protocol) == (port.port, port.protocol) for one in told)
    return not closed and standing.get(port.name, NOWHERE).usable()


def _at_pods(view: ServiceView, nodes: Nodes, options: BridgeOptions) -> Found:
    has = families_of(view.slices)
    if not has:
        return {}
    family = next((one for one in families(options.family) if one in has), None)
    if family is None:
        raise Unusable(f"its pods have no address of the family {options.family}", reason="address", next_step=PREFER)
    all_ready = view.body.spec.publish_not_ready_addresses
    seen = nodes.seen(own_look(options))

    def place(pod: Pod) -> Place:
        zone = pod.zone or (seen[pod.node].zone if pod.node in seen else "")
        return Place(pod.address, pod.port, pod.usable, pod.node, zone)

    return {
        port.name: [
            place(pod)
            for pod in pods(view.slices, port.name, family, all_ready=all_ready)
            if pod.usable or options.not_ready == "critical"
        ]
        for port in view.body.ports
    }
