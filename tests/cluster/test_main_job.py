"""The main job, end to end: requests reach ready backends, whatever happens to pods, nodes and the API server."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterable, Iterable

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

import discovery
from discovery.model import Backend, Change

from ..until import until
from .admin import Admin, ApiError, Object
from .audit import slice_writes
from .cluster import Cluster
from .faults import compact, kubeconfig_for
from .kubelet import Kubelet
from .load import Load
from .manifests import deployment, endpoint_slice, pod, service
from .proxy import StallingProxy
from .rollout import restart, settled, slices_path
from .servers import ApiServer

READ = [
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
]
"""What an endpoints:// target needs."""


class ByName(AbstractResolver):
    """Stands for the cluster's DNS: notes each name it is asked for, and answers with one address."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        flags = socket.AI_NUMERICHOST
        return [ResolveResult(hostname=host, host=self.address, port=port, family=family, proto=0, flags=flags)]

    async def close(self) -> None:
        pass


async def web(admin: Admin, namespace: str, replicas: int) -> list[Object]:
    """A Deployment and its Service, and their endpoints once all are ready."""
    await admin.create(service(namespace))
    await admin.create(deployment(namespace, replicas=replicas))
    return await settled(admin, namespace, "web", replicas)


def url(namespace: str) -> str:
    """What a user writes: the Service's own name and port."""
    return f"http://web.{namespace}.svc:8080/"


def addresses(backends: Iterable[Backend]) -> set[str]:
    return {backend.address for backend in backends}


async def test_no_request_fails_while_a_deployment_is_restarted_twice_and_shares_are_fair_after(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 10)
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        middleware = disco.middleware(balancer=discovery.RoundRobin())
        async with aiohttp.ClientSession(middlewares=[middleware]) as http:
            async with Load(http, url(namespace), clients=64) as load:
                for _ in range(2):
                    await restart(admin, namespace, "web")
                    found = await settled(admin, namespace, "web", 10)
                await load.reach(20_000)
            assert load.failures == []
            async with Load(http, url(namespace), clients=64) as stable:
                await stable.reach(5_000)
    assert stable.failures == []
    shares = Counter(answer.pod for answer in stable.answers)
    assert shares.keys() == {endpoint["targetRef"]["name"] for endpoint in found}
    fair = len(stable.answers) / 10
    assert {name: count for name, count in shares.items() if abs(count - fair) > 0.05 * fair} == {}


async def test_a_pod_that_fails_its_probe_gets_no_new_request_100_ms_after_its_slice_changed(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 5)
    failing = next(iter(kubelet.pods.values()))
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware(balancer=discovery.RoundRobin())]) as http,
        aiohttp.ClientSession(f"http://{failing.address}:8080") as direct,
    ):
        async with Load(http, url(namespace), clients=16) as load:
            await load.until(lambda answer: answer.pod == failing.name)
            flipped = time.time()
            async with direct.post("/control", params={"ready": "0"}):
                pass
            await admin.wait_for(slices_path(namespace), lambda listed: not_ready(listed) == [failing.address])
            await load.last(1.5)
        async with direct.get("/arrivals") as response:
            arrivals = (await response.json())["arrivals"]
    assert load.failures == []
    changed = slice_writes(cluster, namespace, after=flipped)[0]
    assert [at for at in arrivals if flipped - 1 < at < changed], "it was asked as long as it was ready"
    assert [at - changed for at in arrivals if at > changed + 0.1] == []


def not_ready(listed: Object) -> list[str]:
    there = [endpoint for piece in listed["items"] for endpoint in piece.get("endpoints") or ()]
    return [endpoint["addresses"][0] for endpoint in there if not endpoint["conditions"]["ready"]]


async def test_a_node_lost_without_a_word_fails_no_request_and_delays_none_by_more_than_2500_ms(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    await web(admin, namespace, 9)
    retry = discovery.RetryPolicy(per_try_timeout=1.0)
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware(retry=retry)]) as http,
        Load(http, url(namespace), clients=32) as load,
    ):
        await load.reach(2_000)
        assert {answer.node for answer in load.answers} == {"node-1", "node-2", "node-3"}
        async with kubelet.lost("node-2"):
            await load.last(6.0)
            assert not_ready(await admin.get(slices_path(namespace))) == [], "its endpoints are still ready"
    assert load.failures == []
    assert max(answer.took for answer in load.answers) <= 2.5


