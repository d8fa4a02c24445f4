"""What counts as load: a request from the pick until its answer has been closed, whatever ends it."""

import asyncio
import random

import httpx
import pytest
from aiohttp import web

from discovery import Hedging, PeakEwma, RetryPolicy
from discovery.balancing import Node
from discovery.integrations import httpx as integration

from ...until import until
from ..aiohttp.scene import Cutting, Scene, full, prefer, steps
from .scene import ask, client

HUNG = "127.203.0.2"
URL = "http://web.default.svc/"


class Halves:
    """A handler for `deploy`: the second half of the body comes when it is let."""

    def __init__(self) -> None:
        self.let = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await self.let.wait()
        await response.write(b"second")
        return response


def counts(node: Node) -> tuple[int, int, int]:
    return node.in_flight, node.successes, node.failures


async def test_a_lease_is_held_until_the_body_is_read(scene: Scene) -> None:
    handler = Halves()
    await scene.cluster.deploy("web", handler=handler)
    http = await client(scene)
    async with http.stream("GET", URL) as response:
        parts = response.aiter_bytes()
        assert await anext(parts) == b"first "
        (node,) = scene.nodes().values()
        assert counts(node) == (1, 0, 0)
        handler.let.set()
        assert [part async for part in parts] == [b"second"]
        assert counts(node) == (0, 1, 0)
    assert counts(node) == (0, 1, 0)


async def test_a_lease_is_held_until_the_response_is_let_go(scene: Scene) -> None:
    await scene.cluster.deploy("web", handler=Halves())
    http = await client(scene)
    async with http.stream("GET", URL):
        assert scene.in_flight() == 1
    (node,) = scene.nodes().values()
    assert counts(node) == (0, 1, 0)


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST", "OPTIONS"])
async def test_an_answer_that_was_read_holds_nothing(scene: Scene, method: str) -> None:
    await scene.cluster.deploy("web")
    http = await client(scene)
    await http.request(method, URL)
    (node,) = scene.nodes().values()
    assert counts(node) == (0, 1, 0)


@pytest.mark.parametrize("status", [200, 503])
async def test_an_answer_that_a_transport_has_read_already_holds_nothing(scene: Scene, status: int) -> None:
    await scene.cluster.deploy("web", replicas=2)
    answers = httpx.MockTransport(lambda _: httpx.Response(status, json={"is": "kept"}))
    http = await client(scene, transport=answers)
    assert await ask(http, URL) == {"is": "kept"}
    assert scene.in_flight() == 0


async def test_a_body_that_breaks_off_lets_go_and_is_the_backend_s_failure(scene: Scene) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        assert request.transport is not None
        request.transport.abort()
        return response

    deployed = await scene.cluster.deploy("web", handler=cut)
    http = await client(scene)
    with pytest.raises(httpx.TransportError):
        await http.get(URL)
    (node,) = scene.nodes().values()
    assert (counts(node), deployed.pods[0].requests) == ((0, 0, 1), 1)


async def test_an_answer_after_another_attempt_holds_only_its_own_backend(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=Halves())
    dead, alive = deployed.pods
    await deployed.kill(dead)
    http = await client(scene, balancer=prefer(dead))
    async with http.stream("GET", URL):
        nodes = scene.nodes()
        assert (nodes[dead.address].in_flight, nodes[alive.address].in_flight) == (0, 1)
    assert scene.in_flight() == 0


async def test_what_is_learnt_of_a_backend_is_the_time_to_the_headers(scene: Scene) -> None:
    handler = Halves()
    await scene.cluster.deploy("web", handler=handler)
    http = await client(scene, balancer=PeakEwma())
    async with http.stream("GET", URL) as response:
        (node,) = scene.nodes().values()
        learnt = node.latency
        assert learnt > 0
        handler.let.set()
        await response.aread()
        assert node.latency == learnt


async def test_a_limit_counts_until_the_body_is_closed(scene: Scene) -> None:
    handler = Halves()
    await scene.cluster.deploy("web", handler=handler)
    http = await client(scene, max_in_flight=1)
    async with http.stream("GET", URL):
        with pytest.raises(integration.Overloaded) as caught:
            await http.get(URL)
        assert isinstance(caught.value, httpx.TransportError)
    handler.let.set()
    assert (await http.get(URL)).status_code == 200


# Cancellation


