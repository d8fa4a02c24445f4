"""Services of a real Consul in a real cluster: made, followed, found by clients and by DNS, and cleaned up."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

import discovery
from discovery import Event
from discovery.bridge.inbound import ConsulImport, ImportOptions
from discovery.consul.api import Consul
from discovery.consul.settings import Settings
from discovery.kube.access import Access
from discovery.kube.credentials import Credentials
from tests.until import until

from .admin import Admin, Object
from .cluster import Cluster
from .faults import kubeconfig_for
from .manifests import fresh_name, service

CONSUL = "http://127.0.0.1:8500"

RULES: list[Object] = [
    {"apiGroups": [""], "resources": ["services"], "verbs": ["list", "create", "update", "delete"]},
    {
        "apiGroups": ["discovery.k8s.io"],
        "resources": ["endpointslices"],
        "verbs": ["list", "create", "update", "delete"],
    },
]
"""All that it needs, as docs/how-to/consul-to-kubernetes.md has it."""


class Outside:
    """A real Consul with one service of this test, whose name nothing else has."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self.name = fresh_name("db")
        self._nodes: set[str] = set()

    async def has(self, address: str, port: int, *, status: str = "passing", **more: Any) -> None:
        node = f"{self.name}-{address.replace('.', '-').replace(':', '-')}"
        self._nodes.add(node)
        instance = {"ID": f"{node}-{port}", "Service": self.name, "Address": address, "Port": port, **more}
        check = {"CheckID": f"check-{node}", "Name": "alive", "Status": status, "ServiceID": instance["ID"]}
        await self._put("register", {"Node": node, "Address": "192.0.2.1", "Service": instance, "Check": check})

    async def lacks(self, address: str) -> None:
        node = f"{self.name}-{address.replace('.', '-').replace(':', '-')}"
        self._nodes.discard(node)
        await self._put("deregister", {"Node": node})

    async def clear(self) -> None:
        for node in self._nodes:
            await self._put("deregister", {"Node": node})
        self._nodes.clear()

    async def _put(self, what: str, body: Object) -> None:
        async with self._http.put(f"{CONSUL}/v1/catalog/{what}", json=body) as response:
            assert response.status == 200, await response.text()


@pytest.fixture
async def outside(cluster: Cluster) -> AsyncIterator[Outside]:
    async with aiohttp.ClientSession() as http:
        made = Outside(http)
        yield made
        await made.clear()


class Running:
    """An import that runs with no more rights than it needs."""

    def __init__(self, namespace: str, kubeconfig: Path, outside: Outside) -> None:
        self.events: list[Event] = []
        self.options = ImportOptions(
            owner="test", namespace=namespace, services=(outside.name,), confirm_after=1.0, repair=2.0
        )
        self._access = Access(Credentials(kubeconfig, None))
        self._consul = Consul(Settings.read(CONSUL, {}), emit=self.events.append, rng=random.Random(1))
        self.made = ConsulImport(
            self._consul, self._access, self.options, emit=self.events.append, rng=random.Random(2)
        )

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.made.run())
        await until(lambda: self.made.synced or self._task.done(), 20)
        assert not self._task.done()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._consul.aclose()
        await self._access.aclose()


@pytest.fixture
async def kubeconfig(admin: Admin, cluster: Cluster, namespace: str) -> Path:
    return await kubeconfig_for(admin, cluster, namespace, RULES)


