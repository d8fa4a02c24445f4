"""Ways in for a client that reaches the pods' own addresses: a request arrives at the right process through each.

DNS is in `test_ways_dns`; the addresses of Services, nodes and load balancers are in `test_ways_outside`.
"""

import asyncio
from typing import Any

import aiohttp
import pytest

import discovery
from discovery.targets import Pods, Target

from ..until import until
from .admin import Admin, Object
from .cluster import TOKEN, Cluster
from .faults import write_kubeconfig
from .kubelet import Kubelet
from .manifests import endpoint_slice, pod, service, stateful_set
from .old_server import server_without_slices
from .places import ask, asked, control, serving
from .rollout import named, restart, settled, slices_path, web


async def reached(cluster: Cluster, target: str | Target, **options: Any) -> dict[str, str]:
    """By address, the process that answers at each backend of a target, and that one of them is picked."""
    config = options.pop("kubeconfig", cluster.kubeconfig)
    async with discovery.Discovery(kubeconfig=config, **options) as disco, disco.pool(target) as pool:
        await pool.ready(timeout=10)
        found = await asked(pool.backends)
        with pool.pick() as lease:
            answer = await ask(lease.backend.netloc)
        assert found[lease.backend.address] == answer["pod"]
        for backend in pool.backends:
            assert backend.pod is None or backend.pod.name == found[backend.address]
    return found


def without_selector(namespace: str, name: str, *, port: int = 80, target: int = 9090) -> Object:
    """A Service whose endpoints are made by hand."""
    made = service(namespace, name, port=port)
    del made["spec"]["selector"]
    made["spec"]["ports"][0]["targetPort"] = target
    return made


@pytest.mark.parametrize("port", [":http", ":80", ""])
async def test_endpoints_by_the_name_of_a_port_its_number_or_neither(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, port: str
) -> None:
    pods = await web(admin, namespace, 3, port=80)
    assert await reached(cluster, f"endpoints://{namespace}/web{port}") == pods


async def test_endpoints_of_a_headless_service_by_its_target_port(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, clusterIP="None", port=80)
    assert await reached(cluster, f"endpoints://{namespace}/web:8080") == pods


async def test_one_pod_of_a_stateful_set_by_its_hostname(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await admin.create(service(namespace, "db", clusterIP="None"))
    await admin.create(stateful_set(namespace, "db", of="db", replicas=3))
    path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/db"
    await admin.wait_for(path, lambda found: found["status"].get("readyReplicas") == 3)
    for name in ("db-0", "db-2"):
        found = await reached(cluster, f"endpoints://{namespace}/db:http?hostname={name}")
        assert list(found.values()) == [name]
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware()]) as http,
        http.get(f"http://db-1.db.{namespace}.svc:8080/") as response,
    ):
        assert (await response.json())["pod"] == "db-1"


async def test_a_slice_made_by_hand_for_a_service_without_selector(
    admin: Admin, namespace: str, cluster: Cluster
) -> None:
    async with serving(cluster, "node-2", 9090, name="database") as address:
        await admin.create(without_selector(namespace, "db"))
        await admin.create(endpoint_slice(namespace, "by-hand", "db", [address], port=9090))
        assert await reached(cluster, f"endpoints://{namespace}/db:80") == {address: "database"}


async def test_endpoints_made_by_hand_are_mirrored_into_slices(admin: Admin, namespace: str, cluster: Cluster) -> None:
    async with serving(cluster, "node-3", 9090, name="database") as address:
        await admin.create(without_selector(namespace, "db"))
        await admin.create(by_hand(namespace, "db", address))
        assert await reached(cluster, f"endpoints://{namespace}/db:http") == {address: "database"}


def by_hand(namespace: str, name: str, address: str) -> Object:
    subsets = [{"addresses": [{"ip": address}], "ports": [{"name": "http", "port": 9090, "protocol": "TCP"}]}]
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets}


