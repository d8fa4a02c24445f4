"""A simulated Deployment with its Service: pods come, go and fail, and the API says so as the controllers would."""

import asyncio
import random
from collections.abc import Sequence

from . import bodies
from .bodies import ServiceKind
from .objects import KINDS
from .pods import FakePod, Handler
from .service import FakeService, Place

PODS = next(kind for kind in KINDS if kind.resource == "pods")

GRACE = 0.2
"""Seconds between a pod's end being announced and its SIGTERM, as a preStop hook gives: default of `deploy`."""

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Deployment:
    """`pods` behind the Service `name`. Made by `FakeCluster.deploy`."""

    def __init__(
        self,
        place: Place,
        namespace: str,
        name: str,
        *,
        kind: ServiceKind,
        port: int,
        container_port: int,
        nodes: Sequence[tuple[str, str]],
        grace: float,
        handler: Handler | None,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.port = port
        self._service = FakeService(place, namespace, name, kind, port)
        self._objects = place.objects
        self._container_port = container_port
        self._nodes = nodes
        self._grace = grace
        self._handler = handler
        self._pods: list[FakePod] = []
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

    @property
    def cluster_ip(self) -> str:
        """The Service's own address, "" where it is headless. What connects to it is carried on to a pod."""
        return self._service.cluster_ip

    @property
    def node_port(self) -> int:
        """The port that every node has for it, 0 where its kind has none. Connections are carried on to a pod too."""
        return self._service.node_port

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
        self._tell(pod)

    async def remove(self, pod: FakePod) -> None:
        """Delete a pod: one that runs ends in good order, one that does not is forgotten at once."""
        if pod.alive:
            await self._end(pod)
        else:
            self._forget(pod)

    async def assign(self, *addresses: str) -> None:
        """Give its load balancer these addresses or host names, in place of those it had; none takes them all away.

        At an address of 127.0.0.0/8 it really takes connections, with the Service's port, where that is above 1023 or
        this process may use lower ones.
        """
        await self._service.assign(addresses)

    async def aclose(self) -> None:
        """End every process at once."""
        await self._service.aclose()
        await asyncio.gather(*(pod.kill() for pod in self._pods))

    # As the controllers do

    async def open(self, replicas: int) -> None:
        """Start so many pods, and then show the Service."""
        await self.scale(replicas)
        await self._service.open(self._container_port)

    async def _start(self) -> None:
        node, zone = self._nodes[self._made % len(self._nodes)]
        ordinal, self._made = self._made, self._made + 1
        unique = str(ordinal) if self._service.kind == "headless" else f"{self._made}-{_unique()}"
        pod = FakePod(self.namespace, f"{self.name}-{unique}", node, zone)
        await pod.start(self._container_port, self._handler)
        self._container_port = pod.port  # where any would do, all have the same from the first on
        self._service.add(pod)
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
        self._service.remove(pod)

    def _tell(self, pod: FakePod) -> None:
        """The kubelet says how a pod is, and then the controller of endpoints does."""
        subdomain = self.name if self._service.kind == "headless" else ""
        self._objects.put(PODS, bodies.pod(pod, self.name, subdomain=subdomain))
        self._service.publish(pod)


def _unique() -> str:
    return "".join(random.choices(_ALPHABET, k=5))
