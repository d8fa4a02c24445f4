"""The simulated cluster: an API server on a loopback socket, and Deployments of real HTTP backends."""

import asyncio
import contextlib
import itertools
import json
import secrets
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from . import bodies
from .api import Api, merged
from .bodies import ServiceKind
from .deployment import GRACE, Deployment
from .faults import Faults, Request
from .objects import KINDS, Json, Key, Kind, Objects
from .pods import Handler
from .service import Place

NODES = (("node-1", "zone-a"), ("node-2", "zone-b"), ("node-3", "zone-c"))

_node_addresses = (f"127.{16 + n // 62500 % 16}.{n // 250 % 250}.{n % 250 + 1}" for n in itertools.count())


class FakeCluster:
    """A Kubernetes API that behaves as the real one in what discovery needs of it, and pods that really answer.

        async with FakeCluster() as cluster, Discovery(kubeconfig=cluster.kubeconfig) as disco:
            web = await cluster.deploy("web", replicas=3)

    It listens on 127.0.0.1, pods on other addresses of 127.0.0.0/8 (on Linux all of them can be bound).

    Args:
        namespace: the kubeconfig's own.
        nodes: names and zones; pods are put on them in turn.
        endpoint_slices: False is a server that is too old to have them: Deployments publish Endpoints instead.

    Attributes:
        faults: what goes wrong at the API server.
        kubeconfig: the file to give to `Discovery(kubeconfig=...)`; it exists from entering to leaving.
        url: of the API server.
        token: the one that it accepts.
    """

    def __init__(
        self,
        *,
        namespace: str = "default",
        nodes: Sequence[tuple[str, str]] = NODES,
        endpoint_slices: bool = True,
    ) -> None:
        self.namespace = namespace
        self.faults = Faults()
        self.token = secrets.token_hex(8)
        self.url = ""
        self.kubeconfig = Path()
        self._nodes = nodes
        self._objects = Objects()
        self._kinds = tuple(kind for kind in KINDS if endpoint_slices or kind.resource != "endpointslices")
        self._place = Place(self._objects, {name: next(_node_addresses) for name, _ in nodes}, endpoint_slices)
        self._api = Api(self._objects, self.faults, self.token, self._kinds)
        self._runner: web.AppRunner | None = None
        self._port = 0
        self._deployments: list[Deployment] = []
        self._cleanup = contextlib.ExitStack()

    def __repr__(self) -> str:
        return f"<FakeCluster {self.url or 'not started'} {len(self._deployments)} deployments>"

    async def __aenter__(self) -> Self:
        self.create_namespace(self.namespace)
        for name, zone in self._nodes:
            self.apply({"apiVersion": "v1", "kind": "Node", **bodies.node(name, zone, self._place.nodes[name])})
        await self.start_api()
        self.url = f"http://127.0.0.1:{self._port}"
        folder = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="fake-cluster-")))
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(self._config()))
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        try:
            await asyncio.gather(*(deployment.aclose() for deployment in self._deployments))
            await self.stop_api()
        finally:
            self._cleanup.close()

    # Workloads

    async def deploy(
        self,
        name: str,
        *,
        replicas: int = 1,
        kind: ServiceKind = "ClusterIP",
        namespace: str | None = None,
        port: int = 80,
        container_port: int = 0,
        grace: float = GRACE,
        handler: Handler | None = None,
    ) -> Deployment:
        """Start pods behind a Service of this name, and return when all are ready.

        Args:
            name: of the Deployment and of its Service.
            replicas: pods.
            kind: the Service's type: `ClusterIP`, `NodePort`, `LoadBalancer` (whose address `assign` gives), or
                `headless`, whose pods have hostnames as those of a StatefulSet.
            namespace: None is the cluster's own.
            port: the Service's, called `http`.
            container_port: the pods'; 0 is any that is free.
            grace: seconds in which a pod that is to end still serves as before.
            handler: answers requests, as in aiohttp.web; None says in JSON which pod it is and what was asked.
        """
        namespace = namespace or self.namespace
        self.create_namespace(namespace)
        deployment = Deployment(
            self._place,
            namespace,
            name,
            kind=kind,
            port=port,
            container_port=container_port,
            nodes=self._nodes,
            grace=grace,
            handler=handler,
        )
        self._deployments.append(deployment)
        await deployment.open(replicas)
        return deployment

    # Objects

    def create_namespace(self, name: str) -> None:
        """Make a namespace, if there is none of this name."""
        kind = next(kind for kind in KINDS if kind.resource == "namespaces")
        if self._objects.get((kind.resource, "", name)) is None:
            self._objects.put(kind, {"metadata": {"name": name}})

    def apply(self, body: Json) -> Json:
        """Create or replace any object, as `kubectl apply` would; returns it as stored.

        Raises:
            ValueError: of a kind that is not simulated.
        """
        wanted = body.get("apiVersion"), body.get("kind")
        kind = next((kind for kind in self._kinds if (kind.api_version, kind.kind) == wanted), None)
        if kind is None:
            known = ", ".join(kind.kind for kind in self._kinds)
            raise ValueError(f"{wanted[0]} {wanted[1]} is not simulated: one of {known}")
        meta = dict(body["metadata"])
        if kind.namespaced:
            self.create_namespace(meta.setdefault("namespace", self.namespace))
        return self._objects.put(kind, {**body, "metadata": meta})

    def patch(self, resource: str, name: str, change: Json, namespace: str | None = None) -> Json:
        """Change an object by a JSON merge patch, as `kubectl patch --type=merge` does; KeyError where there is none.

        `resource` is the plural, such as `services`; what `change` does not name stays as it is.
        """
        kind, key = self._key(resource, name, namespace)
        stored = self._objects.get(key)
        if stored is None:
            raise KeyError(key)
        return self._objects.put(kind, merged(stored, change))

    def delete(self, resource: str, name: str, namespace: str | None = None) -> None:
        """Delete an object; KeyError where there is none. `resource` is the plural, such as `services`."""
        self._objects.remove(self._key(resource, name, namespace)[1])

    def _key(self, resource: str, name: str, namespace: str | None) -> tuple[Kind, Key]:
        kind = next((kind for kind in self._kinds if kind.resource == resource), None)
        if kind is None:
            raise KeyError(resource)
        place = self.namespace if namespace is None else namespace
        return kind, (resource, place if kind.namespaced else "", name)

    def objects(self, resource: str, namespace: str | None = None) -> list[Json]:
        """What is stored of a resource, such as `pods`, in one namespace or (None) in all; not to be changed."""
        return self._objects.at(self._objects.version, resource, namespace)

    def on_write(self, look: Callable[[], None]) -> None:
        """Call this after every write, before anybody has heard of it."""
        self._objects.listeners.add(look)

    # The API server

    @property
    def requests(self) -> list[Request]:
        """Every request that reached the API server. The list may be cleared."""
        return self._api.requests

    def on_request(self, look: Callable[[Request], None]) -> None:
        """Call this with every request, before it is answered."""
        self._api.listeners.add(look)

    def compact(self) -> None:
        """Forget every version before the present one: who watches from an older one is told 410."""
        self._objects.compact()

    async def start_api(self) -> None:
        """Listen, again on the same port if it was stopped."""
        if self._runner is not None:
            return
        runner = web.AppRunner(
            self._api.application(),
            access_log=None,
            handle_signals=False,
            shutdown_timeout=0,
            max_line_size=2**20,
            handler_cancellation=True,
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024, reuse_address=True).start()
        self._port = int(runner.addresses[0][1])
        self._runner = runner

    async def stop_api(self) -> None:
        """Be gone: connections are reset, new ones are refused. What is stored stays."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        for site in tuple(runner.sites):
            await site.stop()
        if runner.server is not None:
            for connection in runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        await runner.cleanup()

    def _config(self) -> Json:
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "fake", "user": {"token": self.token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": self.namespace}}],
            "current-context": "fake",
        }