async def test_plain_endpoints_from_a_server_without_slices_are_followed(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 3, port=80)
    async with server_without_slices(cluster) as url:
        config = write_kubeconfig(cluster, "old", namespace, TOKEN, server=url)
        assert await reached(cluster, f"endpoints://{namespace}/web:http", kubeconfig=config) == pods
        async with (
            discovery.Discovery(kubeconfig=config) as disco,
            disco.pool(f"endpoints://{namespace}/web:80") as pool,
        ):
            await pool.ready(timeout=10)
            await restart(admin, namespace, "web")
            new = named(await settled(admin, namespace, "web", 3))
            await until(lambda: {backend.address for backend in pool.backends} == new.keys(), timeout=10)
            assert await asked(pool.backends) == new
            failing = min(new)
            await control(failing, "ready=0")
            await until(lambda: {backend.address for backend in pool.backends} == new.keys() - {failing}, timeout=10)
            assert [one.backend.address for one in pool.explain() if not one.usable] == [failing]


@pytest.mark.parametrize("selector", ["app=web", "app in (web, api),tier notin (cache)", "app,!canary"])
async def test_pods_by_a_selector(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, selector: str
) -> None:
    pods = await web(admin, namespace, 2)
    for name, labels in (("cached", {"app": "api", "tier": "cache", "canary": "1"}), ("other", {"tier": "cache"})):
        made = pod(namespace, name)
        made["metadata"]["labels"] = labels
        await admin.create(made)
    assert await reached(cluster, Pods(selector, namespace=namespace, port="http")) == pods


async def test_pods_by_the_named_port_of_a_sidecar_and_by_a_number(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    made = pod(namespace, "meshed")
    made["metadata"]["labels"] = {"app": "meshed"}
    ports = [{"name": "mesh", "containerPort": 15001}]
    sidecar = {"name": "proxy", "image": "test/proxy", "restartPolicy": "Always", "ports": ports}
    made["spec"]["initContainers"] = [sidecar]
    await admin.create(made)
    await admin.wait_for(f"/api/v1/namespaces/{namespace}/pods/meshed", ready)
    for port, number in (("mesh", 15001), ("http", 8080), (15001, 15001)):
        target = f"pods://{namespace}/app=meshed:{port}"
        address = kubelet.pods["meshed"].address
        assert await reached(cluster, target) == {address: "meshed"}
        async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco, disco.pool(target) as pool:
            await pool.ready(timeout=5)
            assert [backend.port for backend in pool.backends] == [number]


async def test_pods_on_their_nodes_own_network(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    made = pod(namespace, "host", port=8095, node="node-2")
    made["metadata"]["labels"] = {"app": "host"}
    made["spec"]["hostNetwork"] = True
    await admin.create(made)
    await admin.wait_for(f"/api/v1/namespaces/{namespace}/pods/host", ready)
    assert await reached(cluster, f"pods://{namespace}/app=host:http") == {"172.31.2.1": "host"}


def ready(found: Object) -> bool:
    conditions = found.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


async def test_static_addresses(cluster: Cluster) -> None:
    async with (
        serving(cluster, "node-1", 9090, name="first") as one,
        serving(cluster, "node-2", 9091, name="second") as other,
    ):
        assert await reached(cluster, f"static://{one}:9090,{other}:9091") == {one: "first", other: "second"}


async def test_a_route_of_the_middleware_leads_to_any_target(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, clusterIP="None")
    async with serving(cluster, "node-1", 9090, name="fixed") as address:
        routes = {
            "pods.example": f"pods://{namespace}/app=web:http",
            "endpoints.example": f"endpoints://{namespace}/web:http",
            "fixed.example": f"static://{address}:9090",
            "dns.example": f"dns://web.{namespace}.svc.cluster.local:8080",
            "srv.example": f"dns+srv://_http._tcp.web.{namespace}.svc.cluster.local",
        }
        async with (
            discovery.Discovery(kubeconfig=cluster.kubeconfig, dns=["127.0.0.1:53"]) as disco,
            aiohttp.ClientSession(middlewares=[disco.middleware(routes=routes, fallback=None)]) as http,
        ):
            for host in routes:
                async with http.get(f"http://{host}/orders") as response:
                    answer = await response.json()
                assert answer["pod"] in ({"fixed"} if host == "fixed.example" else set(pods.values()))
                assert (answer["host"], answer["path"]) == (host, "/orders")


async def test_a_pod_that_fails_its_probe_leaves_pods_and_endpoints_and_comes_back(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 3)
    failing = next(iter(kubelet.pods.values()))
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"pods://{namespace}/app=web:http") as bare,
        disco.pool(f"endpoints://{namespace}/web:http") as behind,
    ):
        for pool in (bare, behind):
            await pool.ready(timeout=10)
        for flip, expected in (("0", pods.keys() - {failing.address}), ("1", pods.keys())):
            await control(failing.address, f"ready={flip}")
            for pool in (bare, behind):
                await until(lambda: {one.address for one in pool.backends} == expected, timeout=10)  # noqa: B023


