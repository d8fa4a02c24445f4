"""A simulated Deployment with its Service: pods come, go and fail, and the API says so as the controllers would."""

import asyncio
import random
from typing import TYPE_CHECKING, Any

from .objects import KINDS, Json, Objects
from .pods import FakePod, Handler

if TYPE_CHECKING:
    from collections.abc import Sequence

PODS, SERVICES, SLICES = (
    next(kind for kind in KINDS if kind.resource == r) for r in ("pods", "services", "endpointslices")
)

PER_SLICE = 100
"""Endpoints of one slice (endpointslice controller: --max-endpoints-per-slice)."""

GRACE = 0.2
"""Seconds between a pod's end being announced and its SIGTERM, as a preStop hook gives: default of `deploy`."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Deployment:
    """`pods` behind the Service `name`. Made by `FakeCluster.deploy`."""

    def __init__(
        self,
        objects: Objects,
        namespace: str,
        name: str,
        *,
        port: int,
        container_port: int,
        nodes: "Sequence[tuple[str, str]]",
        grace: float,
        handler: Handler | None,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.port = port
        self._objects = objects
        self._container_port = container_port
        self._nodes = nodes
        self._grace = grace
        self._handler = handler
        self._pods: list[FakePod] = []
        self._slices: dict[FakePod, int] = {}
        self._made = 0

    def __repr__(self) -> str:
        ready = sum(pod.ready for pod in self._pods)
        return f"<Deployment {self.namespace}/{self.name} {len(self._pods)} pods, {ready} ready>"

    @property
    def pods(self) -> tuple[FakePod, ...]:
        """Those that the API knows, the oldest first; terminating ones too."""
        return tuple(self._pods)

    @property
    def url(self) -> str:
        """What a client in the cluster writes."""
        port = "" if self.port == 80 else f":{self.port}"
        return f"http://{self.name}.{self.namespace}.svc{port}/"

    @property
    def target(self) -> str:
        """The target of its port."""
        return f"endpoints://{self.namespace}/{self.name}:http"

    async def scale(self, replicas: int) -> None:
        """Start pods, or end the newest ones in good order, until there are so many.

        Raises:
            ValueError: fewer than none.
        """
        if replicas < 0:
            raise ValueError(f"replicas={replicas} is below 0")
        lasting = [pod for pod in self._pods if not pod.terminating]
        for _ in range(len(lasting), replicas):
            await self._start()
        async with asyncio.TaskGroup() as ending:
            for pod in lasting[replicas:]:
                ending.create_task(self._end(pod))

    async def rolling_restart(self, pause: float = 0.0) -> None:
        """Replace every pod: one more is started first (surge 1), so there are never fewer ready (unavailable 0).

        Args:
            pause: seconds between one pod and the next.
        """
        async with asyncio.TaskGroup() as ending:
            for pod in [pod for pod in self._pods if not pod.terminating]:
                await self._start()
                ending.create_task(self._end(pod))
                await asyncio.sleep(pause)

    async def kill(self, pod: FakePod) -> None:
        """End its process without a word: the API still calls it ready, until `notice`."""
        await pod.kill()

    def notice(self, pod: FakePod) -> None:
        """The control plane finds out what became of a pod that was killed: it is no longer ready."""
        self.set_ready(pod, pod.alive)

    def set_ready(self, pod: FakePod, ready: bool) -> None:
        """What its readiness probe says from now on."""
        pod.ready = ready
        self._publish(self._slices[pod])

    async def remove(self, pod: FakePod) -> None:
        """Delete a pod: one that runs ends in good order, one that does not is forgotten at once."""
        if pod.alive:
            await self._end(pod)
        else:
            self._forget(pod)

    async def aclose(self) -> None:
        """End every process at once."""
        await asyncio.gather(*(pod.kill() for pod in self._pods))

    # As the controllers do

    def publish_service(self) -> None:
        """Write the Service, and its slice without endpoints."""
        port = {"name": "http", "protocol": "TCP", "port": self.port, "targetPort": "http"}
        spec = {"type": "ClusterIP", "clusterIP": "10.96.0.10", "selector": {"app": self.name}, "ports": [port]}
        self._objects.put(SERVICES, {"metadata": self._meta(self.name), "spec": spec})
        self._publish(0)

    async def _start(self) -> None:
        node, zone = self._nodes[self._made % len(self._nodes)]
        self._made += 1
        unique = "".join(random.choices(_ALPHABET, k=5))
        pod = FakePod(self.namespace, f"{self.name}-{self._made}-{unique}", node, zone)
        await pod.start(self._container_port, self._handler)
        self._container_port = pod.port  # where any would do, all have the same from the first on
        used = list(self._slices.values())
        self._slices[pod] = next(n for n in range(len(used) + 1) if used.count(n) < PER_SLICE)
        self._pods.append(pod)
        self.set_ready(pod, True)

    async def _end(self, pod: FakePod) -> None:
        """Announce it, let it serve on for the grace period, tell it to end, and forget it."""
        pod.terminating = True
        self.set_ready(pod, False)
        await asyncio.sleep(self._grace)
        await pod.drain()
        self._forget(pod)

    def _forget(self, pod: FakePod) -> None:
        self._pods.remove(pod)
        self._objects.remove((PODS.resource, self.namespace, pod.name))
        self._publish(self._slices.pop(pod))

    def _publish(self, number: int) -> None:
        pods = [pod for pod, at in self._slices.items() if at == number]
        for pod in pods:
            self._objects.put(PODS, self._pod(pod))
        labels = {
            "kubernetes.io/service-name": self.name,
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        body = {
            "metadata": {**self._meta(f"{self.name}-{number}"), "labels": labels},
            "addressType": "IPv4",
            "ports": [{"name": "http", "protocol": "TCP", "port": self._container_port}] if pods else [],
            "endpoints": [_endpoint(pod) for pod in pods],
        }
        self._objects.put(SLICES, body)

    def _pod(self, pod: FakePod) -> Json:
        ready = "True" if pod.ready else "False"
        conditions = [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")]
        port = {"name": "http", "containerPort": self._container_port, "protocol": "TCP"}
        meta = {**self._meta(pod.name), "uid": pod.uid, "labels": {"app": self.name}}
        if pod.terminating:
            meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        return {
            "metadata": meta,
            "spec": {"nodeName": pod.node, "containers": [{"name": "web", "image": "fake", "ports": [port]}]},
            "status": {
                "phase": "Running",
                "podIP": pod.address,
                "podIPs": [{"ip": pod.address}],
                "conditions": conditions,
            },
        }

    def _meta(self, name: str) -> Json:
        return {"name": name, "namespace": self.namespace}


def _endpoint(pod: FakePod) -> dict[str, Any]:
    """As the EndpointSlice controller has it: a terminating pod is never ready, and serves while its probe succeeds."""
    serving = pod.alive if pod.terminating else pod.ready
    return {
        "addresses": [pod.address],
        "conditions": {"ready": pod.ready and not pod.terminating, "serving": serving, "terminating": pod.terminating},
        "nodeName": pod.node,
        "zone": pod.zone,
        "targetRef": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid},
    }