async def test_a_service_of_consul_is_called_by_its_service_in_the_cluster_and_goes_with_it(
    admin: Admin, cluster: Cluster, namespace: str, kubeconfig: Path, outside: Outside
) -> None:
    await outside.has("10.20.0.1", 5432)
    await outside.has("10.20.0.2", 5433)
    await outside.has("fd00:20::1", 5432)
    await outside.has("10.20.0.3", 5432, status="critical")
    async with Running(namespace, kubeconfig, outside) as running:
        async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
            pool = disco.pool(f"endpoints://{namespace}/{outside.name}:5432")
            await pool.ready(timeout=10)

            def there() -> set[tuple[str, int]]:
                return {(one.address, one.port) for one in pool.backends}

            await until(lambda: there() == {("10.20.0.1", 5432), ("10.20.0.2", 5433), ("fd00:20::1", 5432)}, 10)
            await outside.has("10.20.0.3", 5432)
            await until(lambda: ("10.20.0.3", 5432) in there(), 10)
            await outside.has("10.20.0.1", 5432, status="critical")
            await until(lambda: ("10.20.0.1", 5432) not in there(), 10)
            found = await admin.get(f"/api/v1/namespaces/{namespace}/services/{outside.name}")
            assert found["spec"]["clusterIP"] == "None"
            await outside.clear()
            await until(lambda: not there(), 10)
        path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        await admin.wait_for(path, lambda seen: not seen["items"])
        await admin.wait_for(
            f"/api/v1/namespaces/{namespace}/services", lambda seen: outside.name not in names(seen["items"])
        )
        assert running.made.last_error is None
        assert [event.name for event in running.events if event.name == "import.failed"] == []


async def test_the_name_resolves_in_the_dns_of_the_cluster(namespace: str, kubeconfig: Path, outside: Outside) -> None:
    await outside.has("10.20.1.1", 5432)
    await outside.has("10.20.1.2", 5432)
    async with Running(namespace, kubeconfig, outside), discovery.Discovery(dns=["127.0.0.1:53"]) as disco:
        pool = disco.pool(f"dns+srv://_default._tcp.{outside.name}.{namespace}.svc.cluster.local")
        await pool.ready(timeout=20)
        assert {(one.address, one.port) for one in pool.backends} == {("10.20.1.1", 5432), ("10.20.1.2", 5432)}


async def test_a_service_of_that_name_that_is_not_ours_stays_byte_for_byte_and_gets_no_endpoints(
    admin: Admin, namespace: str, kubeconfig: Path, outside: Outside
) -> None:
    before = await admin.create(service(namespace, outside.name, port=80, selector={"app": "mine"}))
    await outside.has("10.20.0.1", 5432)
    async with Running(namespace, kubeconfig, outside) as running:
        await until(lambda: any(event.data.get("reason") == "foreign" for event in running.events), 10)
        passes = running.made.passes
        await until(lambda: running.made.passes > passes, 10)  # a repair later too
    assert await admin.get(f"/api/v1/namespaces/{namespace}/services/{outside.name}") == before
    slices = await admin.items(f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
    assert not any(one["metadata"]["labels"].get("aiodiscovery/owner-id") for one in slices)


async def test_a_steady_state_writes_nothing_to_a_real_server_either(
    admin: Admin, namespace: str, kubeconfig: Path, outside: Outside
) -> None:
    await outside.has("10.20.0.1", 5432)
    await outside.has("fd00:20::1", 5432)
    async with Running(namespace, kubeconfig, outside) as running:
        await until(lambda: running.made.writes == 3, 10)
        passes = running.made.passes
        await until(lambda: running.made.passes >= passes + 2, 15)  # each reads all of it anew
        assert running.made.writes == 3
    async with Running(namespace, kubeconfig, outside) as again:
        assert again.made.writes == 0


async def test_what_was_deleted_by_hand_comes_back_whole(
    admin: Admin, namespace: str, kubeconfig: Path, outside: Outside
) -> None:
    await outside.has("10.20.0.1", 5432)
    path = f"/api/v1/namespaces/{namespace}/services/{outside.name}"
    async with Running(namespace, kubeconfig, outside):
        before = await admin.wait_for(path, bool)
        await admin.delete(path)
        await admin.wait_for(path, lambda seen: seen["metadata"]["uid"] != before["metadata"]["uid"])
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        after = await admin.get(path)
        await admin.wait_for(slices, lambda seen: owners(seen["items"]) == [after["metadata"]["uid"]])


def names(found: list[Object]) -> set[str]:
    return {one["metadata"]["name"] for one in found}


def owners(slices: list[Object]) -> list[str]:
    return [owner["uid"] for one in slices for owner in one["metadata"].get("ownerReferences", ())]