async def test_a_service_that_is_deleted_and_made_again_with_another_port_is_followed(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    pods = await web(admin, namespace, 2, port=80)
    path = f"/api/v1/namespaces/{namespace}/services/web"
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"endpoints://{namespace}/web:80") as by_number,
        disco.pool(f"endpoints://{namespace}/web:http") as by_name,
    ):
        for pool in (by_number, by_name):
            await pool.ready(timeout=10)
        await admin.delete(path)
        for pool in (by_number, by_name):
            await until(lambda: not pool.backends)  # noqa: B023
            await until(lambda: isinstance(pool.status.last_error, discovery.ServiceNotFound))  # noqa: B023
        await admin.create(service(namespace, port=81))
        await by_name.ready(timeout=10)
        await until(lambda: len(by_name.backends) == 2, timeout=10)
        assert await asked(by_name.backends) == pods
        await until(lambda: isinstance(by_number.status.last_error, discovery.PortNotFound))
        assert by_number.backends == ()
        await admin.patch(path, {"spec": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]}})
        await until(lambda: len(by_number.backends) == 2)
        assert await asked(by_number.backends) == pods


async def test_an_external_name_has_no_endpoints_and_is_called_by_its_name(
    admin: Admin, namespace: str, cluster: Cluster
) -> None:
    made = service(namespace, "far", kind="ExternalName", externalName="db.example")
    del made["spec"]["selector"]
    await admin.create(made)
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"endpoints://{namespace}/far:8080") as pool,
    ):
        await pool.settled(timeout=5)
        with pytest.raises(discovery.NoBackends):
            pool.pick()
        assert isinstance(pool.status.last_error, discovery.NoEndpoints)
        assert "DNS" in str(pool.status.last_error)


async def test_a_service_that_stands_for_nothing_yet_is_followed_until_it_does(
    admin: Admin, namespace: str, cluster: Cluster
) -> None:
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"endpoints://{namespace}/late:80") as pool,
    ):
        with pytest.raises(discovery.NotReady):
            await pool.ready(timeout=0.5)
        async with serving(cluster, "node-1", 9090, name="late") as address:
            await admin.create(without_selector(namespace, "late"))
            await admin.create(endpoint_slice(namespace, "late-1", "late", [address], port=9090))
            await pool.ready(timeout=5)
            assert await asked(pool.backends) == {address: "late"}
            await admin.delete(f"{slices_path(namespace)}/late-1")
            await admin.delete(f"/api/v1/namespaces/{namespace}/services/late")
            await until(lambda: not pool.backends)
            async with asyncio.timeout(5):
                while not isinstance(pool.status.last_error, discovery.ServiceNotFound):
                    await pool.turned()
