"""The ways in that a Service itself offers, over HTTP: a request arrives, and what changes is followed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from discovery import AccessDenied, Discovery, NoBackends, Pool, ServiceNotFound
from discovery.testing import Deployment, FakeCluster

from .until import until

EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.fixture
async def disco(fake_cluster: FakeCluster) -> AsyncIterator[Discovery]:
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as made:
        yield made


async def answer(pool: Pool) -> str:
    """The pod that answers by way of a pool."""
    with pool.pick() as lease:
        async with aiohttp.ClientSession() as http, http.get(f"http://{lease.backend.netloc}/") as response:
            return str((await response.json())["pod"])


def nodes(pool: Pool) -> list[str]:
    return [backend.node for backend in pool.backends]


def node(cluster: FakeCluster, name: str, **change: Any) -> None:
    cluster.patch("nodes", name, change)


def unready(status: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Ready", "status": status}]}


@pytest.mark.parametrize("scheme", ["cluster-ip", "node-port", "load-balancer"])
async def test_a_request_arrives_at_a_pod(fake_cluster: FakeCluster, disco: Discovery, scheme: str) -> None:
    web = await fake_cluster.deploy("web", kind="LoadBalancer", port=8080)
    await web.assign("127.0.0.1")
    async with disco.pool(f"{scheme}:///web:http") as pool:
        await pool.ready(timeout=5)
        assert await answer(pool) == web.pods[0].name


async def test_each_way_asks_for_what_it_needs_and_for_no_more(fake_cluster: FakeCluster, disco: Discovery) -> None:
    await fake_cluster.deploy("web", kind="NodePort")
    needs = {"cluster-ip": {"services"}, "node-port": {"services", "endpointslices", "nodes"}}
    for scheme, resources in needs.items():
        fake_cluster.requests.clear()
        async with disco.pool(f"{scheme}:///web:http") as pool:
            await pool.ready(timeout=5)
        assert {request.path.rpartition("/")[2] for request in fake_cluster.requests} == resources


async def test_a_service_that_is_made_again_at_another_address_is_followed(
    fake_cluster: FakeCluster, disco: Discovery
) -> None:
    def serve(address: str) -> None:
        spec = {"clusterIPs": [address], "ports": [{"port": 80}]}
        fake_cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec})

    serve("10.96.0.1")
    async with disco.pool("cluster-ip:///web") as pool:
        await pool.ready(timeout=5)
        serve("10.96.0.2")
        await until(lambda: [backend.address for backend in pool.backends] == ["10.96.0.2"])
        fake_cluster.delete("services", "web")
        await until(lambda: not pool.backends)
        assert isinstance(pool.status.last_error, ServiceNotFound)
        serve("10.96.0.3")
        await until(lambda: [backend.address for backend in pool.backends] == ["10.96.0.3"])
        assert pool.status.last_error is None


async def test_nodes_are_followed_as_they_come_go_and_become_unfit(fake_cluster: FakeCluster, disco: Discovery) -> None:
    await fake_cluster.deploy("web", kind="NodePort")
    async with disco.pool("node-port:///web:http") as pool:
        await pool.ready(timeout=5)
        assert nodes(pool) == ["node-1", "node-2", "node-3"]
        node(fake_cluster, "node-1", status=unready("Unknown"))
        node(fake_cluster, "node-2", metadata={"labels": {EXCLUDED: ""}})
        await until(lambda: nodes(pool) == ["node-3"])
        node(fake_cluster, "node-3", spec={"unschedulable": True})
        node(fake_cluster, "node-1", status=unready("True"))
        await until(lambda: nodes(pool) == ["node-1", "node-3"])
        fake_cluster.delete("nodes", "node-3")
        await until(lambda: nodes(pool) == ["node-1"])
        reasons = {one.backend.node: one.reason for one in pool.explain()}
        assert reasons == {"node-1": "ready", "node-2": f"the node has the label {EXCLUDED}"}


async def test_under_local_only_nodes_with_a_ready_pod_are_offered(fake_cluster: FakeCluster, disco: Discovery) -> None:
    web = await fake_cluster.deploy("web", kind="NodePort", replicas=2)
    fake_cluster.patch("services", "web", {"spec": {"externalTrafficPolicy": "Local"}})
    async with disco.pool("node-port:///web:http") as pool:
        await pool.ready(timeout=5)
        assert nodes(pool) == sorted(pod.node for pod in web.pods)
        first, second = web.pods
        web.set_ready(first, False)
        await until(lambda: nodes(pool) == [second.node])
        assert await answer(pool) == second.name
        web.set_ready(second, False)
        await until(lambda: not pool.backends)
        with pytest.raises(NoBackends, match="has no usable endpoint, and so no node that answers"):
            pool.pick()


async def test_nodes_that_may_not_be_read_name_the_cluster_role(fake_cluster: FakeCluster, disco: Discovery) -> None:
    await fake_cluster.deploy("web", kind="NodePort")
    fake_cluster.faults.deny("nodes")
    async with disco.pool("node-port:///web:http") as pool:
        await until(lambda: pool.status.last_error is not None)
        error = pool.status.last_error
        assert isinstance(error, AccessDenied)
        assert "Allow it with a ClusterRole that holds" in str(error)
        assert "nodes" in error.rule


async def test_slices_that_may_not_be_read_are_done_without(fake_cluster: FakeCluster, disco: Discovery) -> None:
    await fake_cluster.deploy("web", kind="NodePort")
    fake_cluster.patch("services", "web", {"spec": {"externalTrafficPolicy": "Local"}})
    fake_cluster.faults.deny("endpointslices")
    async with disco.pool("node-port:///web:http") as pool:
        await pool.ready(timeout=5)
        assert nodes(pool) == ["node-1", "node-2", "node-3"]
        assert ["EndpointSlices may not be read" in note for note in pool.notes] == [True]


async def test_a_server_without_slices_says_by_endpoints_which_nodes_answer() -> None:
    async with FakeCluster(endpoint_slices=False) as cluster, Discovery(kubeconfig=cluster.kubeconfig) as disco:
        web = await cluster.deploy("web", kind="NodePort")
        cluster.patch("services", "web", {"spec": {"externalTrafficPolicy": "Local"}})
        async with disco.pool("node-port:///web:http") as pool:
            await pool.ready(timeout=5)
            assert nodes(pool) == [web.pods[0].node]


async def test_a_load_balancer_is_waited_for_by_a_pool_too(fake_cluster: FakeCluster, disco: Discovery) -> None:
    web: Deployment = await fake_cluster.deploy("web", kind="LoadBalancer", port=8080)
    async with disco.pool("load-balancer:///web") as pool:
        waiting = asyncio.create_task(pool.ready(timeout=5))
        await until(lambda: pool.status.synced)
        with pytest.raises(NoBackends, match=r"has no external address yet\. See the events of kubectl describe"):
            pool.pick()
        await web.assign("127.0.0.1")
        await waiting
        assert await answer(pool) == web.pods[0].name
        assert pool.status.last_error is None


async def test_what_disco_says_of_a_service_is_of_its_own_namespace_unless_told(
    fake_cluster: FakeCluster, disco: Discovery
) -> None:
    await fake_cluster.deploy("web")
    await fake_cluster.deploy("web", namespace="shop")
    assert (await disco.service("web")).namespace == "default"
    assert (await disco.service("web", namespace="shop")).namespace == "shop"
    with pytest.raises(NoBackends, match="its type is ClusterIP"):
        await disco.load_balancer("web", timeout=5)


async def test_watches_of_services_end_with_the_discovery(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        watching = disco.watch_service("web")
        first = await anext(watching)
        rest = asyncio.create_task(anext(watching, "the end"))
        await asyncio.sleep(0)
    assert first is not None
    assert await rest == "the end"
    with pytest.raises(RuntimeError, match="closed"):
        await disco.service("web")
