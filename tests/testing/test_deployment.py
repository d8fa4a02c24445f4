"""A simulated Deployment behaves as one: what the API says and what the pods do."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from discovery import Discovery
from discovery.testing import Deployment, FakeCluster, FakePod

from ..until import until


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        yield session


def endpoints(cluster: FakeCluster) -> dict[str, tuple[bool, bool, bool]]:
    """Ready, serving and terminating by address, as the API has it."""
    listed = cluster.objects("endpointslices")
    there = (endpoint for piece in listed for endpoint in piece["endpoints"])
    return {
        endpoint["addresses"][0]: tuple(endpoint["conditions"][name] for name in ("ready", "serving", "terminating"))
        for endpoint in there
    }


async def ask(http: aiohttp.ClientSession, pod: FakePod) -> dict[str, object]:
    async with http.get(f"http://{pod.address}:{pod.port}/orders") as response:
        answer: dict[str, object] = await response.json()
        return answer


async def test_each_pod_answers_on_an_address_of_its_own_and_says_who_it_is(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    deployed = await fake_cluster.deploy("web", replicas=3)
    assert len({pod.address for pod in deployed.pods}) == 3
    assert len({pod.port for pod in deployed.pods}) == 1
    for pod in deployed.pods:
        answer = await ask(http, pod)
        assert (answer["pod"], answer["path"], answer["node"]) == (pod.name, "/orders", pod.node)
        assert pod.requests == 1


async def test_a_handler_of_ones_own_answers(fake_cluster: FakeCluster, http: aiohttp.ClientSession) -> None:
    async def teapot(request: web.Request) -> web.Response:
        return web.Response(status=418, text=request.path)

    deployed = await fake_cluster.deploy("web", handler=teapot)
    (pod,) = deployed.pods
    async with http.get(f"http://{pod.address}:{pod.port}/tea") as response:
        assert (response.status, await response.text()) == (418, "/tea")


async def test_the_api_has_the_service_the_slice_and_the_pods(fake_cluster: FakeCluster) -> None:
    deployed = await fake_cluster.deploy("web", replicas=2, namespace="shop", port=8080)
    (service,) = fake_cluster.objects("services")
    assert service["spec"]["ports"][0]["port"] == 8080
    (piece,) = fake_cluster.objects("endpointslices")
    assert piece["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
    assert [port["port"] for port in piece["ports"]] == [deployed.pods[0].port]
    assert {pod["status"]["podIP"] for pod in fake_cluster.objects("pods")} == {pod.address for pod in deployed.pods}
    assert (deployed.url, deployed.target) == ("http://web.shop.svc:8080/", "endpoints://shop/web:http")


async def test_no_slice_holds_more_than_a_hundred_endpoints(fake_cluster: FakeCluster) -> None:
    await fake_cluster.deploy("web", replicas=101)
    assert sorted(len(piece["endpoints"]) for piece in fake_cluster.objects("endpointslices")) == [1, 100]


async def test_a_rolling_restart_replaces_all_and_never_has_fewer_ready(fake_cluster: FakeCluster) -> None:
    deployed = await fake_cluster.deploy("web", replicas=3, grace=0.02)
    before = set(deployed.pods)
    least, states = 3, set[tuple[bool, bool, bool]]()

    def look() -> None:
        nonlocal least
        found = endpoints(fake_cluster)
        least = min(least, sum(ready for ready, _, _ in found.values()))
        states.update(found.values())

    fake_cluster.on_write(look)
    await deployed.rolling_restart()
    assert least == 3
    assert before.isdisjoint(deployed.pods)
    assert len(deployed.pods) == 3
    assert states <= {(True, True, False), (False, True, True), (False, False, True)}
    assert (False, True, True) in states, "one that is to end serves for a while yet"


async def test_a_pod_that_ends_finishes_what_is_under_way(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        asked.set()
        await go_on.wait()
        return web.Response(text="done")

    deployed = await fake_cluster.deploy("web", handler=slow, grace=0.01)
    (pod,) = deployed.pods
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(http.get(f"http://{pod.address}:{pod.port}/"))
        await asked.wait()
        ending = group.create_task(deployed.scale(0))
        await until(lambda: not pod.alive)
        go_on.set()
    assert (await (await under_way).text()) == "done"
    assert ending.done()
    assert endpoints(fake_cluster) == {}


async def test_a_killed_pod_is_ready_for_the_api_until_it_is_noticed(
    fake_cluster: FakeCluster, http: aiohttp.ClientSession
) -> None:
    deployed = await fake_cluster.deploy("web", replicas=2)
    victim = deployed.pods[0]
    await deployed.kill(victim)
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(http, victim)
    assert endpoints(fake_cluster)[victim.address] == (True, True, False)
    deployed.notice(victim)
    assert endpoints(fake_cluster)[victim.address] == (False, False, False)
    await deployed.remove(victim)
    assert victim.address not in endpoints(fake_cluster)


async def test_a_kill_resets_what_is_under_way(fake_cluster: FakeCluster, http: aiohttp.ClientSession) -> None:
    asked = asyncio.Event()

    async def never(_: web.Request) -> web.Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    deployed = await fake_cluster.deploy("web", handler=never)
    async with asyncio.TaskGroup() as group:
        under_way = group.create_task(cut(http, deployed.pods[0]))
        await asked.wait()
        await deployed.kill(deployed.pods[0])
        await under_way


async def cut(http: aiohttp.ClientSession, pod: FakePod) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await ask(http, pod)


async def test_scaling_down_ends_the_newest_and_below_none_is_refused(fake_cluster: FakeCluster) -> None:
    deployed = await fake_cluster.deploy("web", replicas=3, grace=0.01)
    kept = deployed.pods[:1]
    await deployed.scale(1)
    assert deployed.pods == kept
    with pytest.raises(ValueError, match="below 0"):
        await deployed.scale(-1)


async def test_discovery_follows_a_deployment(fake_cluster: FakeCluster) -> None:
    deployed = await fake_cluster.deploy("web", replicas=2, grace=0.01)
    async with Discovery(kubeconfig=fake_cluster.kubeconfig) as disco, disco.pool(deployed.target) as pool:
        await pool.ready(timeout=5)
        assert offered(pool.backends) == offered_by(deployed)
        await deployed.scale(4)
        deployed.set_ready(deployed.pods[0], False)
        async with asyncio.timeout(5):
            async for change in pool.changes():
                if offered(change.snapshot.backends) == offered_by(deployed):
                    break
        assert len(pool.backends) == 3


def offered(backends: object) -> set[str]:
    assert isinstance(backends, tuple)
    return {backend.address for backend in backends}


def offered_by(deployed: Deployment) -> set[str]:
    return {pod.address for pod in deployed.pods if pod.ready}
