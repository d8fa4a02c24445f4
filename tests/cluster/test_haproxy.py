"""A real HAProxy outside the cluster, fed by a file of node ports: no request is lost while pods are replaced."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

import discovery
from discovery.rendering import Renderer, Template

from ..rendering.proxy import HAPROXY, Proxy, prepared, running
from ..until import until
from .admin import Admin
from .cluster import NODES, Cluster
from .kubelet import Kubelet
from .load import Load
from .places import until_answered
from .rollout import named, restart, scale, settled, web
from .statuses import node_address

pytestmark = pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")

SERVERS = {
    "Cluster": "check inter 200ms rise 1",
    "Local": "check inter 200ms rise 1 observe layer4 error-limit 1 on-error mark-down",
}
"""By the external traffic policy, as docs/how-to/load-balancers.md advises.

Under Local a node refuses when its last pod has ended, until the file is without it: it is at fault itself. Under
Cluster any node may lead to a pod that ends just now, and the next connection through the same node to another.
"""


@contextlib.asynccontextmanager
async def fed(
    cluster: Cluster, namespace: str, folder: Path, policy: str
) -> AsyncIterator[tuple[Proxy, discovery.Pool]]:
    """HAProxy in the place of the control plane, and a renderer that keeps its file as the node ports are."""
    proxy = await asyncio.to_thread(prepared, folder)
    template = Template.named("haproxy", variables={"name": "web", "server": SERVERS[policy]})
    rendering = Renderer(template, to=proxy.backends, check=proxy.check, run=proxy.reload)
    target = f"node-port://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        for backend in pool.backends:
            await until_answered(backend.netloc)
        await Renderer(template, to=proxy.backends).write(pool)
        async with running(proxy):
            following = asyncio.create_task(rendering.follow(pool))
            try:
                yield proxy, pool
            finally:
                following.cancel()
                await asyncio.wait([following])


@pytest.mark.parametrize("policy", ["Cluster", "Local"])
async def test_a_rolling_restart_behind_haproxy_fails_no_request(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, tmp_path: Path, policy: str
) -> None:
    before = await web(admin, namespace, 6, kind="NodePort", port=80, externalTrafficPolicy=policy)
    async with (
        fed(cluster, namespace, tmp_path, policy) as (proxy, _),
        aiohttp.ClientSession() as http,
        Load(http, proxy.url, clients=16, pause=0.005) as load,
    ):
        await load.reach(500)
        await restart(admin, namespace, "web")
        after = named(await settled(admin, namespace, "web", 6))
        await load.last(2.0)
    assert load.failures == []
    assert set(before.values()).isdisjoint(after.values())
    seen = {answer.pod for answer in load.answers}  # seldom all: connections are kept, and kube-proxy chooses at random
    assert seen & set(before.values())
    assert {answer.pod for answer in load.answers[-300:]} <= set(after.values())
    assert policy == "Cluster" or {answer.node for answer in load.answers} == set(NODES)


async def test_nodes_that_come_and_go_are_written_and_read_without_a_failed_request(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, tmp_path: Path
) -> None:
    await web(admin, namespace, 1, kind="NodePort", port=80, externalTrafficPolicy="Local")

    def nodes() -> set[str]:
        return {node for node in NODES if f" {node_address(node)}:" in proxy.backends.read_text()}

    async with (
        fed(cluster, namespace, tmp_path, "Local") as (proxy, pool),
        aiohttp.ClientSession() as http,
        Load(http, proxy.url, clients=8, pause=0.005) as load,
    ):
        for replicas in (3, 1, 3):
            await scale(admin, namespace, "web", replicas)
            await settled(admin, namespace, "web", replicas)
            wanted = {pod.node for pod in kubelet.pods.values() if pod.ready}
            await until(lambda: {one.node for one in pool.backends} == nodes() == wanted, timeout=10)  # noqa: B023
            await load.last(1.5)
    assert load.failures == []
    assert proxy.reloads >= 3
    assert {answer.node for answer in load.answers} == set(NODES)
