"""By which way a Service is reached from outside the cluster: what it is decides, before anybody looks where. Pure."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import attrs

from ...kube.objects import ServiceBody, SliceBody
from ..options import BridgeOptions

Way = Literal["external-ips", "node-port", "load-balancer", "pods"]


@attrs.frozen
class ServiceView:
    """A Service and its EndpointSlices, as the cluster has them now."""

    namespace: str
    name: str
    uid: str
    body: ServiceBody
    slices: Sequence[SliceBody] = ()


class Place(NamedTuple):
    """Where a port is reached. `node` is that of the cluster which the address is on, "" where it is on none."""

    address: str
    port: int
    passing: bool
    node: str = ""
    zone: str = ""


Found = dict[str, list[Place]]
"""The places of each port, by its name."""


def way_of(body: ServiceBody, options: BridgeOptions) -> Way | None:
    """How such a Service is reached from outside; None is not at all.

    External IPs go before its type, as kube-proxy serves them whatever that is; but it serves none of a headless
    Service or an ExternalName.
    """
    kind = body.spec.type
    if kind == "ExternalName":
        return None
    if not body.headless:
        if body.spec.external_ips:
            return "external-ips"
        if kind == "NodePort":
            return "node-port"
        if kind == "LoadBalancer":
            return "load-balancer"
    return "pods" if options.pod_addresses else None


def follows_all_nodes(body: ServiceBody, options: BridgeOptions) -> bool:
    """Whether a change of any node may concern it, and not only of those that have an endpoint of it."""
    local = body.spec.external_traffic_policy == "Local"
    return options.nodes == "all" and not local and way_of(body, options) == "node-port"
