"""The deadline bounds all that is done for a request up to its headers, and the server is told of it."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

import discovery
from discovery import RetryPolicy
from discovery.integrations import aiohttp as integration
from discovery.testing import Deployment

from .scene import Hanging, Scene, ask, full, prefer

HUNG = "127.204.0.1"
TOLD = "x-envoy-expected-rq-timeout-ms"


async def hanging(scene: Scene, replicas: int = 2, hung: int | None = None) -> tuple[Deployment, Hanging]:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=replicas, handler=handler)
    handler.hung.update(pod.address for pod in deployed.pods[:hung])
    await scene.pool().ready(10)  # no part of a deadline is spent on that
    return deployed, handler


async def late(http: aiohttp.ClientSession, url: str, method: str = "GET") -> integration.DeadlineExceeded:
    async with asyncio.timeout(10):
        with pytest.raises(integration.DeadlineExceeded) as caught:
            await ask(http, url, method)
    return caught.value


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("by", ["policy", "caller", "both"])
async def test_an_answer_that_does_not_come_before_the_deadline_is_waited_for_no_longer(
    scene: Scene, by: str, method: str
) -> None:
    deployed, _ = await hanging(scene, replicas=1)
    deadline = {"policy": 0.2, "caller": None, "both": 20}[by]
    http = await scene.client(retry=RetryPolicy(deadline=deadline))
    with discovery.options(deadline=20 if by == "policy" else 0.2):
        error = await late(http, deployed.url, method)
    assert f"no answer from {deployed.pods[0].address}" in str(error)
    assert deployed.pods[0].requests == 1
    (node,) = scene.nodes().values()
    assert (node.failures, node.in_flight) == (1, 0), "it had the time, and said nothing"


async def test_an_error_for_a_deadline_is_all_three_of_its_kinds(scene: Scene) -> None:
    deployed, _ = await hanging(scene, replicas=1)
    http = await scene.client(retry=RetryPolicy(deadline=0.1))
    for kind in (discovery.DeadlineExceeded, aiohttp.ClientError, TimeoutError):
        with pytest.raises(kind):
            await ask(http, deployed.url)


async def test_all_attempts_and_the_pauses_between_them_are_within_the_deadline(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    await scene.pool().ready(10)
    for pod in deployed.pods:
        await deployed.kill(pod)
    http = await scene.client(retry=RetryPolicy(attempts=1000, deadline=0.5, budget=None))
    async with asyncio.timeout(10):
        with pytest.raises((aiohttp.ClientConnectorError, integration.DeadlineExceeded)):
            await ask(http, deployed.url)
    assert 2 <= sum(node.failures for node in scene.nodes().values()) < 100
    assert scene.in_flight() == 0


async def test_a_second_attempt_has_what_the_first_left(scene: Scene) -> None:
    deployed, handler = await hanging(scene)
    http = await scene.client(retry=RetryPolicy(attempts=2, per_try_timeout=0.2, deadline=0.3))
    await late(http, deployed.url)
    first, second = (int(told[TOLD]) for told in handler.told)
    assert 200 < first <= 300
    assert 0 < second <= 100


async def test_a_deadline_that_has_passed_sends_nothing(scene: Scene) -> None:
    deployed, handler = await hanging(scene, hung=0)
    http = await scene.client()
    with discovery.options(deadline=0.05):
        await asyncio.sleep(0.1)
        for _ in range(2):
            await late(http, deployed.url)
    assert handler.told == []
    await ask(http, deployed.url)


async def test_the_wait_for_the_first_backends_is_within_the_deadline(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.cluster.faults.stall()
    http = await scene.client(ready_timeout=20)
    with discovery.options(deadline=0.1):
        error = await late(http, deployed.url)
    assert "before a backend was known" in str(error)


async def test_a_connection_that_is_not_made_before_the_deadline_is_waited_for_no_longer(scene: Scene) -> None:
    with full(HUNG) as port:
        scene.service("web", slices=False)
        scene.endpoint("web", HUNG, port=port)
        http = await scene.client(retry=RetryPolicy(connect_timeout=20, deadline=0.2))
        await late(http, "http://web.default.svc/")
        (node,) = scene.nodes().values()
        assert (node.failures, node.in_flight) == (1, 0)


async def test_time_that_was_spent_in_the_connectors_queue_is_not_the_backends_fault(scene: Scene) -> None:
    deployed, handler = await hanging(scene, replicas=1)
    http = await scene.client(limit=1)
    first = asyncio.create_task(ask(http, deployed.url))
    await handler.reached.wait()
    with discovery.options(deadline=0.2):
        assert "no free connection before the deadline" in str(await late(http, deployed.url))
    handler.let.set()
    await first
    (node,) = scene.nodes().values()
    assert (node.failures, node.in_flight) == (0, 0)


async def test_the_body_may_take_its_time(scene: Scene) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await asyncio.sleep(0.5)
        await response.write(b"second")
        return response

    deployed = await scene.cluster.deploy("web", handler=slow)
    http = await scene.client(retry=RetryPolicy(deadline=0.3))
    async with http.get(deployed.url) as response:
        assert await response.read() == b"first second"


# What the server is told


async def test_a_server_is_told_how_long_it_is_waited_for_and_only_then(scene: Scene) -> None:
    deployed, handler = await hanging(scene, hung=0)
    http = await scene.client()
    await ask(http, deployed.url)
    with discovery.options(deadline=3.0):
        await ask(http, deployed.url)
    await ask(http, deployed.url)
    assert [TOLD in told for told in handler.told] == [False, True, False]
    assert 2000 < int(handler.told[1][TOLD]) <= 3000


async def test_what_a_server_is_told_is_not_left_in_the_request(scene: Scene) -> None:
    deployed, handler = await hanging(scene, hung=0)
    seen: list[bool] = []

    async def look(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        response = await send(request)
        seen.append(TOLD in request.headers)
        return response

    ours = scene.disco.middleware(retry=RetryPolicy(deadline=3))
    async with aiohttp.ClientSession(middlewares=[look, ours]) as http, http.get(deployed.url) as response:
        assert TOLD in response.request_info.headers
    assert seen == [False]
    assert TOLD in handler.told[0]


# Beside other limits


async def test_the_callers_total_still_ends_it_all(scene: Scene) -> None:
    deployed, _ = await hanging(scene, replicas=1)
    http = await scene.client(timeout=aiohttp.ClientTimeout(total=0.2), retry=RetryPolicy(deadline=20))
    with pytest.raises(TimeoutError) as caught:
        await ask(http, deployed.url)
    assert not isinstance(caught.value, discovery.DiscoveryError)
    (node,) = scene.nodes().values()
    assert (node.failures, node.in_flight) == (0, 0)


async def test_a_try_that_is_over_before_the_deadline_leaves_time_for_another(scene: Scene) -> None:
    deployed, handler = await hanging(scene, hung=1)
    http = await scene.client(balancer=prefer(deployed.pods[0]), retry=RetryPolicy(per_try_timeout=0.2, deadline=20))
    assert (await ask(http, deployed.url))["at"] == deployed.pods[1].address
    assert [told.get("x-attempt-count") for told in handler.told] == [None, "2"]
