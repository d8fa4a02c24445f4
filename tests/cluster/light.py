"""Pods without a process: objects whose status says what a kubelet would. For tests of thousands, or of odd states."""

import itertools
from collections.abc import Mapping

from .admin import Admin, ApiError, Object
from .cluster import NODES
from .statuses import PodStatus, node, node_status

GONE = 404
NOT_THE_SAME = 409


async def register_nodes(admin: Admin) -> None:
    """The three nodes as objects, ready: pods on nodes that do not exist are collected."""
    for name in NODES:
        try:
            await admin.create(node(name))
        except ApiError as error:
            if error.status != NOT_THE_SAME:
                raise
        await admin.patch(f"/api/v1/nodes/{name}/status", {"status": node_status(name)})
        await admin.patch(f"/api/v1/nodes/{name}", {"spec": {"taints": None}})


class Addresses:
    """Addresses that nothing has, each given once: 10.32.0.1 to 10.95.255.254."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def next(self) -> str:
        number = next(self._count)
        return f"10.{32 + number // 65000}.{number % 65000 // 254}.{number % 65000 % 254 + 1}"


class LightPod:
    """One pod as its kubelet sees it. Each method is what a kubelet, or a user, does to it."""

    def __init__(self, admin: Admin, namespace: str, name: str, *, node_name: str, address: str) -> None:
        self._admin = admin
        self.namespace, self.name, self.node_name, self.address = namespace, name, node_name, address
        self.path = f"/api/v1/namespaces/{namespace}/pods/{name}"

    async def create(self, labels: Mapping[str, str], *, ports: Mapping[str, int], bind: bool = False) -> None:
        """Make it, on its node: at once, or by a scheduler's binding, which also labels it with the node's zone."""
        listed = [{"name": name, "containerPort": port} for name, port in ports.items()]
        spec: Object = {"containers": [{"name": "web", "image": "test/light", "ports": listed}]}
        if not bind:
            spec["nodeName"] = self.node_name
        meta = {"namespace": self.namespace, "name": self.name, "labels": dict(labels)}
        made = await self._admin.create({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
        self._status = PodStatus(made, node_name=self.node_name, address=self.address)
        if bind:
            target = {"apiVersion": "v1", "kind": "Node", "name": self.node_name}
            binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": self.name}, "target": target}
            await self._admin.post(f"{self.path}/binding", binding)

    async def report(self, *, ready: bool) -> None:
        """Its containers run, and are ready or not."""
        await self._write(self._status.running(ready=ready))

    async def end(self, code: int) -> None:
        """Its containers have exited."""
        await self._write(self._status.ended(code))

    async def lose_address(self) -> None:
        """Its sandbox is gone, and a new one is not there yet."""
        await self._write(self._status.running(ready=False) | {"podIP": None, "podIPs": None})

    async def relabel(self, labels: Mapping[str, str | None]) -> None:
        await self._admin.patch(self.path, {"metadata": {"labels": dict(labels)}})

    async def delete(self, *, grace: int = 30) -> None:
        """A user deletes it: it terminates until its kubelet has finished."""
        await self._admin.delete(self.path, grace=grace)

    async def evict(self) -> None:
        """What a drain does."""
        meta = {"name": self.name, "namespace": self.namespace}
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
        await self._admin.post(f"{self.path}/eviction", eviction)

    async def finish(self) -> None:
        """Its kubelet is done with it: the object goes."""
        try:
            await self._admin.delete(self.path, grace=0)
        except ApiError as error:
            if error.status != GONE:
                raise

    async def _write(self, status: Object) -> None:
        await self._admin.patch(f"{self.path}/status", {"status": status})
