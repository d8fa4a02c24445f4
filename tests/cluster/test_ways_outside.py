"""Addresses that are not the pods': of the Service, of nodes, of load balancers. kube-proxy leads on from there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping

import pytest

import discovery
from discovery.model import Backend
from discovery.pool import Pool

from ..until import until
from .admin import Admin, Object
from .cluster import NODES, Cluster
from .kubelet import Kubelet
from .manifests import deployment, endpoint_slice, pod, service
from .places import ask, control, on_node, routed, until_answered
from .rollout import named, scale, settled, web
from .servers import ApiServer
from .statuses import node_address, node_status

BALANCER = "203.0.113.7"
"""An address of a load balancer: of the range for documentation, so it is nobody's."""


def service_path(namespace: str, name: str = "web") -> str:
    return f"/api/v1/namespaces/{namespace}/services/{name}"


def addresses_of(backends: tuple[Backend, ...]) -> set[str]:
    return {backend.address for backend in backends}


def reasons(pool: Pool) -> dict[str, str]:
    """By node, why it is not picked."""
    return {one.backend.node: one.reason for one in pool.explain() if not one.usable}


# cluster-ip://


@pytest.mark.parametrize("port", [":http", ":80", ""])
async def test_a_cluster_ip_called_from_a_node_leads_to_the_pods(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, port: str
) -> None:
    pods = await web(admin, namespace, 2, port=80)
    made = await admin.get(service_path(namespace))

    async def client() -> set[str]:
        target = f"cluster-ip://{namespace}/web{port}"
        async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
            await pool.ready(timeout=10)
            (backend,) = pool.backends
            assert (backend.address, backend.port) == (made["spec"]["clusterIP"], 80)
            await until_answered(backend.netloc)
            seen: set[str] = set()
            async with asyncio.timeout(10):
                while seen != set(pods.values()):  # kube-proxy chooses at random
                    with pool.pick() as lease:
                        seen.add((await ask(lease.backend.netloc))["pod"])
            return seen

    assert await on_node(cluster, "node-2", client) == set(pods.values())


async def test_the_cluster_ip_of_a_service_that_is_deleted_and_made_again_is_followed(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 1, port=80)
    before = (await admin.get(service_path(namespace)))["spec"]["clusterIP"]
    target = f"cluster-ip://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        assert addresses_of(pool.backends) == {before}
        await admin.delete(service_path(namespace))
        await until(lambda: not pool.backends)
        await until(lambda: isinstance(pool.status.last_error, discovery.ServiceNotFound))
        with pytest.raises(discovery.NoBackends):
            pool.pick()
        made = await admin.create(service(namespace, port=81))
        after = made["spec"]["clusterIP"]
        assert after != before
        await until(lambda: [(one.address, one.port) for one in pool.backends] == [(after, 81)])
        answer = await on_node(cluster, "node-1", lambda: until_answered(pool.backends[0].netloc))
        assert [answer["pod"]] == list(pods.values())


async def test_a_service_that_turns_into_an_external_name_and_back_gets_another_cluster_ip(
    admin: Admin, namespace: str, cluster: Cluster
) -> None:
    await admin.create(service(namespace))
    target = f"cluster-ip://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        change: Object = {"type": "ExternalName", "externalName": "db.example", "clusterIP": None, "clusterIPs": None}
        await admin.patch(service_path(namespace), {"spec": change})
        await until(lambda: not pool.backends)
        await until(lambda: pool.status.last_error is not None)
        assert "dns://" in str(pool.status.last_error)
        back = {"type": "ClusterIP", "externalName": None, "clusterIP": "10.96.200.7"}
        await admin.patch(service_path(namespace), {"spec": back})
        await until(lambda: addresses_of(pool.backends) == {"10.96.200.7"})


# node-port://


async def node_port(admin: Admin, namespace: str, replicas: int, policy: str) -> dict[str, str]:
    return await web(admin, namespace, replicas, kind="NodePort", port=80, externalTrafficPolicy=policy)


async def answers_everywhere(pool: Pool, pods: Mapping[str, str], times: int = 10) -> None:
    """Every address answers every time, and a pod of the Service is at its end."""
    for backend in pool.backends:
        await until_answered(backend.netloc)
        for _ in range(times):
            assert (await ask(backend.netloc))["pod"] in pods.values()


async def test_node_ports_lead_to_the_pods_through_every_node(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await node_port(admin, namespace, 1, "Cluster")
    made = await admin.get(service_path(namespace))
    target = f"node-port://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        assert {(one.address, one.port, one.node, one.zone) for one in pool.backends} == {
            (node_address(node), made["spec"]["ports"][0]["nodePort"], node, node.replace("node", "zone"))
            for node in NODES
        }
        await answers_everywhere(pool, pods)


