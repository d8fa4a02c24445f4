"""A cluster of NodePort Services without controllers: its objects, what happens to it, and what Consul should say.

It shares no code with the bridge: a mistake there must not hide itself here.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

Json = dict[str, Any]

NAMESPACE = "bench"
ENDPOINTS = 3
"""Of each Service, each on a node of its own."""
OWNER = "bench"
"""The bridge's owner id."""
FIRST_PORT = 20_000

Instances = Mapping[tuple[str, int], str]
"""Of a Service in Consul: its addresses and ports, and whether each is "passing" or "critical"."""


@attrs.define
class Endpoint:
    """A pod: the number of its node, and whether it is ready."""

    node: int
    ready: bool = True


class World:
    """What there is. Every change is noted here, and written to the API server by whoever made it.

    Args:
        services: numbered from 0, as nodes are.
        nodes: at least four, so that every endpoint has somewhere else to go.
    """

    def __init__(self, services: int, nodes: int) -> None:
        self.nodes = set(range(nodes))
        self.services = set(range(services))
        self._count = nodes
        self._endpoints = {
            number: [Endpoint((number + step * nodes // ENDPOINTS) % nodes) for step in range(ENDPOINTS)]
            for number in range(services)
        }

    # What happens

    def turn(self, service: int, *, ready: bool) -> Json:
        """The first endpoint becomes ready or unready: the change of the slice."""
        self._endpoints[service][0].ready = ready
        return self._listed(service)

    def move(self, service: int) -> Json:
        """The first endpoint goes to the next node that has none of this Service: the change of the slice."""
        first, *others = self._endpoints[service]
        taken = {first.node, *(one.node for one in others)}
        first.node = next(
            node for step in range(1, self._count) if (node := (first.node + step) % self._count) not in taken
        )
        return self._listed(service)

    # How it is written

    def objects(self) -> Iterator[tuple[str, Json]]:
        """Everything, each with the path where it is made: what it needs is made before it."""
        yield "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}
        for number in sorted(self.nodes):
            yield "/api/v1/nodes", node(number)
        for number in sorted(self.services):
            yield SERVICES, service(number)
            yield SLICES, self.slice(number)

    def slice(self, service: int) -> Json:
        """The slice of a Service."""
        labels = {"kubernetes.io/service-name": name(service), "endpointslice.kubernetes.io/managed-by": "bench"}
        return {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name(service), "namespace": NAMESPACE, "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            **self._listed(service),
        }

    def _listed(self, service: int) -> Json:
        return {
            "endpoints": [
                {
                    "addresses": [f"10.{64 + one.node}.{service >> 8}.{service & 255}"],
                    "nodeName": node_name(one.node),
                    "conditions": {"ready": one.ready, "serving": one.ready, "terminating": False},
                }
                for one in self._endpoints[service]
            ]
        }

    # What Consul should say of it

    def instances(self, service: int) -> Instances:
        """Those of a Service: one for each node that it has an endpoint on."""
        if service not in self.services:
            return {}
        return {
            (address(one.node), FIRST_PORT + service): "passing" if one.ready else "critical"
            for one in self._endpoints[service]
            if one.node in self.nodes
        }

    @property
    def size(self) -> int:
        """How many instances there are in all."""
        return sum(len(self.instances(number)) for number in self.services)

    def standing_on(self, node: int) -> list[int]:
        """The Services that have an endpoint on a node."""
        return [number for number in sorted(self.services) if any(one.node == node for one in self._endpoints[number])]


SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"


def name(service: int) -> str:
    """Of a Service, and of its slice; in Consul too."""
    return f"svc-{service:05d}"


def node_name(node: int) -> str:
    """Of a node of the cluster."""
    return f"node-{node:03d}"


def address(node: int) -> str:
    """Where a node is."""
    return f"10.32.{node >> 8}.{node & 255}"


def node(number: int) -> Json:
    """One that is ready, as a kubelet registers it."""
    status = {
        "addresses": [{"type": "InternalIP", "address": address(number)}],
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
    }
    labels = {"topology.kubernetes.io/zone": f"zone-{'abc'[number % 3]}"}
    metadata = {"name": node_name(number), "labels": labels}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "status": status}


def service(number: int) -> Json:
    """One of the type NodePort."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": FIRST_PORT + number, "protocol": "TCP"}]
    spec = {"type": "NodePort", "selector": {"app": name(number)}, "ports": ports}
    metadata = {"name": name(number), "namespace": NAMESPACE, "labels": {"app": name(number)}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
