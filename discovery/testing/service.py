"""A simulated Service: its definition, its slices or Endpoints, and its own addresses, which really lead to pods."""

import itertools
import random
from collections.abc import Mapping, Sequence
from functools import partial

import attrs

from . import bodies
from .bodies import ServiceKind
from .objects import KINDS, Json, Objects
from .pods import FakePod
from .proxy import Proxy

SERVICES, SLICES, ENDPOINTS = (
    next(kind for kind in KINDS if kind.resource == resource)
    for resource in ("services", "endpointslices", "endpoints")
)

NODE_PORTS = range(30000, 32768)
"""Where node ports are (kube-apiserver: --service-node-port-range)."""

PER_SLICE = 100
"""Endpoints of one slice (endpointslice controller: --max-endpoints-per-slice)."""

_addresses = (f"127.{32 + n // 62500 % 32}.{n // 250 % 250}.{n % 250 + 1}" for n in itertools.count())


@attrs.frozen
class Place:
    """The cluster a Service is in. `nodes` has their addresses by name; `slices` is false for an old server."""

    objects: Objects
    nodes: Mapping[str, str]
    slices: bool


class FakeService:
    """The Service of one Deployment.

    Args:
        place: the cluster.
        namespace: of it.
        name: its own.
        kind: its type, or `headless`.
        port: its own.
    """

    def __init__(self, place: Place, namespace: str, name: str, kind: ServiceKind, port: int) -> None:
        self.namespace = namespace
        self.name = name
        self.kind = kind
        self.port = port
        self.cluster_ip = "" if kind == "headless" else next(_addresses)
        self.node_port = 0
        self._place = place
        self._proxy = Proxy()
        self._outside: tuple[str, ...] = ()
        self._slices: dict[FakePod, int] = {}

    @property
    def pods(self) -> tuple[FakePod, ...]:
        """Those behind it."""
        return tuple(self._slices)

    # Its endpoints

    def add(self, pod: FakePod) -> None:
        """Put a pod behind it; `publish` shows it."""
        used = list(self._slices.values())
        self._slices[pod] = next(n for n in range(len(used) + 1) if used.count(n) < PER_SLICE)

    def remove(self, pod: FakePod) -> None:
        """No longer behind it."""
        self._publish(self._slices.pop(pod))

    def publish(self, pod: FakePod) -> None:
        """Show a pod as it is now."""
        self._publish(self._slices[pod])

    def _publish(self, number: int) -> None:
        place, hostnames = self._place, self.kind == "headless"
        if not place.slices:
            body = bodies.endpoints(self.namespace, self.name, self.pods, hostnames=hostnames)
            place.objects.put(ENDPOINTS, body)
            return
        pods = [pod for pod, at in self._slices.items() if at == number]
        place.objects.put(SLICES, bodies.piece(self.namespace, self.name, number, pods, hostnames=hostnames))

    # Its own addresses

    async def open(self, target_port: int) -> None:
        """Listen at its own addresses, and show the Service and its endpoints, be there none."""
        if self.kind in ("NodePort", "LoadBalancer"):
            await self._open_node_port()
        if self.cluster_ip:
            await self._open_cluster_ip()
        body = bodies.service(
            self.namespace,
            self.name,
            self.kind,
            port=self.port,
            cluster_ip=self.cluster_ip,
            node_port=self.node_port,
            headless_port=target_port or self.port,
        )
        self._place.objects.put(SERVICES, body)
        self._publish(0)

    async def assign(self, addresses: Sequence[str]) -> None:
        """These are its load balancer's.

        Raises:
            ValueError: the Service was deleted.
        """
        body = self._body()
        if body is None:
            raise ValueError(f"the Service {self.name} was deleted")
        for address in self._outside:
            await self._proxy.close(address, self.port)
        for address in addresses:
            if address.startswith("127."):
                await self._proxy.listen(address, self.port, partial(self._choose, ""))
        self._outside = tuple(addresses)
        status = {"loadBalancer": {"ingress": [*map(bodies.ingress, addresses)]} if addresses else {}}
        self._place.objects.put(SERVICES, {**body, "status": status})

    async def aclose(self) -> None:
        """Close its sockets."""
        await self._proxy.aclose()

    async def _open_cluster_ip(self) -> None:
        while True:
            try:
                await self._proxy.listen(self.cluster_ip, self.port, partial(self._choose, ""))
            except OSError:  # somebody else's
                self.cluster_ip = next(_addresses)
            else:
                return

    async def _open_node_port(self) -> None:
        """At the first port that is free on every node."""
        for port in random.sample(NODE_PORTS, len(NODE_PORTS)):
            opened = []
            try:
                for node, address in self._place.nodes.items():
                    await self._proxy.listen(address, port, partial(self._choose, node))
                    opened.append(address)
            except OSError:
                for address in opened:
                    await self._proxy.close(address, port)
            else:
                self.node_port = port
                return
        raise OSError("no node port is free")

    def _body(self) -> Json | None:
        return self._place.objects.get((SERVICES.resource, self.namespace, self.name))

    def _choose(self, node: str) -> FakePod | None:
        """As kube-proxy on this node does it; "" is a client in the cluster, or a load balancer."""
        body = self._body()
        if body is None:
            return None
        pods: Sequence[FakePod] = self.pods
        if node and body["spec"].get("externalTrafficPolicy") == "Local":
            pods = [pod for pod in pods if pod.node == node]
        fit = bodies.usable(pods)
        return random.choice(fit) if fit else None
