"""The Services of a simulated cluster: their kinds, their addresses that lead to pods, and what an old server has."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from discovery import Discovery
from discovery.testing import Deployment, FakeCluster

from ..conformance.endpoint import Endpoint
from ..until import until


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


def service(cluster: FakeCluster, name: str = "web") -> dict[str, Any]:
    (found,) = (one for one in cluster.objects("services") if one["metadata"]["name"] == name)
    return found


def nodes(cluster: FakeCluster) -> dict[str, str]:
    """Addresses by name."""
    return {one["metadata"]["name"]: one["status"]["addresses"][0]["address"] for one in cluster.objects("nodes")}


async def who(http: aiohttp.ClientSession, address: str, port: int) -> str:
    """The pod that answers there."""
    async with http.get(f"http://{address}:{port}/") as response:
        return str((await response.json())["pod"])


# Nodes


async def test_the_nodes_are_there_from_the_start_ready_with_their_zones() -> None:
    async with FakeCluster(nodes=(("a", "x"), ("b", "y"))) as cluster:
        found = cluster.objects("nodes")
        assert [one["metadata"]["labels"]["topology.kubernetes.io/zone"] for one in found] == ["x", "y"]
        assert {one["type"]: one["status"] for one in found[0]["status"]["conditions"]}["Ready"] == "True"
        kinds = [[address["type"] for address in one["status"]["addresses"]] for one in found]
        assert kinds == [["InternalIP", "Hostname"]] * 2
        assert len(set(nodes(cluster).values())) == 2


# Kinds of Service


async def test_every_service_has_a_cluster_ip_of_its_own_that_leads_to_its_ready_pods(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    web = await fake_cluster.deploy("web", replicas=3, port=8080)
    db = await fake_cluster.deploy("db", port=8080)
    assert len({web.cluster_ip, db.cluster_ip}) == 2
    spec = service(fake_cluster)["spec"]
    assert (spec["type"], spec["clusterIP"], spec["clusterIPs"]) == ("ClusterIP", web.cluster_ip, [web.cluster_ip])
    web.set_ready(web.pods[0], False)
    assert {await who(http, web.cluster_ip, 8080) for _ in range(20)} == {pod.name for pod in web.pods[1:]}
    assert await who(http, db.cluster_ip, 8080) == db.pods[0].name
    assert (web.node_port, "nodePort" in spec["ports"][0]) == (0, False)


async def test_a_node_port_is_open_on_every_node(fake_cluster: FakeCluster, http: aiohttp.ClientSession) -> None:
    web = await fake_cluster.deploy("web", replicas=2, kind="NodePort", port=8080)
    spec = service(fake_cluster)["spec"]
    assert (spec["type"], spec["ports"][0]["nodePort"]) == ("NodePort", web.node_port)
    assert 30000 <= web.node_port < 32768
    for address in nodes(fake_cluster).values():
        assert await who(http, address, web.node_port) in {pod.name for pod in web.pods}


async def test_two_services_have_two_node_ports(fake_cluster: FakeCluster) -> None:
    ports = {(await fake_cluster.deploy(name, kind="NodePort")).node_port for name in ("a", "b", "c")}
    assert len(ports) == 3


async def test_with_the_policy_local_a_node_has_only_its_own_pods(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    web = await fake_cluster.deploy("web", replicas=2, kind="NodePort", port=8080)
    fake_cluster.patch("services", "web", {"spec": {"externalTrafficPolicy": "Local"}})
    found = nodes(fake_cluster)
    for pod in web.pods:
        assert await who(http, found[pod.node], web.node_port) == pod.name
    with pytest.raises(aiohttp.ClientConnectionError):
        await who(http, found["node-3"], web.node_port)


async def test_what_is_to_end_takes_over_where_nothing_is_ready_and_then_nobody_does(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    web = await fake_cluster.deploy("web", port=8080)
    (pod,) = web.pods
    pod.terminating = True
    web.set_ready(pod, False)
    assert await who(http, web.cluster_ip, 8080) == pod.name
    await web.kill(pod)
    with pytest.raises(aiohttp.ClientConnectionError):
        await who(http, web.cluster_ip, 8080)


async def test_a_killed_pod_is_still_called_and_the_connection_breaks(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    web = await fake_cluster.deploy("web", port=8080)
    await web.kill(web.pods[0])
    with pytest.raises(aiohttp.ClientConnectionError):
        await who(http, web.cluster_ip, 8080)


async def test_a_large_answer_comes_through_whole(fake_cluster: FakeCluster, http: aiohttp.ClientSession) -> None:
    async def large(_: aiohttp.web.Request) -> aiohttp.web.Response:
        return aiohttp.web.Response(body=b"x" * 5_000_000)

    web = await fake_cluster.deploy("web", port=8080, handler=large)
    async with http.get(f"http://{web.cluster_ip}:8080/") as response:
        assert len(await response.read()) == 5_000_000


async def test_a_load_balancer_is_pending_until_an_address_is_assigned(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    web = await fake_cluster.deploy("web", kind="LoadBalancer", port=8080)
    assert (service(fake_cluster)["spec"]["type"], service(fake_cluster)["status"]) == (
        "LoadBalancer",
        {"loadBalancer": {}},
    )
    assert web.node_port
    await web.assign("127.0.0.77", "203.0.113.7", "lb.example")
    ingress = service(fake_cluster)["status"]["loadBalancer"]["ingress"]
    assert [one.get("ip") or one["hostname"] for one in ingress] == ["127.0.0.77", "203.0.113.7", "lb.example"]
    assert await who(http, "127.0.0.77", 8080) == web.pods[0].name
    await web.assign()
    assert service(fake_cluster)["status"] == {"loadBalancer": {}}
    with pytest.raises(aiohttp.ClientConnectionError):
        await who(http, "127.0.0.77", 8080)


async def test_the_pods_of_a_headless_service_have_hostnames(fake_cluster: FakeCluster) -> None:
    db = await fake_cluster.deploy("db", kind="headless", replicas=2, container_port=5432)
    spec = service(fake_cluster, "db")["spec"]
    assert (spec["clusterIP"], spec["ports"][0]["targetPort"], db.cluster_ip) == ("None", 5432, "")
    assert [pod.name for pod in db.pods] == ["db-0", "db-1"]
    listed = [(pod["spec"]["hostname"], pod["spec"]["subdomain"]) for pod in fake_cluster.objects("pods")]
    assert listed == [("db-0", "db"), ("db-1", "db")]
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco:
        pool = disco.pool("endpoints:///db:5432?hostname=db-1")
        await pool.ready(timeout=5)
        assert [backend.address for backend in pool.backends] == [db.pods[1].address]


async def test_leaving_closes_every_socket_of_a_service() -> None:
    async with aiohttp.ClientSession() as http:
        async with asyncio.timeout(10), FakeCluster() as cluster:  # leaving waits for nobody
            web = await cluster.deploy("web", kind="LoadBalancer", port=8080)
            await web.assign("127.0.0.77")
            places = [("127.0.0.77", 8080), (web.cluster_ip, 8080)]
            places += [(address, web.node_port) for address in nodes(cluster).values()]
            for place in places:
                await who(http, *place)  # and the connection stays open
        for place in places:
            with pytest.raises(aiohttp.ClientConnectionError):
                await who(http, *place)


async def test_a_deleted_service_refuses(fake_cluster: FakeCluster, http: aiohttp.ClientSession) -> None:
    web = await fake_cluster.deploy("web", kind="LoadBalancer", port=8080)
    fake_cluster.delete("services", "web")
    with pytest.raises(aiohttp.ClientConnectionError):
        await who(http, web.cluster_ip, 8080)
    with pytest.raises(ValueError, match="the Service web was deleted"):
        await web.assign("203.0.113.7")


# Pods


async def test_a_pod_that_is_to_end_is_ready_for_its_probe_as_long_as_it_runs(fake_cluster: FakeCluster) -> None:
    """The pod's condition and the slice's `serving` come from one probe."""
    web = await fake_cluster.deploy("web", grace=0)
    told = set[tuple[bool, str, bool]]()

    def look() -> None:
        for body in fake_cluster.objects("pods"):
            conditions = {one["type"]: one["status"] for one in body["status"]["conditions"]}
            (piece,) = fake_cluster.objects("endpointslices")
            serving = any(one["conditions"]["serving"] for one in piece["endpoints"])
            told.add(("deletionTimestamp" in body["metadata"], conditions["Ready"], serving))

    fake_cluster.on_write(look)
    await web.scale(0)
    assert told == {(True, "True", True)}
    assert fake_cluster.objects("pods") == []


async def test_only_the_pod_that_changed_is_written(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web", replicas=3)
    before = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in fake_cluster.objects("pods")}
    web.set_ready(web.pods[1], False)
    after = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in fake_cluster.objects("pods")}
    assert [name for name in after if after[name] != before[name]] == [web.pods[1].name]


async def test_a_pod_has_the_identity_that_its_endpoint_names(fake_cluster: FakeCluster) -> None:
    web = await fake_cluster.deploy("web")
    (body,), (piece,) = fake_cluster.objects("pods"), fake_cluster.objects("endpointslices")
    assert body["metadata"]["uid"] == piece["endpoints"][0]["targetRef"]["uid"] == web.pods[0].uid


# A server without EndpointSlices


@pytest.fixture
async def old() -> AsyncIterator[FakeCluster]:
    async with FakeCluster(endpoint_slices=False) as cluster:
        yield cluster


async def test_an_old_server_knows_no_slices_and_says_so_as_kube_apiserver_does(
    old: FakeCluster, http: aiohttp.ClientSession
) -> None:
    headers = {"Authorization": f"Bearer {old.token}"}
    for path in ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", "/apis/no.such.group/v1/things"):
        async with http.get(old.url + path, headers=headers) as response:
            assert (response.status, response.content_type) == (404, "text/plain")
            assert await response.text() == "404 page not found\n"
        async with http.get(old.url + path) as response:
            assert response.status == 401
    with pytest.raises(ValueError, match="EndpointSlice is not simulated"):
        old.apply({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "a"}})


async def test_its_deployments_publish_endpoints(old: FakeCluster) -> None:
    web = await old.deploy("web", replicas=3, grace=0)
    web.set_ready(web.pods[1], False)
    leaving = web.pods[2]
    leaving.terminating = True
    web.set_ready(leaving, False)
    assert (old.objects("endpointslices"), len(old.objects("endpoints"))) == ([], 1)
    (subset,) = old.objects("endpoints")[0]["subsets"]
    assert [one["ip"] for one in subset["addresses"]] == [web.pods[0].address]
    assert [one["ip"] for one in subset["notReadyAddresses"]] == [web.pods[1].address]
    assert subset["ports"] == [{"name": "http", "protocol": "TCP", "port": leaving.port}]
    await web.scale(0)
    await web.remove(leaving)
    assert "subsets" not in old.objects("endpoints")[0]


@pytest.mark.parametrize("port", ["http", 80])
async def test_discovery_follows_a_deployment_of_an_old_server(old: FakeCluster, port: str | int) -> None:
    web = await old.deploy("web", replicas=2, grace=0.01)
    async with Discovery(kubeconfig=old.kubeconfig) as disco, disco.pool(f"endpoints:///web:{port}") as pool:
        await pool.ready(timeout=5)

        def offered() -> set[str]:
            return {backend.address for backend in pool.backends}

        await web.scale(3)
        web.set_ready(web.pods[0], False)
        await until(lambda: offered() == {pod.address for pod in ready(web)})
        assert len(offered()) == 2


def ready(deployed: Deployment) -> list[Any]:
    return [pod for pod in deployed.pods if pod.ready]


# Patches


async def test_a_patch_changes_what_it_names_and_leaves_the_rest(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web")
    before = service(fake_cluster)
    patched = fake_cluster.patch("services", "web", {"spec": {"sessionAffinity": "ClientIP", "ipFamilies": None}})
    assert patched["spec"]["sessionAffinity"] == "ClientIP"
    assert "ipFamilies" not in patched["spec"]
    assert patched["spec"]["clusterIP"] == before["spec"]["clusterIP"]
    assert patched["metadata"]["uid"] == before["metadata"]["uid"]
    fake_cluster.patch("nodes", "node-1", {"spec": {"unschedulable": True}})
    assert fake_cluster.objects("nodes")[0]["spec"] == {"unschedulable": True}
    fake_cluster.delete("nodes", "node-1")
    assert "node-1" not in nodes(fake_cluster)
    for resource, name in (("services", "nosuch"), ("things", "web")):
        with pytest.raises(KeyError):
            fake_cluster.patch(resource, name, {})


async def test_an_api_that_is_asked_by_name_answers_for_the_nodes_too(fake_cluster: FakeCluster) -> None:
    async def compact() -> None: ...

    async with aiohttp.ClientSession() as http:
        api = Endpoint(fake_cluster.url, fake_cluster.token, True, fake_cluster.namespace, compact, http)
        answer = await api.ask("GET", "/api/v1/nodes")
        assert answer.names == ["node-1", "node-2", "node-3"]
