"""Services, slices and nodes as the tests of the plan have them: made as their JSON would be read."""

from collections.abc import Mapping
from typing import Any

import msgspec

from discovery.bridge.options import BridgeOptions
from discovery.bridge.wanted.desired import Desired, Nodes, ServiceView, desired
from discovery.kube.objects import NodeBody, ServiceBody, SliceBody

HTTP = {"name": "http", "port": 80, "nodePort": 30000}
RPC = {"name": "rpc", "port": 8500, "nodePort": 30001}
POD_PORTS = ({"name": "http", "port": 8080}, {"name": "rpc", "port": 2000})


def options(**more: Any) -> BridgeOptions:
    """Of a bridge that owns `prod`."""
    return BridgeOptions(**{"owner": "prod", **more})


def node(*addresses: str, ready: str = "True", zone: str = "", deleted: bool = False, **spec: Any) -> NodeBody:
    """A node. Addresses are `ExternalIP 1.2.3.4`, or `1.2.3.4` for an InternalIP."""
    there = [dict(zip(("type", "address"), f"InternalIP {one}".split()[-2:], strict=True)) for one in addresses]
    return msgspec.convert(
        {
            "metadata": {
                "labels": {"topology.kubernetes.io/zone": zone} if zone else None,
                "deletionTimestamp": "2026-01-01T00:00:00Z" if deleted else None,
            },
            "spec": spec,
            "status": {"addresses": there, "conditions": [{"type": "Ready", "status": ready}]},
        },
        NodeBody,
    )


def nodes_of(bodies: Mapping[str, NodeBody]) -> Nodes:
    nodes = Nodes()
    for name, body in bodies.items():
        nodes.put(name, body)
    return nodes


def pod(address: str, node: str | None = None, **more: Any) -> dict[str, Any]:
    """An endpoint; `ready`, `serving` and `terminating` go into its conditions."""
    conditions = {name: more.pop(name) for name in ("ready", "serving", "terminating") if name in more}
    return {"addresses": [address], "nodeName": node, "conditions": conditions, **more}


def slice_of(*pods: dict[str, Any], ports: Any = POD_PORTS, kind: str = "IPv4") -> SliceBody:
    return msgspec.convert({"addressType": kind, "endpoints": pods, "ports": ports}, SliceBody)


def service(
    *ports: dict[str, Any], ingress: Any = None, annotations: dict[str, str] | None = None, **spec: Any
) -> ServiceBody:
    """A Service, of the type NodePort unless told otherwise. Annotations are named without their prefix."""
    notes = {f"consul.hashicorp.com/{name}": value for name, value in (annotations or {}).items()}
    return msgspec.convert(
        {
            "metadata": {"annotations": notes or None},
            "spec": {"type": "NodePort", "clusterIP": "10.96.0.1", "ports": ports or (HTTP, RPC), **spec},
            "status": {"loadBalancer": {"ingress": ingress}},
        },
        ServiceBody,
    )


def view(body: ServiceBody, *slices: SliceBody, name: str = "foo", namespace: str = "default") -> ServiceView:
    return ServiceView(namespace, name, f"uid-{name}", body, slices)


def places(found: Desired, service: str | None = None) -> list[str]:
    """`ADDRESS:PORT`, with a `!` where it is critical; of one Consul service, or of all."""
    return sorted(
        f"{one.address}:{one.port}{'' if one.status == 'passing' else '!'}"
        for one in found.instances
        if service in (None, one.service)
    )


# What consul-k8s tests itself with: three nodes with an external and two internal addresses each, three pods of which
# the second says nothing of its readiness and the third terminates.

NODES = {
    "n1": node("ExternalIP 1.2.3.4", "4.5.6.7", "7.8.9.10", zone="us-west-2a"),
    "n2": node("ExternalIP 2.3.4.5", "5.6.7.8", "8.9.10.11", zone="us-west-2b"),
    "n3": node("ExternalIP 3.4.5.6", "6.7.8.9", "9.10.11.12", zone="us-west-2c"),
}
PODS = (
    pod("1.1.1.1", "n1", ready=True, zone="us-west-2a"),
    pod("2.2.2.2", "n2", zone="us-west-2b"),
    pod("3.3.3.3", "n3", ready=False, terminating=True, zone="us-west-2c"),
)


def planned(
    body: ServiceBody, *slices: SliceBody, name: str = "foo", namespace: str = "default", **more: Any
) -> Desired:
    """What becomes of a Service, with the three pods on the three nodes unless told otherwise."""
    nodes = nodes_of(more.pop("nodes", NODES))
    there = slices or (slice_of(*PODS),)
    return desired(view(body, *there, name=name, namespace=namespace), nodes, options(**more))
