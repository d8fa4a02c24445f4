"""The harness itself: what the other tests here rest on is shown to be so."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from .admin import UNREACHABLE, Admin, ApiError, Object
from .cluster import API, NODES, TOKEN, Cluster
from .faults import compact, kubeconfig_for
from .kubelet import Kubelet
from .manifests import deployment, endpoint_slice, service
from .proxy import StallingProxy
from .rollout import endpoints, restart, settled, slices_path
from .servers import ApiServer


async def web(admin: Admin, namespace: str, replicas: int = 3, **options: Any) -> list[Object]:
    """A Deployment and its Service, and their endpoints once all are ready."""
    await admin.create(service(namespace))
    await admin.create(deployment(namespace, replicas=replicas, **options))
    return await settled(admin, namespace, "web", replicas)


async def ask(address: str, path: str = "/", method: str = "GET") -> Object:
    async with aiohttp.ClientSession() as http, http.request(method, f"http://{address}:8080{path}") as response:
        answer: Object = await response.json()
        return answer


async def until_refused(address: str) -> AsyncIterator[str]:
    """Ask without pause until nothing listens there; each answer's Connection header."""
    async with aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"http://{address}:8080/") as response:
                    assert response.status == 200
                    yield response.headers["Connection"]
            except aiohttp.ClientConnectorError:
                return
            await asyncio.sleep(0.01)


async def test_a_deployment_becomes_ready_endpoints_on_all_nodes(
    admin: Admin, namespace: str, kubelet: Kubelet
) -> None:
    found = await web(admin, namespace)
    assert {endpoint["nodeName"] for endpoint in found} == set(NODES)
    assert {endpoint["zone"] for endpoint in found} == {"zone-1", "zone-2", "zone-3"}
    conditions = {"ready": True, "serving": True, "terminating": False}
    assert [endpoint["conditions"] for endpoint in found] == [conditions] * 3


async def test_each_pod_is_a_process_that_answers_on_its_address(
    admin: Admin, namespace: str, kubelet: Kubelet
) -> None:
    for endpoint in await web(admin, namespace):
        answer = await ask(endpoint["addresses"][0], "/orders?id=1")
        assert answer["pod"] == endpoint["targetRef"]["name"]
        assert answer["node"] == endpoint["nodeName"]
        assert (answer["path"], answer["requests"]) == ("/orders?id=1", 1)


async def test_a_pod_that_fails_its_probe_is_not_ready_and_comes_back(
    admin: Admin, namespace: str, kubelet: Kubelet
) -> None:
    await web(admin, namespace)
    pod = next(iter(kubelet.pods.values()))
    for flip, expected in (("0", False), ("1", True)):
        await ask(pod.address, f"/control?ready={flip}", "POST")
        seen = await admin.wait_for(
            slices_path(namespace),
            lambda listed, expected=expected: all(  # type: ignore[misc]
                endpoint["conditions"]["ready"] is expected
                for piece in listed["items"]
                for endpoint in piece["endpoints"]
                if endpoint["addresses"] == [pod.address]
            ),
        )
        assert len([e for piece in seen["items"] for e in piece["endpoints"]]) == 3


async def test_a_process_that_dies_makes_its_pod_not_ready(admin: Admin, namespace: str, kubelet: Kubelet) -> None:
    await web(admin, namespace, 1)
    name, pod = next(iter(kubelet.pods.items()))
    pod.kill()
    seen = await admin.wait_for(pod.path, lambda found: found["status"]["phase"] == "Failed")
    assert seen["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"] != 0
    assert name == seen["metadata"]["name"]


async def test_a_rolling_restart_passes_through_terminating_and_replaces_every_pod(
    admin: Admin, namespace: str, kubelet: Kubelet
) -> None:
    before = {endpoint["addresses"][0] for endpoint in await web(admin, namespace)}
    version = (await admin.get(slices_path(namespace)))["metadata"]["resourceVersion"]
    await restart(admin, namespace, "web")
    after = {endpoint["addresses"][0] for endpoint in await settled(admin, namespace, "web", 3)}
    assert not before & after
    terminating = set()
    async with asyncio.timeout(10):
        async for event in admin.watch(slices_path(namespace), version):
            for endpoint in event["object"].get("endpoints") or ():
                if endpoint["conditions"]["terminating"] and endpoint["conditions"]["serving"]:
                    assert endpoint["conditions"]["ready"] is False
                    terminating.add(endpoint["addresses"][0])
            if terminating >= before:
                break


