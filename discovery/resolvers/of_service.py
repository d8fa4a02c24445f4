"""The ways in that a Service itself offers, in the cluster and from outside: what is followed for each."""

from collections.abc import Sequence

from ..events import Hook
from ..kube.kinds import ALL_NODES, ENDPOINT_SLICES, ENDPOINTS, NODES, SERVICES
from ..targets import ClusterIP, LoadBalancer, NodePort, OfService
from .address_set import AddressSet, ClusterIPSet, LoadBalancerSet
from .derived import Derived
from .following import Following, Source, Subscribe
from .node_port_set import NodePortSet
from .plain import PlainEndpoints


def cluster_ip_resolver(target: ClusterIP, subscribe: Subscribe, emit: Hook) -> Following:
    """Follows the Service, and so a change of its address, its end and its return.

    Args:
        target: its namespace is settled.
        subscribe: opens the watches.
        emit: takes events.
    """
    return _by_service(target, ClusterIPSet, subscribe, emit)


def load_balancer_resolver(target: LoadBalancer, subscribe: Subscribe, emit: Hook) -> Following:
    """Follows the Service, until addresses are assigned to it and ever after. Arguments as in `cluster_ip_resolver`."""
    return _by_service(target, LoadBalancerSet, subscribe, emit)


def node_port_resolver(target: NodePort, subscribe: Subscribe, emit: Hook) -> Following:
    """Follows the Service, all nodes, and the Service's EndpointSlices, which are done without where RBAC hides them.

    Arguments as in `cluster_ip_resolver`.
    """
    namespace, service = _place(target)

    def plan() -> tuple[Derived, Sequence[Source]]:
        found = NodePortSet(target)
        old = Source(ENDPOINTS, namespace, service, PlainEndpoints(found.put_slice).put, found.see)
        return found, (
            Source(SERVICES, namespace, service, found.serve),
            Source(ENDPOINT_SLICES, namespace, service, found.put_slice, found.see, instead=old),
            Source(NODES, "", ALL_NODES, found.put_node),
        )

    return Following(str(target), plan, subscribe, emit)


def _by_service(target: OfService, made: type[AddressSet], subscribe: Subscribe, emit: Hook) -> Following:
    namespace, service = _place(target)

    def plan() -> tuple[Derived, Sequence[Source]]:
        found = made(target)
        return found, (Source(SERVICES, namespace, service, found.put),)

    return Following(str(target), plan, subscribe, emit)


def _place(target: OfService) -> tuple[str, str]:
    assert target.namespace is not None
    return target.namespace, target.service
