"""The definition of a Service: what a user reads of it, and its ways in. No I/O."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cached_property

import attrs

from .errors import InvalidTarget
from .targets import ClusterIP, Dns, Endpoints, LoadBalancer, NodePort, Static, Target, checks


@attrs.frozen(kw_only=True)
class ServicePort:
    """One port of a Service.

    Args:
        name: "" where the only port of a Service has none.
        port: the number at the Service's own addresses.
        target_port: the number, or the name, of the pods' port.
        node_port: the number at every node's addresses, None where there is none.
        protocol: TCP, UDP or SCTP.
        app_protocol: a hint such as `http` or `kubernetes.io/h2c`, "" where there is none.
    """

    name: str = ""
    port: int
    target_port: int | str
    node_port: int | None = None
    protocol: str = "TCP"
    app_protocol: str = ""


@attrs.frozen(kw_only=True)
class LoadBalancerStatus:
    """What has become of a Service's load balancer.

    Args:
        pending: the Service is of the type LoadBalancer, and no address is assigned yet.
        addresses: IP addresses in their one spelling, and host names; () where the Service is of another type.
        internal: it is only reachable inside the cloud's network, as an annotation of the cloud says.
    """

    pending: bool = False
    addresses: tuple[str, ...] = ()
    internal: bool = False


@attrs.frozen(kw_only=True, cache_hash=True)
class Service:
    """A Service as it is defined now. Equal definitions are equal, and have one hash.

    Args:
        name: its own.
        namespace: likewise.
        uid: another one is another Service, though it has the same name.
        type: ClusterIP, NodePort, LoadBalancer or ExternalName.
        cluster_ips: its stable addresses, the first of its main family; () where it is headless or an ExternalName.
        headless: it has no address of its own on purpose: its DNS name stands for its pods.
        ports: in their order.
        selector: which pods are behind it, as pairs sorted by key; () where others say what is.
        external_ips: addresses that lead to the cluster's nodes, and there to it.
        external_name: what an ExternalName stands for, else "".
        load_balancer: what has become of its load balancer.
        session_affinity: None or ClientIP. It holds on the way through kube-proxy; a client that picks a pod itself
            goes past it.
        internal_traffic_policy: Cluster, or Local: only pods on the client's own node; "" for an ExternalName.
        external_traffic_policy: Cluster, or Local: only pods on the node that was called; "" where the Service is not
            reachable from outside.
        traffic_distribution: PreferSameZone (or PreferClose, its older name), PreferSameNode, or "".
        publish_not_ready: pods count as ready before they are.
        dns_name: in the cluster's DNS, without a last dot.
    """

    name: str
    namespace: str
    uid: str = ""
    type: str = "ClusterIP"
    cluster_ips: tuple[str, ...] = ()
    headless: bool = False
    ports: tuple[ServicePort, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    external_ips: tuple[str, ...] = ()
    external_name: str = ""
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    session_affinity: str = "None"
    internal_traffic_policy: str = ""
    external_traffic_policy: str = ""
    traffic_distribution: str = ""
    publish_not_ready: bool = False
    dns_name: str = ""

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Its ways in: each can be given to `Discovery.pool`. The best for a client in the cluster is the first.

        Targets are for TCP, so other ports have none. Which of them can be gone depends on where the client
        is: node ports, load balancers and external IPs are for clients outside the cluster.
        """
        return tuple(_ways_in(self))


def _ways_in(service: Service) -> Iterator[Target]:
    ports = [port for port in service.ports if port.protocol == "TCP"]
    for way in _WAYS:
        for port in ports:
            with suppress(InvalidTarget):  # what the cluster says may be no name
                target = way(service, port)
                if target is not None:
                    yield target


def _endpoints(service: Service, port: ServicePort) -> Target | None:
    if service.type == "ExternalName":
        return None
    return Endpoints(service.name, namespace=service.namespace, port=port.name or port.port)


def _cluster_ip(service: Service, port: ServicePort) -> Target | None:
    if not service.cluster_ips:
        return None
    return ClusterIP(service.name, namespace=service.namespace, port=port.name or port.port)


def _node_port(service: Service, port: ServicePort) -> Target | None:
    if port.node_port is None or service.type == "ExternalName":
        return None
    return NodePort(service.name, namespace=service.namespace, port=port.name or port.port)


def _load_balancer(service: Service, port: ServicePort) -> Target | None:
    if service.type != "LoadBalancer":
        return None
    return LoadBalancer(service.name, namespace=service.namespace, port=port.name or port.port)


def _external_ips(service: Service, port: ServicePort) -> Target | None:
    return Static([(address, port.port) for address in service.external_ips]) if service.external_ips else None


def _external_name(service: Service, port: ServicePort) -> Target | None:
    if not service.external_name or checks.address(service.external_name):  # which is looked up as a name of digits
        return None
    return Dns(_absolute(service.external_name), port=port.port)


def _dns(service: Service, port: ServicePort) -> Target | None:
    if service.type == "ExternalName" and _external_name(service, port) is None:  # what it is an alias for cannot be
        return None
    number = port.target_port if service.headless else port.port
    return Dns(_absolute(service.dns_name), port=number) if isinstance(number, int) else None


def _srv(service: Service, port: ServicePort) -> Target | None:
    if not port.name or service.type == "ExternalName":
        return None
    return Dns(f"_{port.name}._tcp.{_absolute(service.dns_name)}", srv=True)


_WAYS: tuple[Callable[[Service, ServicePort], Target | None], ...] = (
    _endpoints,
    _cluster_ip,
    _node_port,
    _load_balancer,
    _external_ips,
    _external_name,
    _dns,
    _srv,
)
"""In order of preference."""


def _absolute(name: str) -> str:
    """With a last dot: no search list is gone through for it."""
    return f"{name.rstrip('.')}."
