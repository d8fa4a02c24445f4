"""A Service's definition, from the object of the API. Pure."""

from collections.abc import Iterable, Mapping

from ..definition import LoadBalancerStatus, Service, ServicePort
from ..errors import InvalidTarget
from ..kube.objects import ServiceBody
from ..kube.objects import ServicePort as WirePort
from ..kube.objects.services import Ingress
from ..targets import checks
from .addresses import canonical

ANY = frozenset({"*"})
"""Any value but an empty one and `false`."""

INTERNAL: Mapping[str, frozenset[str]] = {
    "service.beta.kubernetes.io/aws-load-balancer-internal": ANY,  # "0.0.0.0/0" in the old days
    "service.beta.kubernetes.io/aws-load-balancer-scheme": frozenset({"internal"}),
    "service.beta.kubernetes.io/azure-load-balancer-internal": frozenset({"true"}),
    "networking.gke.io/load-balancer-type": frozenset({"internal"}),
    "cloud.google.com/load-balancer-type": frozenset({"internal"}),
    "service.beta.kubernetes.io/openstack-internal-load-balancer": frozenset({"true"}),
    "service.beta.kubernetes.io/alibaba-cloud-loadbalancer-address-type": frozenset({"intranet"}),
    "service.beta.kubernetes.io/alicloud-loadbalancer-address-type": frozenset({"intranet"}),
    "service.beta.kubernetes.io/cce-load-balancer-internal-vpc": frozenset({"true"}),  # Baidu
    "service.kubernetes.io/qcloud-loadbalancer-internal-subnetid": ANY,  # Tencent
    "service.kubernetes.io/ibm-load-balancer-cloud-provider-ip-type": frozenset({"private"}),
    "service.beta.kubernetes.io/oci-load-balancer-internal": frozenset({"true"}),
    "oci-network-load-balancer.oraclecloud.com/internal": frozenset({"true"}),
    "service.beta.kubernetes.io/do-loadbalancer-network": frozenset({"internal"}),  # DigitalOcean
    "load-balancer.hetzner.cloud/disable-public-network": frozenset({"true"}),
    "service.beta.kubernetes.io/scw-loadbalancer-private": frozenset({"true"}),  # Scaleway
    "yandex.cloud/load-balancer-type": frozenset({"internal"}),
    "service.beta.kubernetes.io/ncloud-load-balancer-internal": frozenset({"true"}),  # NAVER
}
"""The annotations by which clouds make a load balancer internal, and the values (in lower case) that do so."""

AWS_SCHEME = "service.beta.kubernetes.io/aws-load-balancer-scheme"
AWS_TYPE = "service.beta.kubernetes.io/aws-load-balancer-type"
AWS_CLASSES = frozenset({"service.k8s.aws/nlb", "eks.amazonaws.com/nlb"})


def definition(body: ServiceBody, *, name: str, namespace: str, uid: str, domain: str) -> Service:
    """What a Service is defined as.

    Args:
        body: as it was read.
        name: of its metadata.
        namespace: likewise.
        uid: likewise.
        domain: the cluster's.
    """
    spec = body.spec
    alias = spec.type == "ExternalName"
    outside = spec.type in ("NodePort", "LoadBalancer") or bool(spec.external_ips)
    return Service(
        name=name,
        namespace=namespace,
        uid=uid,
        type=spec.type,
        cluster_ips=cluster_ips(body),
        headless=body.headless,
        ports=tuple(map(_port, body.ports)),
        selector=tuple(sorted((spec.selector or {}).items())),
        external_ips=_readable(map(canonical, spec.external_ips or ())),
        external_name=spec.external_name if alias else "",
        load_balancer=_load_balancer(body),
        session_affinity=spec.session_affinity or "None",
        internal_traffic_policy=spec.internal_traffic_policy or ("" if alias else "Cluster"),
        external_traffic_policy=spec.external_traffic_policy or ("Cluster" if outside else ""),
        traffic_distribution=spec.traffic_distribution or "",
        publish_not_ready=spec.publish_not_ready_addresses,
        dns_name=f"{name}.{namespace}.svc.{domain.strip('.')}",
    )


def cluster_ips(body: ServiceBody) -> tuple[str, ...]:
    """Its own addresses, those that can be read; servers before 1.20 know one only."""
    if body.spec.type == "ExternalName":
        return ()
    return _readable(map(canonical, body.spec.cluster_ips or (body.spec.cluster_ip,)))


def place_of(ingress: Ingress) -> str | None:
    """Where a load balancer is: an IP address or a host name; None where that cannot be read."""
    if ingress.ip:
        return canonical(ingress.ip)
    return host(ingress.hostname)


def host(text: str) -> str | None:
    """An address or a host name in its one spelling, None where it is neither."""
    try:
        found = checks.host(text)
    except InvalidTarget:
        return None
    return None if "%" in found else found


def internal(body: ServiceBody) -> bool:
    """Whether the cloud is told to make the load balancer internal."""
    notes = {name: value.strip().lower() for name, value in (body.metadata.annotations or {}).items()}
    for name, values in INTERNAL.items():
        value = notes.get(name, "")
        if value in values or (values is ANY and value not in ("", "false")):
            return True
    # The AWS load balancer controller makes what it is given internal, unless told otherwise.
    of_controller = body.spec.load_balancer_class in AWS_CLASSES or notes.get(AWS_TYPE) in ("external", "nlb-ip")
    return of_controller and AWS_SCHEME not in notes


def _load_balancer(body: ServiceBody) -> LoadBalancerStatus:
    if body.spec.type != "LoadBalancer":
        return LoadBalancerStatus()
    addresses = _readable(map(place_of, body.ingress))
    return LoadBalancerStatus(pending=not addresses, addresses=addresses, internal=internal(body))


def _port(port: WirePort) -> ServicePort:
    return ServicePort(
        name=port.name,
        port=port.port,
        target_port=port.target_port or port.port,
        node_port=port.node_port or None,
        protocol=port.protocol,
        app_protocol=port.app_protocol or "",
    )


def _readable(addresses: Iterable[str | None]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(address for address in addresses if address))
