"""The addresses that a Service has itself: in the cluster, and at its load balancer. Pure."""

from collections.abc import Iterator

from ..errors import DiscoveryError, NoBackends, NoEndpoints, PortNotFound, quote
from ..kube.objects import ServiceBody, ServicePort
from ..kube.objects.services import Ingress
from ..model import Backend, BackendId
from ..targets import OfService
from .addresses import of_family
from .definition import cluster_ips, place_of
from .derived import Delta, Derived
from .naming import named, no_service
from .ports import LONGEST_PORT, PORTS_SHOWN, service_port

Shown = tuple[Backend, str | None]
"""A backend, and why it is withheld, where it is."""


class AddressSet(Derived):
    """What the Service of one target says, as backends. To be inherited from.

    Args:
        target: its namespace is settled.
    """

    def __init__(self, target: OfService) -> None:
        self._target = target
        self._service: ServiceBody | None = None
        self._now: dict[BackendId, Shown] = {}
        self._told: dict[BackendId, Shown] = {}

    def put(self, _name: str, body: ServiceBody | None) -> None:
        """Take the Service as it is now; None where there is none."""
        self._service = body
        self._now = {}
        port = service_port(body, self._target.port) if body is not None else None
        if body is not None and port is not None and self._unfit(body) is None:
            self._now = {shown[0].id: shown for shown in self._places(body, port)}

    def take(self) -> Delta:
        """What changed since it was last asked, once."""
        changed = {key: shown for key, shown in self._now.items() if self._told.get(key) != shown}
        removed = tuple(key for key in self._told if key not in self._now)
        self._told = self._now
        withheld = {key: reason for key, (_, reason) in changed.items() if reason is not None}
        return Delta(tuple(backend for backend, _ in changed.values()), removed, withheld)

    def problem(self) -> DiscoveryError | None:
        """Why there can be nothing to pick from, where that is so."""
        if self._service is None:
            return no_service(self._target)
        wrong = self._unfit(self._service) or no_port(self._target, self._service)
        return wrong or (None if self._now else self._none_yet())

    def _unfit(self, body: ServiceBody) -> DiscoveryError | None:
        """Why such a Service has no such addresses, whatever its port; None where it may have."""
        raise NotImplementedError

    def _places(self, body: ServiceBody, port: ServicePort) -> Iterator[Shown]:
        """The addresses that it has, with this port."""
        raise NotImplementedError

    def _none_yet(self) -> DiscoveryError:
        """What to say of a Service that may have addresses and has none."""
        raise NotImplementedError


class ClusterIPSet(AddressSet):
    """A Service's own stable address, of the family that is wanted."""

    def _unfit(self, body: ServiceBody) -> DiscoveryError | None:
        return alias(self._target, body) or headless(self._target, body)

    def _places(self, body: ServiceBody, port: ServicePort) -> Iterator[Shown]:
        for address in of_family(cluster_ips(body), self._target.family)[:1]:
            yield Backend(address=address, port=port.port, app_protocol=port.app_protocol or ""), None

    def _none_yet(self) -> DiscoveryError:
        assert self._service is not None
        has = cluster_ips(self._service)
        if not has:
            return NoBackends(f"{named(self._target)} has no cluster IP yet", next_step="Wait for the API server")
        return NoBackends(
            f"{named(self._target)} has no address of the family {self._target.family}: it has {', '.join(has)}",
            next_step="Ask for prefer-ipv4 or prefer-ipv6, or make the Service dual-stack",
        )


