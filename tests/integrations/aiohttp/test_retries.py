"""Another backend is tried where that is safe, and only there; how often is counted at the servers."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from discovery import Discovery, RetryPolicy
from discovery.errors import RetriesExhausted
from discovery.integrations import aiohttp as integration
from discovery.testing import Deployment, FakeCluster

from ...until import until
from .scene import Cutting, Scene, ask, prefer, say

IDEMPOTENT = ["GET", "OPTIONS", "PUT", "DELETE"]
OTHER = ["POST", "PATCH"]


async def cutting(scene: Scene, replicas: int = 2) -> tuple[Deployment, Cutting]:
    handler = Cutting()
    return await scene.cluster.deploy("web", replicas=replicas, handler=handler), handler


def hits(deployed: Deployment) -> list[int]:
    return [pod.requests for pod in deployed.pods]


# Never sent


@pytest.mark.parametrize("method", IDEMPOTENT + OTHER)
async def test_a_refused_connection_is_tried_at_another_backend_whatever_the_request(scene: Scene, method: str) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    dead, alive = deployed.pods
    await deployed.kill(dead)
    http = await scene.client(balancer=prefer(dead))
    answer = await ask(http, "http://web.default.svc/a?b=c", method, data=b"all of it")
    assert (answer["at"], answer["path"], answer["body"]) == (alive.address, "/a?b=c", "all of it")
    assert answer["host"] == "web.default.svc"
    nodes = scene.nodes()
    assert (nodes[dead.address].failures, nodes[dead.address].in_flight) == (1, 0)
    assert (nodes[alive.address].failures, nodes[alive.address].successes) == (0, 1)
    assert len(scene.said("call.retried")) == 1


async def test_another_node_is_tried_before_any_other_backend(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=6)
    same_node = [pod for pod in deployed.pods if pod.node == deployed.pods[0].node]
    assert len(same_node) == 2
    for pod in same_node:
        await deployed.kill(pod)
    http = await scene.client(balancer=prefer(*same_node), retry=RetryPolicy(attempts=2))
    for _ in range(3):
        assert (await ask(http, deployed.url))["node"] != same_node[0].node


async def test_a_backend_is_tried_once_while_there_are_others(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=3)
    for pod in deployed.pods:
        await deployed.kill(pod)
    http = await scene.client(balancer=prefer(*deployed.pods), retry=RetryPolicy(attempts=3))
    with pytest.raises(integration.RetriesExhausted):
        await ask(http, deployed.url)
    assert [node.failures for node in scene.nodes().values()] == [1, 1, 1]
    assert scene.in_flight() == 0


async def test_a_body_that_can_be_read_once_goes_elsewhere_if_none_of_it_was_read(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    await deployed.kill(deployed.pods[0])
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    answer = await ask(http, deployed.url, "POST", data=halves())
    assert (answer["at"], answer["body"]) == (deployed.pods[1].address, "first second")


@pytest.mark.parametrize(
    "error",
    [
        aiohttp.ServerDisconnectedError(),
        aiohttp.ClientOSError(104, "reset"),
        aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    ],
    ids=["disconnected", "reset", "closing"],
)
async def test_a_connection_that_broke_before_anything_was_sent_is_as_if_never_made(
    scene: Scene, error: Exception
) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    broken, alive = deployed.pods

    async def closing(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        if request.url.host == broken.address:
            raise error
        return await handler(request)

    http = await scene.client(balancer=prefer(broken), inner=(closing,))
    assert (await ask(http, deployed.url, "POST", data=b"x"))["at"] == alive.address
    assert scene.nodes()[broken.address].failures == 1


# Cut before the headers


@pytest.mark.parametrize("method", IDEMPOTENT)
async def test_a_cut_is_tried_again_if_twice_is_the_same_as_once(scene: Scene, method: str) -> None:
    deployed, handler = await cutting(scene)
    handler.cut.add(deployed.pods[0].address)
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    answer = await ask(http, deployed.url, method, data=b"all of it")
    assert (answer["at"], answer["body"]) == (deployed.pods[1].address, "all of it")
    assert hits(deployed) == [1, 1]
    assert scene.nodes()[deployed.pods[0].address].failures == 1


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_a_body_that_was_cut_while_it_was_sent_is_sent_again_from_its_beginning(
    scene: Scene, tmp_path: Path, kind: str
) -> None:
    whole = bytes(range(256)) * 2**14  # 4 MiB: more than sockets hold
    path = tmp_path / "body"
    path.write_bytes(whole)
    arrived: dict[str, bytes] = {}

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        address = request.transport.get_extra_info("sockname")[0]
        if address == deployed.pods[0].address:
            await request.content.readany()
            request.transport.abort()
            return web.Response()
        arrived[address] = b"".join([chunk async for chunk in request.content.iter_any()])
        return web.json_response({})

    writing: list[bool] = []

    async def look(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        writing.append(request._writer is not None and not request._writer.done())
        return await handler(request)

    deployed = await scene.cluster.deploy("web", replicas=2, handler=handle)
    http = await scene.client(balancer=prefer(deployed.pods[0]), inner=(look,))
    with path.open("rb") as file:
        body = io.BytesIO(whole) if kind == "memory" else file
        await ask(http, deployed.url, "PUT", data=body)
    assert writing == [False, False], "the first has let go of the body before the second takes it"
    assert list(arrived) == [deployed.pods[1].address]
    assert hashlib.sha256(arrived.popitem()[1]).digest() == hashlib.sha256(whole).digest()
    assert hits(deployed) == [1, 1]


async def test_a_head_that_was_cut_is_tried_again(scene: Scene) -> None:
    deployed, handler = await cutting(scene)
    handler.cut.add(deployed.pods[0].address)
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    async with http.head(deployed.url) as response:
        assert response.status == 200
    assert hits(deployed) == [1, 1]


@pytest.mark.parametrize("method", OTHER)
async def test_a_cut_is_never_tried_again_if_twice_is_not_the_same_as_once(scene: Scene, method: str) -> None:
    deployed, handler = await cutting(scene)
    handler.cut.add(deployed.pods[0].address)
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    for data in (b"all of it", None):
        deployed.pods[0].requests = 0
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await ask(http, deployed.url, method, data=data)
        assert hits(deployed) == [1, 0]
    assert scene.nodes()[deployed.pods[0].address].failures == 2
    assert scene.in_flight() == 0


async def halves() -> AsyncIterator[bytes]:
    yield b"first "
    yield b"second"


async def stalling(cut: asyncio.Event) -> AsyncIterator[bytes]:
    yield b"first "
    await cut.wait()
    yield b"second"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "half"])
async def test_a_body_that_can_be_read_once_is_never_sent_again(scene: Scene, whole: bool) -> None:
    arrived: list[bytes] = []
    cut = asyncio.Event()

    async def handle(request: web.Request) -> web.Response:
        assert request.transport is not None
        arrived.append(await request.read() if whole else await request.content.readany())
        request.transport.abort()
        cut.set()
        return web.Response()

    deployed = await scene.cluster.deploy("web", replicas=2, handler=handle)
    http = await scene.client()
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await ask(http, deployed.url, "PUT", data=halves() if whole else stalling(cut))
    assert arrived == [b"first second" if whole else b"first "]
    assert sum(hits(deployed)) == 1
    assert scene.in_flight() == 0


# How often


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_attempts_are_bounded_though_aiohttp_would_run_the_chain_again(
    scene: Scene, method: str, attempts: int
) -> None:
    deployed, handler = await cutting(scene, replicas=4)
    handler.cut.update(pod.address for pod in deployed.pods)
    http = await scene.client(retry=RetryPolicy(attempts=attempts))
    with pytest.raises(integration.RetriesExhausted) as caught:
        await ask(http, deployed.url, method, data=b"x" if method == "PUT" else None)
    assert sum(hits(deployed)) == caught.value.attempts == attempts
    assert len(scene.said("call.retried")) == attempts - 1
    assert scene.in_flight() == 0


async def test_a_redirect_has_all_its_attempts_again(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)

    async def move(request: web.Request) -> web.Response:
        raise web.HTTPFound(deployed.url)

    moving = await scene.cluster.deploy("moving", replicas=2, handler=move)
    for workload in (deployed, moving):
        await workload.kill(workload.pods[0])
    http = await scene.client(balancer=prefer(deployed.pods[0], moving.pods[0]), retry=RetryPolicy(attempts=2))
    assert (await ask(http, moving.url))["pod"] == deployed.pods[1].name


# When nothing is left


async def test_exhausted_retries_name_how_many_and_the_last_cause(scene: Scene) -> None:
    deployed, handler = await cutting(scene)
    handler.cut.update(pod.address for pod in deployed.pods)
    http = await scene.client()
    with pytest.raises(aiohttp.ClientError) as caught:
        await ask(http, deployed.url)
    error = caught.value
    assert isinstance(error, RetriesExhausted)
    assert not isinstance(error, OSError)
    assert "endpoints://default/web:80: each of 3 attempts failed, the last with Server" in str(error)
    assert isinstance(error.__cause__, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)
    assert error.next_step == "Look at the backends with pool.explain()"


async def test_pod_addresses_that_cannot_be_reached_from_outside_name_the_ways_that_can(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    await deployed.kill(deployed.pods[0])
    http = await scene.client()
    with pytest.raises(integration.RetriesExhausted, match="ClientConnectorError: Cannot connect") as caught:
        await ask(http, deployed.url)
    for way in ("node-port://default/web:80", "load-balancer://default/web:80"):
        assert way in caught.value.next_step
        assert way in str(caught.value)
    assert deployed.pods[0].address in str(caught.value)


async def test_in_a_cluster_nobody_is_sent_outside(fake_cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed = await fake_cluster.deploy("web")
    (pod,) = deployed.pods
    await deployed.kill(pod)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    async with Discovery(cluster_domain="cluster.local") as disco:
        middleware = disco.middleware(routes={"web": f"static://{pod.address}:{pod.port}"})
        async with aiohttp.ClientSession(middlewares=[middleware]) as http:
            with pytest.raises(integration.RetriesExhausted) as caught:
                await ask(http, "http://web/")
    assert "node-port://" not in str(caught.value)


async def test_where_no_backend_is_left_the_error_is_what_the_request_met(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)

    async def leave(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        members = scene.pool()._membership
        members.replace([])
        raise aiohttp.ServerDisconnectedError

    http = await scene.client(inner=(leave,))
    with pytest.raises(aiohttp.ClientConnectionError, match="broke before the request was sent"):
        await ask(http, deployed.url)


@pytest.mark.parametrize("status", [400, 404, 500])
async def test_an_answer_is_an_answer_whatever_its_status(scene: Scene, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    deployed = await scene.cluster.deploy("web", replicas=2, handler=answer)
    http = await scene.client()
    async with http.get(deployed.url) as response:
        assert response.status == status
    assert sum(hits(deployed)) == 1


async def test_an_error_of_another_middleware_is_raised_as_it_is_and_counts_against_nobody(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")

    async def wrong(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        raise ValueError("a bug")

    http = await scene.client(inner=(wrong,))
    with pytest.raises(ValueError, match="a bug"):
        await ask(http, deployed.url)
    (node,) = scene.nodes().values()
    assert (node.failures, node.successes, node.in_flight) == (0, 0, 0)


async def test_a_middleware_outside_that_tries_again_enters_by_the_name(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    dead, alive = deployed.pods
    await deployed.kill(dead)
    names: list[str] = []

    async def again(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        try:
            return await handler(request)
        except integration.RetriesExhausted:
            names.append(str(request.url))
            deployed.notice(dead)
            await until(lambda: len(scene.nodes()) == 1)
            return await handler(request)

    ours = scene.disco.middleware(balancer=prefer(dead), retry=RetryPolicy(attempts=1))
    async with aiohttp.ClientSession(middlewares=[again, ours]) as http:
        assert (await ask(http, deployed.url))["pod"] == alive.name
    assert names == [deployed.url]