async def test_node_ports_of_the_policy_local_are_those_of_nodes_with_a_ready_pod(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await node_port(admin, namespace, 2, "Local")
    nodes = {one.node for one in kubelet.pods.values()}
    (without,) = set(NODES) - nodes
    target = f"node-port://{namespace}/web:80"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        assert {one.node for one in pool.backends} == nodes
        assert "Local" in reasons(pool)[without]
        for backend in pool.backends:
            await until_answered(backend.netloc)
            for _ in range(10):
                answer = await ask(backend.netloc)
                assert (answer["node"], answer["pod"] in pods.values()) == (backend.node, True)
        # A third pod goes to the third node, which is taken from then on.
        await scale(admin, namespace, "web", 3)
        pods = named(await settled(admin, namespace, "web", 3))
        await until(lambda: {one.node for one in pool.backends} == set(NODES))
        await answers_everywhere(pool, pods)
        # One that is not ready takes its node out, and none at all are said to be the policy's doing.
        unready = kubelet.on(without)[0]
        await control(unready.address, "ready=0")
        await until(lambda: {one.node for one in pool.backends} == nodes)
        await scale(admin, namespace, "web", 0)
        await until(lambda: not pool.backends, timeout=15)
        with pytest.raises(discovery.NoBackends, match="no usable endpoint"):
            pool.pick()
        await admin.create(endpoint_slice(namespace, "elsewhere", "web", ["198.51.100.1"]))
        await until(lambda: "Local" in str(pool.status.last_error or pool.why_empty()))
        with pytest.raises(discovery.NoBackends, match="Local"):
            pool.pick()


@contextlib.asynccontextmanager
async def changed(admin: Admin, node: str, change: Object, back: Object, *, at: str = "") -> AsyncIterator[None]:
    """A node is different for as long as the block lasts."""
    path = f"/api/v1/nodes/{node}{at}"
    await admin.patch(path, change)
    try:
        yield
    finally:
        await admin.patch(path, back)


def label(value: str | None) -> Object:
    return {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": value}}}


TAINT = {"key": "ToBeDeletedByClusterAutoscaler", "value": "1700000000", "effect": "NoSchedule"}
UNFIT: dict[str, tuple[Object, Object, str]] = {
    "is not ready": (
        {"status": node_status("node-2", ready=False)},
        {"status": node_status("node-2")},
        "/status",
    ),
    "is being removed by the autoscaler": ({"spec": {"taints": [TAINT]}}, {"spec": {"taints": None}}, ""),
    "is excluded from load balancers": (label(""), label(None), ""),
}


@pytest.mark.parametrize("why", UNFIT)
async def test_the_node_port_of_a_node_that_is_left_out_while_it(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, why: str
) -> None:
    change, back, at = UNFIT[why]
    pods = await node_port(admin, namespace, 1, "Cluster")
    target = f"node-port://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        assert {one.node for one in pool.backends} == set(NODES)
        async with changed(admin, "node-2", change, back, at=at):
            await until(lambda: {one.node for one in pool.backends} == {"node-1", "node-3"})
            assert list(reasons(pool)) == ["node-2"]
            await answers_everywhere(pool, pods, 2)
        await until(lambda: {one.node for one in pool.backends} == set(NODES))


async def test_a_cordoned_node_stays_unless_it_is_to_be_left_out(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await node_port(admin, namespace, 1, "Cluster")
    target = f"node-port://{namespace}/web:http"
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(target) as taking,
        disco.pool(f"{target}?cordoned=no") as leaving,
    ):
        await taking.ready(timeout=10)
        await leaving.ready(timeout=10)
        assert {one.node for one in leaving.backends} == set(NODES)
        cordon = {"spec": {"unschedulable": True}}
        async with changed(admin, "node-3", cordon, {"spec": {"unschedulable": None}}):
            await until(lambda: {one.node for one in leaving.backends} == {"node-1", "node-2"})
            assert {one.node for one in taking.backends} == set(NODES)
        await until(lambda: {one.node for one in leaving.backends} == set(NODES))


async def test_a_node_that_joins_and_leaves_and_a_node_port_that_changes_are_followed(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await node_port(admin, namespace, 1, "Cluster")
    target = f"node-port://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        await admin.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-9"}})
        try:
            status = {"addresses": [{"type": "ExternalIP", "address": "198.51.100.9"}]}
            await admin.patch("/api/v1/nodes/node-9/status", {"status": node_status("node-9") | status})
            await until(lambda: "198.51.100.9" in addresses_of(pool.backends))
        finally:
            await admin.delete("/api/v1/nodes/node-9")
        await until(lambda: {one.node for one in pool.backends} == set(NODES))
        (port,) = {one.port for one in pool.backends}
        wanted = port + 1 if port < 32767 else port - 1
        ports = [{"name": "http", "port": 80, "targetPort": "http", "nodePort": wanted}]
        await admin.patch(service_path(namespace), {"spec": {"ports": ports}})
        await until(lambda: {one.port for one in pool.backends} == {wanted})
        assert (await until_answered(pool.backends[0].netloc))["node"] in NODES


# load-balancer:// and external IPs