async def test_requests_go_on_while_the_api_server_is_down_and_the_pool_catches_up_within_8_s(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, api_server: ApiServer
) -> None:
    await web(admin, namespace, 3)
    await admin.create(pod(namespace, "late"))
    await admin.wait_for(f"/api/v1/namespaces/{namespace}/pods/late", lambda found: found["status"].get("podIP"))
    late = kubelet.pods["late"]
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        disco.pool(f"endpoints://{namespace}/web:http") as pool,
        aiohttp.ClientSession(middlewares=[disco.middleware()]) as http,
    ):
        await pool.ready(timeout=5)
        async with Load(http, url(namespace), clients=8, pause=0.01) as load:
            await load.reach(100)
            async with api_server.down():
                await load.last(30.0)
                assert len(pool.backends) == 3
                assert pool.status.stale_for > 25
            async with asyncio.timeout(8.0):
                await admin.create(endpoint_slice(namespace, "by-hand", "web", [late.address]))
                async for change in pool.changes():
                    if late.address in addresses(change.snapshot.backends):
                        break
            await load.until(lambda answer: answer.pod == "late")
        assert load.failures == []
        assert pool.status.stale_for == 0


async def test_started_while_the_api_server_is_down_requests_pass_by_the_services_name_until_it_is_back(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, api_server: ApiServer
) -> None:
    found = await web(admin, namespace, 3)
    dns = ByName(found[0]["addresses"][0])
    async with (
        discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=dns, use_dns_cache=False, force_close=True),
            middlewares=[disco.middleware(ready_timeout=0.5)],
        ) as http,
    ):
        async with api_server.down():
            await passes_by_name(http, namespace, dns)
        async with asyncio.timeout(15):
            while dns.asked:
                dns.asked.clear()
                async with http.get(url(namespace)) as response:
                    assert response.status == 200
                await asyncio.sleep(0.1)


async def test_started_while_forbidden_requests_pass_by_the_services_name(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster
) -> None:
    found = await web(admin, namespace, 1)
    dns = ByName(found[0]["addresses"][0])
    nobody = await kubeconfig_for(admin, cluster, namespace, [])
    async with (
        discovery.Discovery(kubeconfig=nobody) as disco,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=dns, use_dns_cache=False, force_close=True),
            middlewares=[disco.middleware(ready_timeout=0.5)],
        ) as http,
    ):
        await passes_by_name(http, namespace, dns)


async def passes_by_name(http: aiohttp.ClientSession, namespace: str, dns: ByName) -> None:
    """One request goes out as if there were no middleware: the name is looked up, and is what the server sees."""
    async with http.get(url(namespace) + "orders") as response:
        answer = await response.json()
    assert response.status == 200
    assert str(response.url) == url(namespace) + "orders"
    assert answer["host"] == f"web.{namespace}.svc:8080"
    assert dns.asked == [f"web.{namespace}.svc"]


async def test_a_real_410_is_healed_in_one_step_from_the_old_backends_to_the_new(
    admin: Admin, namespace: str, kubelet: Kubelet, cluster: Cluster, api_server: ApiServer
) -> None:
    old = {endpoint["addresses"][0] for endpoint in await web(admin, namespace, 3)}
    async with StallingProxy() as proxy:
        config = await kubeconfig_for(admin, cluster, namespace, READ, server=proxy.url)
        async with (
            discovery.Discovery(kubeconfig=config) as disco,
            disco.pool(f"endpoints://{namespace}/web:http") as pool,
        ):
            await pool.ready(timeout=5)
            offered: list[set[str]] = []
            healed = asyncio.create_task(collect(pool.changes(), offered))
            version = (await admin.get(slices_path(namespace)))["metadata"]["resourceVersion"]
            proxy.pause()
            await restart(admin, namespace, "web")
            new = {endpoint["addresses"][0] for endpoint in await settled(admin, namespace, "web", 3)}
            await compact()
            await api_server.restart()
            assert await watch_status(admin, namespace, version) == 410
            assert addresses(pool.backends) == old, "the last that is known"
            proxy.cut()  # what was sent meanwhile is lost
            proxy.resume()
            async with asyncio.timeout(15):
                while (now := addresses(pool.backends)) != new:
                    assert now == old
                    await asyncio.sleep(0.001)
            async with pool.acquire(timeout=1) as lease:
                assert lease.backend.address in new
            await until(lambda: len(offered) >= 2)
            healed.cancel()
            await asyncio.gather(healed, return_exceptions=True)
    assert offered == [old, new]


async def collect(changes: AsyncIterable[Change], offered: list[set[str]]) -> None:
    """Note each set of backends that a pool has ever offered."""
    async for change in changes:
        found = addresses(change.snapshot.backends)
        offered.append(found)


async def watch_status(admin: Admin, namespace: str, version: str) -> int:
    """How the API server answers a watch from a version: 410 comes as a status or as an event."""
    try:
        async with asyncio.timeout(10):
            async for event in admin.watch(slices_path(namespace), version):
                return int(event["object"].get("code", 200))
    except ApiError as error:
        return error.status
    pytest.fail("the watch ended without a word")