class LoadBalancerSet(AddressSet):
    """The addresses that a cloud, or what stands in for one, has assigned to a Service."""

    def put(self, name: str, body: ServiceBody | None) -> None:
        """Take the Service as it is now; None where there is none."""
        super().put(name, body)
        self.unreadable += sum(place_of(ingress) is None for ingress in body.ingress) if body is not None else 0

    def _unfit(self, body: ServiceBody) -> DiscoveryError | None:
        return no_load_balancer(self._target, body)

    def _places(self, body: ServiceBody, port: ServicePort) -> Iterator[Shown]:
        found: dict[str, Ingress] = {}
        for ingress in body.ingress:
            place = place_of(ingress)
            if place is not None:
                found.setdefault(place, ingress)
        for address in of_family(tuple(found), self._target.family):
            backend = Backend(address=address, port=port.port, app_protocol=port.app_protocol or "")
            yield backend, _closed(found[address], port)

    def _none_yet(self) -> DiscoveryError:
        assert self._service is not None
        if not any(map(place_of, self._service.ingress)):
            return pending(self._target)
        return NoBackends(
            f"the load balancer of {named(self._target)} has no address of the family {self._target.family}",
            next_step="Ask for prefer-ipv4 or prefer-ipv6, or make the Service dual-stack",
        )


def no_port(target: OfService, body: ServiceBody) -> PortNotFound | None:
    """What is wrong with the port, where it is not one of the Service's for TCP."""
    if service_port(body, target.port) is not None:
        return None
    ports = [_said(port) for port in body.ports]
    has = ", ".join(ports[:PORTS_SHOWN])
    if not ports:
        return PortNotFound(f"{named(target)} has no ports", next_step="Give it one")
    if target.port is not None:
        return PortNotFound(f"{named(target)} has no TCP port {target.port}", ports=ports, next_step=f"It has {has}")
    if not any(port.protocol == "TCP" for port in body.ports):
        return PortNotFound(f"{named(target)} has no TCP port", ports=ports, next_step=f"It has {has}")
    return PortNotFound(f"{named(target)} has more than one port", ports=ports, next_step=f"Name one of {has}")


def alias(target: OfService, body: ServiceBody) -> NoEndpoints | None:
    """An ExternalName has no addresses of its own."""
    if body.spec.type != "ExternalName":
        return None
    name = quote(body.spec.external_name, LONGEST_PORT)[1:-1]
    port = service_port(body, target.port)
    number = port.port if port is not None else target.port if isinstance(target.port, int) else "PORT"
    return NoEndpoints(f"{named(target)} is an ExternalName, for {name}", next_step=f"Use dns://{name}:{number}")


def headless(target: OfService, body: ServiceBody) -> NoEndpoints | None:
    """A headless Service has none either."""
    if not body.headless:
        return None
    where = f"{target.namespace}/{target.service}" + ("" if target.port is None else f":{target.port}")
    return NoEndpoints(f"{named(target)} is headless: it has no cluster IP", next_step=f"Use endpoints://{where}")


def no_load_balancer(target: OfService, body: ServiceBody) -> DiscoveryError | None:
    """A Service of another type never gets one."""
    return None if body.spec.type == "LoadBalancer" else alias(target, body) or not_balanced(target, body.spec.type)


def not_balanced(target: OfService, kind: str) -> NoBackends:
    """A Service of this type has no load balancer."""
    return NoBackends(
        f"{named(target)} has no load balancer: its type is {quote(kind, LONGEST_PORT)[1:-1]}",
        next_step="Set its type to LoadBalancer, or use another way in: discovery service "
        f"{target.namespace}/{target.service} lists them",
    )


def pending(target: OfService) -> NoBackends:
    """A load balancer without an address so far."""
    return NoBackends(f"{named(target)} has no external address yet", next_step=why_pending(target))


def why_pending(target: OfService) -> str:
    """Where to look for what an address is waited for."""
    return (
        f"See the events of kubectl describe service {target.service} -n {target.namespace}: the cloud may need "
        "minutes, its quota may be used up, or no cloud controller (or MetalLB) runs that assigns addresses"
    )


def _said(port: ServicePort) -> str:
    name = quote(port.name, LONGEST_PORT)[1:-1]
    text = f"{name}={port.port}" if name else str(port.port)
    return text if port.protocol == "TCP" else f"{text}/{quote(port.protocol, LONGEST_PORT)[1:-1]}"


def _closed(ingress: Ingress, port: ServicePort) -> str | None:
    """Why the load balancer has not opened this port there."""
    for one in ingress.ports or ():
        if one.port == port.port and one.protocol == "TCP" and one.error:
            return f"the load balancer could not open port {port.port}: {quote(one.error)}"
    return None