async def test_the_address_of_a_load_balancer_is_waited_for_and_leads_to_the_pods(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, kind="LoadBalancer", port=80)
    target = f"load-balancer://{namespace}/web:http"
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
        with pytest.raises(discovery.NotReady, match="address"):
            await pool.ready(timeout=0.5)
        with routed(cluster, BALANCER, "node-1"):
            await assign(admin, namespace, {"ip": BALANCER, "ipMode": "VIP"})
            await pool.ready(timeout=5)
            assert [(one.address, one.port) for one in pool.backends] == [(BALANCER, 80)]
            await until_answered(pool.backends[0].netloc)
            async with pool.acquire(timeout=1) as lease:
                assert (await ask(lease.backend.netloc))["pod"] in pods.values()
        await assign(admin, namespace, {"hostname": "lb.example.com"})
        await until(lambda: [(one.address, one.port) for one in pool.backends] == [("lb.example.com", 80)])
        await assign(admin, namespace)
        await until(lambda: not pool.backends)


async def assign(admin: Admin, namespace: str, *ingress: Object) -> None:
    """What a cloud's controller writes."""
    change = {"status": {"loadBalancer": {"ingress": list(ingress)}}}
    await admin.patch(f"{service_path(namespace)}/status", change)


async def test_a_program_waits_for_the_load_balancer_and_learns_every_way_in(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, kind="LoadBalancer", port=80, externalIPs=["198.51.100.80"])
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig, dns=["127.0.0.1:53"]) as disco:
        before = await disco.service("web", namespace=namespace)
        assert before.load_balancer.pending
        waiting = asyncio.create_task(disco.load_balancer("web", namespace=namespace, timeout=10))
        await asyncio.sleep(0)
        await assign(admin, namespace, {"ip": BALANCER, "ipMode": "VIP"})
        await waiting
        after = await disco.service("web", namespace=namespace)
        assert (after.load_balancer.pending, after.load_balancer.addresses) == (False, (BALANCER,))
        ways = {str(target).partition("://")[0]: target for target in after.targets}
        assert {"endpoints", "cluster-ip", "node-port", "load-balancer", "static", "dns"} <= ways.keys()
        with routed(cluster, BALANCER, "node-2"), routed(cluster, "198.51.100.80", "node-3"):
            for scheme in ("endpoints", "node-port", "load-balancer", "static"):
                async with disco.pool(ways[scheme]) as pool:
                    await pool.ready(timeout=10)
                    await answers_everywhere(pool, pods, 2)
        for scheme in ("cluster-ip", "dns"):
            async with disco.pool(ways[scheme]) as pool:
                await pool.ready(timeout=10)
                netlocs = [one.netloc for one in pool.backends]
            assert netlocs == [f"{after.cluster_ips[0]}:80"]
            answer = await on_node(cluster, "node-1", lambda: until_answered(netlocs[0]))  # noqa: B023
            assert answer["pod"] in pods.values()


async def test_pools_of_every_kind_catch_up_once_the_api_server_is_back(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, api_server: ApiServer
) -> None:
    await web(admin, namespace, 2, kind="LoadBalancer", port=80)
    await assign(admin, namespace, {"ip": BALANCER})
    other = "203.0.113.8"
    ways = ("endpoints://{}/web:http", "pods://{}/app=web:http", "node-port://{}/web", "load-balancer://{}/web")
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        behind, bare, nodes, balancer = pools = [disco.pool(text.format(namespace)) for text in ways]
        for pool in pools:
            await pool.ready(timeout=10)
        before = [pool.backends for pool in pools]
        async with api_server.down():
            await until(lambda: all(pool.status.stale_for > 1 for pool in pools), timeout=30)
            assert [pool.backends for pool in pools] == before
        await assign(admin, namespace, {"ip": other})
        async with changed(admin, "node-3", label(""), label(None)):
            await admin.create(pod(namespace, "more") | {"metadata": more(namespace)})
            found = await admin.wait_for(
                f"/api/v1/namespaces/{namespace}/pods/more", lambda seen: seen["status"].get("podIP")
            )
            await until(lambda: addresses_of(balancer.backends) == {other}, timeout=15)
            await until(lambda: {one.node for one in nodes.backends} == {"node-1", "node-2"}, timeout=15)
            await until(lambda: found["status"]["podIP"] in addresses_of(bare.backends), timeout=15)
        await admin.create(endpoint_slice(namespace, "by-hand", "web", ["10.1.1.251"]))
        await until(lambda: "10.1.1.251" in addresses_of(behind.backends), timeout=15)


def more(namespace: str) -> Object:
    """One more pod of the Service, not of its Deployment."""
    return {"name": "more", "namespace": namespace, "labels": {"app": "web", "by": "hand"}}


async def test_a_service_is_watched_from_its_making_to_its_end(admin: Admin, namespace: str, cluster: Cluster) -> None:
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        with pytest.raises(discovery.ServiceNotFound):
            await disco.service("web", namespace=namespace)
        await admin.create(service(namespace))
        await admin.create(deployment(namespace, replicas=0))
        async with asyncio.timeout(10):
            seen = []
            async for found in disco.watch_service("web", namespace=namespace):
                seen.append(found)
                if len(seen) == 1:
                    await admin.patch(service_path(namespace), {"spec": {"sessionAffinity": "ClientIP"}})
                elif len(seen) == 2:
                    await admin.delete(service_path(namespace))
                else:
                    break
        assert [one and one.session_affinity for one in seen] == ["None", "ClientIP", None]
