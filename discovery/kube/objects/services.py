"""Services: what is promised, and where."""

import msgspec

from .wire import decoders


class ServicePort(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """One port of a Service."""

    port: int
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None
    node_port: int = 0
    app_protocol: str | None = None


class ServiceSpec(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What is wanted of a Service."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] | None = msgspec.field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] | None = msgspec.field(default=(), name="externalIPs")
    external_name: str = ""
    ports: tuple[ServicePort, ...] | None = ()
    selector: dict[str, str] | None = None
    session_affinity: str = "None"
    internal_traffic_policy: str | None = None
    external_traffic_policy: str | None = None
    traffic_distribution: str | None = None
    publish_not_ready_addresses: bool = False
    ip_families: tuple[str, ...] | None = None
    load_balancer_class: str | None = None


class IngressPort(msgspec.Struct, gc=False, frozen=True):
    """A port of a load balancer; `error` says why it could not be opened."""

    port: int = 0
    protocol: str = "TCP"
    error: str | None = None


class Ingress(msgspec.Struct, gc=False, frozen=True):
    """One address of a load balancer: an IP address, or a host name."""

    ip: str = ""
    hostname: str = ""
    ports: tuple[IngressPort, ...] | None = None


class LoadBalancerBody(msgspec.Struct, gc=False, frozen=True):
    """What a cloud has assigned."""

    ingress: tuple[Ingress, ...] | None = None


class ServiceStatus(msgspec.Struct, gc=False, frozen=True, rename="camel"):
    """What has become of it."""

    load_balancer: LoadBalancerBody = LoadBalancerBody()


class ServiceMeta(msgspec.Struct, gc=False, frozen=True):
    """Of metadata, what is not in the head."""

    annotations: dict[str, str] | None = None


class ServiceBody(msgspec.Struct, gc=False, frozen=True):
    """A Service."""

    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()
    metadata: ServiceMeta = ServiceMeta()

    @property
    def headless(self) -> bool:
        """Whether it has no address of its own."""
        return self.spec.cluster_ip == "None"

    @property
    def ports(self) -> tuple[ServicePort, ...]:
        """Its ports, also where the field is null."""
        return self.spec.ports or ()

    @property
    def ingress(self) -> tuple[Ingress, ...]:
        """What its load balancer has, where it is of a type that has one."""
        return (self.status.load_balancer.ingress or ()) if self.spec.type == "LoadBalancer" else ()


decode_service, decode_service_line = decoders(ServiceBody)
