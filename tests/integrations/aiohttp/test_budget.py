"""The budget bounds every second sending, aiohttp's own included; how often is counted at the servers."""

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

import discovery
from discovery import RetryBudget, RetryPolicy
from discovery.integrations import aiohttp as integration
from discovery.integrations.aiohttp.reruns import KEPT, Reruns
from discovery.testing import Deployment

from ...virtual import run
from .scene import Cutting, Scene, ask, say

NOTHING = RetryPolicy(budget=RetryBudget(ratio=0, minimum_per_second=0))
"""No retry is ever paid for."""

Handler = aiohttp.ClientHandlerType


def hits(deployed: Deployment) -> int:
    return sum(pod.requests for pod in deployed.pods)


async def cut(scene: Scene, replicas: int = 3) -> Deployment:
    """A service that breaks every connection on which a request came."""
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=replicas, handler=handler)
    handler.cut.update(pod.address for pod in deployed.pods)
    return deployed


def reruns(http: aiohttp.ClientSession) -> Reruns:
    (ours,) = http._middlewares
    assert isinstance(ours, integration.Middleware)
    return ours.reruns


# Refused


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_without_a_budget_left_the_error_is_the_one_that_was_met_and_nothing_is_sent_again(
    scene: Scene, method: str
) -> None:
    deployed = await cut(scene)
    http = await scene.client(retry=NOTHING)
    for number in range(1, 4):
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)) as caught:
            await ask(http, deployed.url, method, data=b"x" if method == "PUT" else None)
        assert not isinstance(caught.value, discovery.DiscoveryError)
        assert hits(deployed) == number
    assert scene.said("call.retried") == []
    assert len(scene.said("call.refused")) == 3
    assert scene.in_flight() == 0
    assert not reruns(http).ended


async def test_without_a_budget_left_an_answer_is_the_answer(scene: Scene) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503)

    deployed = await scene.cluster.deploy("web", replicas=2, handler=busy)
    http = await scene.client(retry=NOTHING)
    for _ in range(2):
        async with http.get(deployed.url) as response:
            assert response.status == 503
    assert hits(deployed) == 2


async def test_a_refused_connection_without_a_budget_left_is_tried_once(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    for pod in deployed.pods:
        await deployed.kill(pod)
    http = await scene.client(retry=NOTHING)
    with pytest.raises(aiohttp.ClientConnectorError):
        await ask(http, deployed.url)
    assert sum(node.failures for node in scene.nodes().values()) == 1


async def test_the_budget_is_of_the_target_whoever_asks(scene: Scene) -> None:
    deployed = await cut(scene)
    retry = RetryPolicy(budget=RetryBudget(ratio=0.2, minimum_per_second=2))
    clients = [await scene.client(retry=retry) for _ in range(2)]
    for number in range(40):
        with pytest.raises(aiohttp.ClientError):
            await ask(clients[number % 2], deployed.url)
    retries = hits(deployed) - 40
    assert retries == len(scene.said("call.retried"))
    assert 1 <= retries <= 40 * 0.2 + 2 * 10


async def test_each_request_is_paid_in_once_however_often_it_is_sent(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    await deployed.kill(deployed.pods[0])
    http = await scene.client(retry=RetryPolicy(budget=RetryBudget(ratio=1, minimum_per_second=0)), outlier=None)
    for _ in range(50):
        await ask(http, deployed.url)
    (host,) = http._middlewares[0].finding.directory.hosts.values()  # type: ignore[attr-defined]
    retries = len(scene.said("call.retried"))
    assert retries > 0
    assert host.pool.budget.balance <= 50 - retries


# aiohttp's own second run


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_request_that_its_caller_warns_of_is_not_run_again_by_aiohttp(scene: Scene, idempotent: bool) -> None:
    deployed = await cut(scene)
    http = await scene.client(retry=RetryPolicy(attempts=2))
    with discovery.options(idempotent=idempotent), pytest.raises(aiohttp.ClientError):
        await ask(http, deployed.url)
    assert hits(deployed) == (2 if idempotent else 1)


async def test_a_request_after_one_that_failed_is_a_request_of_its_own(scene: Scene) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=1, handler=handler)
    http = await scene.client(retry=NOTHING)
    handler.cut.add(deployed.pods[0].address)
    with pytest.raises(aiohttp.ClientError):
        await ask(http, deployed.url)
    handler.cut.clear()
    await ask(http, deployed.url)
    assert hits(deployed) == 2


async def test_what_the_last_of_several_attempts_met_is_not_run_again_either(scene: Scene) -> None:
    deployed = await cut(scene)
    http = await scene.client(retry=RetryPolicy(attempts=4, budget=RetryBudget(ratio=0, minimum_per_second=1, ttl=2)))
    for _ in range(3):
        with pytest.raises(aiohttp.ClientError):
            await ask(http, deployed.url)
    assert len(scene.said("call.refused")) == 3
    assert hits(deployed) == 3 + len(scene.said("call.retried"))


async def test_many_that_fail_at_once_are_each_sent_once(scene: Scene) -> None:
    deployed = await cut(scene)
    http = await scene.client(retry=NOTHING)

    async def one(number: int) -> None:
        with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
            await ask(http, deployed.url, ("GET", "PUT", "DELETE")[number % 3])

    await asyncio.gather(*(one(number) for number in range(60)))
    assert hits(deployed) == 60
    assert not reruns(http).ended


async def test_an_outer_middleware_that_tries_again_is_let(scene: Scene) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=1, handler=handler)
    handler.cut.add(deployed.pods[0].address)

    runs = 0

    async def again(request: aiohttp.ClientRequest, send: Handler) -> aiohttp.ClientResponse:
        nonlocal runs
        runs += 1
        try:
            return await send(request)
        except aiohttp.ServerDisconnectedError:
            handler.cut.clear()
            return await send(request)

    ours: Any = scene.disco.middleware(retry=NOTHING)
    async with aiohttp.ClientSession(middlewares=[again, ours]) as http:
        await ask(http, deployed.url)
    assert hits(deployed) == 2
    assert runs == 1
    assert not ours.reruns.ended


