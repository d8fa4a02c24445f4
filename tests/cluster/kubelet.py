"""Stands in for three kubelets and the scheduler: pods that the controllers make become processes with addresses.

Everything it tells the API server is what a kubelet tells it, in the same order; the rest of Kubernetes cannot see the
difference. It runs in the loop of the test that uses it and knows the pods of one Kubernetes namespace, or of all.
"""

import asyncio
import contextlib
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Self

from . import statuses
from .admin import UNREACHABLE, Admin, ApiError, Object
from .cluster import NODES, Cluster
from .pods import Pod

DROP_ALL = "add table inet lost; add chain inet lost in { type filter hook prerouting priority -400; policy drop; }"
"""What makes a node unreachable without a word: connections hang, as they do when a machine dies."""


class Kubelet:
    """Runs the pods of `namespace` (None: of all). `period` is the time between probes unless a pod says otherwise."""

    def __init__(self, cluster: Cluster, admin: Admin, *, namespace: str | None = None, period: float = 0.1) -> None:
        self.cluster, self.admin, self.period = cluster, admin, period
        self._path = f"/api/v1/namespaces/{namespace}/pods" if namespace else "/api/v1/pods"
        self._pods: dict[str, Pod] = {}
        self._reached = {node: asyncio.Event() for node in NODES}
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        for node in NODES:
            self._reached[node].set()
            await self._register(node)
        self._task = asyncio.create_task(self._run(), name="kubelet")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._closing, *(pod.close() for pod in self._pods.values()))

    @property
    def pods(self) -> dict[str, Pod]:
        """The pods that exist, by name."""
        return {pod.name: pod for pod in self._pods.values()}

    def on(self, node: str) -> list[Pod]:
        return [pod for pod in self._pods.values() if pod.node == node]

    @contextlib.asynccontextmanager
    async def lost(self, node: str) -> AsyncIterator[None]:
        """Lose a node without a word: its packets are dropped, and its kubelet falls silent. Then bring it back."""
        self._reached[node].clear()
        self._nft(node, DROP_ALL)
        try:
            yield
        finally:
            self._nft(node, "delete table inet lost")
            self._reached[node].set()

    def is_lost(self, node: str) -> bool:
        return not self._reached[node].is_set()

    async def reached(self, node: str) -> None:
        """Wait while a node is lost."""
        await self._reached[node].wait()

    def choose(self, selector: Mapping[str, str]) -> str:
        """The node with the fewest pods among those that the selector allows: a scheduler in one line."""
        load = Counter(pod.node for pod in self._pods.values())
        allowed = [n for n in NODES if selector.items() <= statuses.node(n)["metadata"]["labels"].items()]
        return min(allowed, key=lambda node: load[node])

    async def tell(self, method: str, path: str, body: Object) -> None:
        """Say it until the API server has heard it; what is gone or was said before needs no saying."""
        form = "merge-patch+json" if method == "PATCH" else "json"
        while True:
            try:
                await self.admin.request(method, path, body, form=form)
            except ApiError as error:
                if error.status < 500 and error.status != 429:
                    return
            except UNREACHABLE:
                pass
            else:
                return
            await asyncio.sleep(0.1)

    async def _register(self, node: str) -> None:
        await self.tell("POST", "/api/v1/nodes", statuses.node(node))
        await self.tell("PATCH", f"/api/v1/nodes/{node}/status", {"status": statuses.node_status(node)})
        await self.tell("PATCH", f"/api/v1/nodes/{node}", {"spec": {"taints": None}})  # every new node is tainted

    def _nft(self, node: str, rule: str) -> None:
        inside = ("ip", "netns", "exec", self.cluster.netns(node))
        subprocess.run([*inside, "nft", rule], check=True, capture_output=True)

    async def _run(self) -> None:
        """List, then watch from there; whatever goes wrong, list again. Simple, and never wrong for long."""
        while True:
            with contextlib.suppress(ApiError, *UNREACHABLE):
                listed = await self.admin.get(self._path)
                there = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
                for uid in self._pods.keys() - there.keys():
                    self._gone(uid)
                for pod in there.values():
                    self._seen(pod)
                async for event in self.admin.watch(self._path, listed["metadata"]["resourceVersion"]):
                    if event["type"] == "ERROR":
                        break
                    if event["type"] == "DELETED":
                        self._gone(event["object"]["metadata"]["uid"])
                    elif event["type"] != "BOOKMARK":
                        self._seen(event["object"])
            await asyncio.sleep(0.1)

    def _seen(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._pods:
            self._pods[uid].seen(pod)
        elif pod.get("status", {}).get("phase") not in ("Succeeded", "Failed"):
            self._pods[uid] = Pod(self, pod)

    def _gone(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is not None:
            task = asyncio.create_task(pod.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
