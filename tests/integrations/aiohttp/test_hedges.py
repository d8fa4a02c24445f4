"""A copy of a slow request goes to another backend: each with a request of its own, one answer, nothing left behind."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import discovery
from discovery import Hedging, RetryBudget, RetryPolicy
from discovery.integrations.aiohttp.requests import copied
from discovery.testing import Deployment

from ...until import until
from .scene import Hanging, Scene, ask, prefer

KNOWN = 110
"""Answers that make a percentile."""


async def hanging(scene: Scene, replicas: int = 2) -> tuple[Deployment, Hanging]:
    handler = Hanging()
    return await scene.cluster.deploy("web", replicas=replicas, handler=handler), handler


async def practised(scene: Scene, deployed: Deployment, handler: Hanging, **options: Any) -> aiohttp.ClientSession:
    """A client that knows how long answers take, and prefers a backend that has just begun to hang."""
    http = await scene.client(balancer=prefer(deployed.pods[0]), hedging=Hedging(ratio=0.5), outlier=None, **options)
    for _ in range(KNOWN):
        await ask(http, deployed.url)
    for pod in deployed.pods:
        pod.requests = 0
    scene.events.clear()
    handler.told.clear()
    handler.hung.add(deployed.pods[0].address)
    return http


def copies() -> int:
    """Tasks that run a copy of a request."""
    return sum("_Race" in getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks())


def hits(deployed: Deployment) -> list[int]:
    return [pod.requests for pod in deployed.pods]


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD"])
async def test_a_request_that_takes_longer_than_most_is_answered_by_another_backend(scene: Scene, method: str) -> None:
    deployed, handler = await hanging(scene)
    http = await practised(scene, deployed, handler)
    body = b"all of it" if method == "PUT" else None
    async with http.request(method, deployed.url, data=body) as response:
        assert response.status == 200
        if method != "HEAD":
            answer = await response.json()
            assert (answer["at"], answer["body"]) == (deployed.pods[1].address, (body or b"").decode())
        assert str(response.url) == deployed.url
    assert hits(deployed) == [1, 1]
    assert [told.get("x-attempt-count") for told in handler.told] == [None, "2"]
    slow, quick = (scene.nodes()[pod.address] for pod in deployed.pods)
    assert (slow.failures, slow.in_flight, quick.failures, quick.in_flight) == (0, 0, 0, 0)
    assert len(scene.said("hedge.sent")) == len(scene.said("hedge.won")) == 1


async def test_the_copy_that_lost_has_let_go_of_its_connection(scene: Scene) -> None:
    deployed, handler = await hanging(scene)
    http = await practised(scene, deployed, handler)
    await ask(http, deployed.url)
    assert isinstance(http.connector, aiohttp.TCPConnector)
    assert not http.connector._acquired
    assert copies() == 0


@pytest.mark.parametrize("what", ["POST", "warned", "stream", "file", "one backend", "no budget"])
async def test_what_must_not_be_sent_twice_or_is_not_paid_for_is_sent_once(scene: Scene, what: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"all of it"

    deployed, handler = await hanging(scene, replicas=1 if what == "one backend" else 2)
    nothing = RetryPolicy(budget=RetryBudget(ratio=0, minimum_per_second=0))
    http = await practised(scene, deployed, handler, retry=nothing if what == "no budget" else RetryPolicy())
    bodies = {"stream": parts(), "file": io.BytesIO(b"all of it")}
    method = "POST" if what == "POST" else "PUT"
    with discovery.options(idempotent=False if what == "warned" else None):
        asking = asyncio.create_task(ask(http, deployed.url, method, data=bodies.get(what, b"all of it")))
    await handler.reached.wait()
    await asyncio.sleep(0.1)  # far longer than any answer took
    assert sum(hits(deployed)) == 1
    handler.let.set()
    assert (await asking)["body"] == "all of it"
    assert scene.in_flight() == 0


async def test_both_copies_that_fail_are_tried_again_like_any_other(scene: Scene) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        response = await handler(request)
        return web.Response(status=503) if sick else response

    sick: list[int] = []
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=3, handler=refuse)
    http = await practised(scene, deployed, handler)
    sick.append(1)
    asking = asyncio.create_task(http.get(deployed.url))
    await until(lambda: scene.said("hedge.sent"))
    handler.let.set()
    response = await asking
    assert response.status == 503
    assert sum(hits(deployed)) <= 3
    response.close()
    assert scene.in_flight() == 0


@pytest.mark.parametrize("end", ["cancelled", "total", "deadline"])
async def test_who_gives_up_ends_all_copies(scene: Scene, end: str) -> None:
    deployed, handler = await hanging(scene)
    http = await practised(scene, deployed, handler)
    handler.hung.add(deployed.pods[1].address)
    total = aiohttp.ClientTimeout(total=0.3 if end == "total" else 30)
    with discovery.options(deadline=0.3 if end == "deadline" else 30):
        asking = asyncio.create_task(ask(http, deployed.url, timeout=total))
    await until(lambda: sum(hits(deployed)) == 2)
    if end == "cancelled":
        asking.cancel()
    await asyncio.wait([asking])
    if end == "cancelled":
        assert asking.cancelled()
    else:
        assert isinstance(asking.exception(), TimeoutError)
        assert isinstance(asking.exception(), discovery.DeadlineExceeded) is (end == "deadline")
    nodes = scene.nodes().values()
    assert [node.in_flight for node in nodes] == [0, 0]
    assert [node.failures for node in nodes] == ([1, 1] if end == "deadline" else [0, 0])
    assert copies() == 0


async def test_a_request_that_is_answered_in_time_has_no_copy(scene: Scene) -> None:
    deployed, handler = await hanging(scene)
    http = await practised(scene, deployed, handler)
    handler.hung.clear()
    await ask(http, deployed.url)
    assert sum(hits(deployed)) - len(scene.said("hedge.sent")) == 1


async def test_a_copy_of_a_request_shares_what_nobody_changes_and_is_sent_by_itself(scene: Scene) -> None:
    """What is leant on inside aiohttp: a shallow copy of a request that was not sent is one of its own."""
    deployed, _ = await hanging(scene)
    arrived: list[str] = []

    async def both(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        assert request._writer is None
        copies = [copied(request) for _ in range(2)]
        assert copies[0]._timer is not request._timer
        answers = await asyncio.gather(*(send(copy) for copy in copies))
        assert request.response is None
        assert [copy.response for copy in copies] == answers
        arrived.extend([(await answer.json())["body"] for answer in answers])
        return answers[0]

    pod = deployed.pods[0]
    async with aiohttp.ClientSession(middlewares=[both]) as http:
        (await http.put(f"http://{pod.address}:{pod.port}/", data=b"x" * 100_000)).close()
    assert arrived == ["x" * 100_000] * 2