async def test_a_terminating_pod_serves_until_its_end_and_then_refuses(
    admin: Admin, namespace: str, kubelet: Kubelet
) -> None:
    await web(admin, namespace, 1)
    pod = next(iter(kubelet.pods.values()))
    await admin.delete(pod.path)
    said = [header async for header in until_refused(pod.address)]
    assert said[0] == "keep-alive", "deleted, and served as before"
    assert said[-1] == "close", "the last answers say that the connection ends"
    gone = f"metadata.name={pod.name}"
    await admin.wait_for(f"/api/v1/namespaces/{namespace}/pods", lambda pods: not pods["items"], fieldSelector=gone)


async def test_a_node_port_answers_on_every_node(admin: Admin, namespace: str, kubelet: Kubelet) -> None:
    made = await admin.create(service(namespace, kind="NodePort"))
    await admin.create(deployment(namespace))
    await settled(admin, namespace, "web", 3)
    port = made["spec"]["ports"][0]["nodePort"]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_connect=1)) as http, asyncio.timeout(30):
        for number in (1, 2, 3):
            while True:  # kube-proxy is told after us
                try:
                    async with http.get(f"http://172.31.{number}.1:{port}/") as response:
                        assert response.status == 200
                        break
                except UNREACHABLE:
                    await asyncio.sleep(0.05)


async def test_a_lost_node_hangs_and_comes_back(admin: Admin, namespace: str, kubelet: Kubelet) -> None:
    await web(admin, namespace)
    pod = kubelet.on("node-2")[0]
    async with kubelet.lost("node-2"):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await asyncio.open_connection(pod.address, 8080)
        assert len(await endpoints(admin, namespace, "web")) == 3, "nobody has noticed"
        assert all(endpoint["conditions"]["ready"] for endpoint in await endpoints(admin, namespace, "web"))
    assert (await ask(pod.address))["pod"] == pod.name


async def test_the_api_server_can_be_killed_and_started_again(
    admin: Admin, namespace: str, kubelet: Kubelet, api_server: ApiServer
) -> None:
    await web(admin, namespace)
    async with api_server.down():
        with pytest.raises(aiohttp.ClientConnectorError):
            await admin.get("/readyz")
    assert len(await endpoints(admin, namespace, "web")) == 3
    await admin.patch(f"/apis/apps/v1/namespaces/{namespace}/deployments/web", {"spec": {"replicas": 4}})
    await settled(admin, namespace, "web", 4)


async def test_a_compacted_and_restarted_api_server_answers_an_old_watch_with_410(
    admin: Admin, namespace: str, api_server: ApiServer
) -> None:
    path = slices_path(namespace)
    old = (await admin.get(path))["metadata"]["resourceVersion"]
    await admin.create(endpoint_slice(namespace, "by-hand", "web", ["10.1.1.251"]))
    await compact()
    await api_server.restart()
    code = 0
    async with asyncio.timeout(10):
        try:
            async for event in admin.watch(path, old):
                code = event["object"].get("code", 0)
                break
        except ApiError as error:
            code = error.status
    assert code == 410


async def test_an_account_may_do_what_its_role_says_and_no_more(admin: Admin, namespace: str, cluster: Cluster) -> None:
    rule = {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}
    for rules, status in (([rule], 200), ([], 403)):
        path = await kubeconfig_for(admin, cluster, namespace, rules)
        token = json.loads(path.read_text())["users"][0]["user"]["token"]
        async with Admin(API, token, cluster.tls()) as account:
            if status == 200:
                await account.wait_for(slices_path(namespace), lambda listed: listed["items"] == [])
            else:
                with pytest.raises(ApiError, match=str(status)):
                    await account.get(slices_path(namespace))


async def test_a_stalled_proxy_holds_everything_back_until_it_goes_on(
    admin: Admin, namespace: str, cluster: Cluster
) -> None:
    async with StallingProxy() as proxy, Admin(proxy.url, TOKEN, cluster.tls()) as client:
        path = slices_path(namespace)
        assert await client.items(path) == []
        proxy.pause()
        asking = asyncio.create_task(client.items(path))
        await admin.create(endpoint_slice(namespace, "by-hand", "web", ["10.1.1.251"]))
        done, _ = await asyncio.wait([asking], timeout=0.3)
        assert not done
        proxy.resume()
        assert len(await asking) <= 1
        proxy.cut()
        assert len(await client.items(path)) == 1