async def cancel_at_every_turn(scene: Scene, http: httpx.AsyncClient, method: str = "GET") -> int:
    """A request is cancelled after one turn of the loop, another after two, and so on; how many were needed."""
    turns = 0
    while True:
        asking = asyncio.create_task(ask(http, URL, method, content=b"x" * 1000 if method == "PUT" else None))
        await steps(turns)
        finished = asking.done()
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled() != finished
        assert scene.in_flight() == 0, f"after {turns} turns"
        if finished:
            return turns
        turns += 1
        assert turns < 5000


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("limits", [{}, {"per_try_timeout": 30.0, "deadline": 60.0}], ids=["bare", "limited"])
async def test_a_request_cancelled_at_any_await_leaves_nothing_in_flight(
    scene: Scene, method: str, limits: dict[str, float]
) -> None:
    await scene.cluster.deploy("web", replicas=2)
    http = await client(scene, retry=RetryPolicy(**limits))  # type: ignore[arg-type]
    scene.pool()
    assert await cancel_at_every_turn(scene, http, method) > 5
    assert [node.failures for node in scene.nodes().values()] == [0, 0]


@pytest.mark.parametrize("badness", ["refused", "cut"])
async def test_a_request_cancelled_during_another_attempt_leaves_nothing_in_flight(scene: Scene, badness: str) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    bad, good = deployed.pods
    if badness == "refused":
        await deployed.kill(bad)
    else:
        handler.cut.add(bad.address)
    http = await client(scene, balancer=prefer(bad), outlier=None, retry=RetryPolicy(budget=None))
    scene.pool()
    assert await cancel_at_every_turn(scene, http) > 5
    assert scene.said("call.retried")
    assert scene.nodes()[good.address].failures == 0


async def test_a_request_cancelled_while_it_connects_is_not_the_backend_s_failure(scene: Scene) -> None:
    with full(HUNG) as port:
        scene.service("web", slices=False)
        scene.endpoint("web", HUNG, port=port)
        http = await client(scene)
        asking = asyncio.create_task(ask(http, URL))
        await until(lambda: scene.in_flight() == 1)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        (node,) = scene.nodes().values()
        assert counts(node) == (0, 0, 0)


async def test_a_body_that_is_cancelled_half_read_lets_go(scene: Scene) -> None:
    await scene.cluster.deploy("web", handler=Halves())
    http = await client(scene)
    asking = asyncio.create_task(http.get(URL))
    scene.pool()
    await until(lambda: scene.in_flight() == 1)
    await steps(50)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert scene.in_flight() == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_becomes_of_many_requests_nothing_is_left(scene: Scene, seed: int) -> None:
    rng = random.Random(seed)

    async def anything(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(rng.uniform(0, 0.01))
        assert request.transport is not None
        what = rng.random()
        if what < 0.2:
            request.transport.abort()
        response = web.StreamResponse(status=503 if what > 0.8 else 200)
        await response.prepare(request)
        await response.write(b"first ")
        if 0.7 < what < 0.8:
            request.transport.abort()
        await response.write(b"second")
        return response

    await scene.cluster.deploy("web", replicas=4, handler=anything)
    retry = RetryPolicy(attempts=4, per_try_timeout=1.0, deadline=10.0)
    http = await client(scene, retry=retry, hedging=Hedging(), balancer=PeakEwma(), max_in_flight_per_backend=20)
    await scene.pool().ready(timeout=5)
    before = asyncio.all_tasks()
    asking = [asyncio.create_task(ask_anything(http, rng)) for _ in range(80)]
    for task in rng.sample(asking, 30):
        asyncio.get_running_loop().call_later(rng.uniform(0, 0.35), task.cancel)
    answers = await asyncio.gather(*asking, return_exceptions=True)
    allowed = httpx.TransportError, asyncio.CancelledError
    assert [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, allowed)] == []
    assert any(answer in (200, 503) for answer in answers)
    assert [node.in_flight for node in scene.nodes().values()] == [0, 0, 0, 0]
    ours = {task for task in asyncio.all_tasks() - before if "discovery/" in repr(task)}
    assert {task for task in ours if "discovery/testing" not in repr(task)} == set()


async def ask_anything(http: httpx.AsyncClient, rng: random.Random) -> int:
    await asyncio.sleep(rng.uniform(0, 0.3))
    method = rng.choice(["GET", "POST", "PUT"])
    content = None if method == "GET" else b"x" * rng.randrange(2000)
    async with http.stream(method, URL, content=content) as response:
        if rng.random() < 0.7:
            await response.aread()
        return response.status_code