async def test_a_redirect_after_an_error_that_somebody_made_an_answer_of_is_followed(scene: Scene) -> None:
    deployed = await cut(scene, replicas=1)
    other = await scene.cluster.deploy("other", handler=say)

    async def move(_: web.Request) -> web.Response:
        raise web.HTTPFound(other.url)

    moving = await scene.cluster.deploy("moving", handler=move)
    elsewhere = await scene.client()

    asked: list[str | None] = []

    async def instead(request: aiohttp.ClientRequest, send: Handler) -> aiohttp.ClientResponse:
        asked.append(request.url.host)
        try:
            return await send(request)
        except aiohttp.ServerDisconnectedError:
            return await elsewhere.get(moving.url, allow_redirects=False)

    ours: Any = scene.disco.middleware(retry=NOTHING)
    async with aiohttp.ClientSession(middlewares=[instead, ours]) as http:
        assert (await ask(http, deployed.url))["at"] == other.pods[0].address
    assert hits(deployed) == 1
    assert asked == ["web.default.svc", "other.default.svc"]
    assert not ours.reruns.ended


async def test_a_body_that_aiohttp_would_not_send_again_leaves_nothing_that_is_kept_for_ever(scene: Scene) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"x"

    deployed = await cut(scene)
    http = await scene.client(retry=NOTHING)
    with pytest.raises(aiohttp.ClientError):
        await ask(http, deployed.url, "PUT", data=parts())
    kept = reruns(http)
    assert len(kept.ended) == 1
    await ask_fine(scene, http)
    assert hits(deployed) == 1


async def ask_fine(scene: Scene, http: aiohttp.ClientSession) -> None:
    fine = await scene.cluster.deploy("fine", handler=say)
    assert (await ask(http, fine.url))["at"] == fine.pods[0].address


def test_an_error_that_no_second_run_came_for_is_forgotten() -> None:
    async def scenario() -> None:
        async with aiohttp.ClientSession() as http:
            loop = asyncio.get_running_loop()
            kept, made = Reruns(), []
            for _ in range(100):
                request = aiohttp.ClientRequest("GET", URL("http://web/"), loop=loop, session=http)
                made.append(weakref.ref(request))
                kept.expect(request, aiohttp.ServerDisconnectedError())
            assert len(kept.ended) == 100
            await asyncio.sleep(KEPT / 2)
            kept.expect(request, aiohttp.ServerDisconnectedError())
            await asyncio.sleep(KEPT / 2 + 0.1)
            assert len(kept.ended) == 1
            await asyncio.sleep(KEPT)
            assert kept.ended == {}
            del request
            gc.collect()
            assert not any(one() for one in made)

    run(scenario())


@pytest.mark.parametrize(
    ("method", "error"),
    [
        ("POST", aiohttp.ServerDisconnectedError()),
        ("GET", aiohttp.ClientConnectionError("any")),
        ("GET", aiohttp.ServerTimeoutError()),
        ("GET", integration.RetriesExhausted("all failed")),
        ("GET", integration.DeadlineExceeded("too late")),
        ("GET", ValueError()),
    ],
)
async def test_an_error_on_which_aiohttp_does_not_run_again_is_not_kept(method: str, error: Exception) -> None:
    kept = Reruns()
    async with aiohttp.ClientSession() as http:
        loop = asyncio.get_running_loop()
        kept.expect(aiohttp.ClientRequest(method, URL("http://web/"), loop=loop, session=http), error)
    assert kept.ended == {}
