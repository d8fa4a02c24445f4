"""What counts as load: a request from the pick until its answer has been read or let go, whatever ends it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import attrs
import pytest
from aiohttp import web

from discovery import Hedging, PeakEwma, RetryPolicy
from discovery.integrations import aiohttp as integration

from ...until import until
from .scene import Cutting, Scene, ask, full, prefer, say, steps

HUNG = "127.203.0.1"


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


async def test_a_lease_is_held_until_the_body_is_read(scene: Scene) -> None:
    handler = Halves()
    deployed = await scene.cluster.deploy("web", handler=handler)
    http = await scene.client()
    response = await http.get(deployed.url)
    assert await response.content.readany() == b"first "
    (node,) = scene.nodes().values()
    assert (node.in_flight, node.successes) == (1, 0)
    handler.let.set()
    assert await response.read() == b"second"
    assert (node.in_flight, node.successes, node.failures) == (0, 1, 0)


@pytest.mark.parametrize("end", ["close", "release", "async with"])
async def test_a_lease_is_held_until_the_response_is_let_go(scene: Scene, end: str) -> None:
    deployed = await scene.cluster.deploy("web", handler=Halves())
    http = await scene.client()
    response = await http.get(deployed.url)
    assert scene.in_flight() == 1
    if end == "close":
        response.close()
    elif end == "release":
        response.release()
    else:
        async with response:
            pass
    assert scene.in_flight() == 0


async def test_a_response_without_a_body_holds_nothing(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    http = await scene.client()
    response = await http.head(deployed.url)
    (node,) = scene.nodes().values()
    assert (node.in_flight, node.successes) == (0, 1)
    response.close()
    assert (node.in_flight, node.successes) == (0, 1)


async def test_a_body_that_breaks_off_lets_go(scene: Scene) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        assert request.transport is not None
        request.transport.abort()
        return response

    deployed = await scene.cluster.deploy("web", handler=cut)
    http = await scene.client()
    with pytest.raises(aiohttp.ClientPayloadError):
        async with http.get(deployed.url) as response:
            await response.read()
    assert (scene.in_flight(), deployed.pods[0].requests) == (0, 1)


async def test_an_answer_after_another_attempt_holds_only_its_own_backend(scene: Scene) -> None:
    handler = Halves()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    dead, alive = deployed.pods
    await deployed.kill(dead)
    http = await scene.client(balancer=prefer(dead))
    async with http.get(deployed.url):
        nodes = scene.nodes()
        assert (nodes[dead.address].in_flight, nodes[alive.address].in_flight) == (0, 1)
    assert scene.in_flight() == 0


async def test_an_open_websocket_is_load_until_it_is_closed(scene: Scene) -> None:
    async def listen(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    deployed = await scene.cluster.deploy("web", handler=listen)
    http = await scene.client()
    socket = await http.ws_connect(deployed.url)
    assert scene.in_flight() == 1
    await socket.close()
    assert scene.in_flight() == 0


# Cancellation


async def cancel_at_every_turn(scene: Scene, http: aiohttp.ClientSession, url: str, method: str = "GET") -> int:
    """A request is cancelled after one turn of the loop, another after two, and so on; how many were needed."""
    turns = 0
    while True:
        asking = asyncio.create_task(ask(http, url, method, data=b"x" * 1000 if method == "PUT" else None))
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


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tries": {"retry": RetryPolicy(per_try_timeout=20)},
    "deadline": {"retry": RetryPolicy(deadline=20)},
    "limited": {"max_in_flight": 5, "max_in_flight_per_backend": 3},
    "learning": {"balancer": PeakEwma()},
    "hedged": {"hedging": Hedging()},
}
"""Each goes another way through the middleware."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_a_request_cancelled_at_any_await_leaves_nothing_in_flight(scene: Scene, method: str, way: str) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    http = await scene.client(**WAYS[way])
    scene.pool()
    assert await cancel_at_every_turn(scene, http, deployed.url, method) > 5
    assert [node.failures for node in scene.nodes().values()] == [0, 0]


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("badness", ["refused", "cut", "status"])
@pytest.mark.parametrize("retry", [RetryPolicy(), RetryPolicy(deadline=20)], ids=["plain", "deadline"])
async def test_a_request_cancelled_during_another_attempt_leaves_nothing_in_flight(
    scene: Scene, badness: str, method: str, retry: RetryPolicy
) -> None:
    async def busy(request: web.Request) -> web.StreamResponse:
        response = await handler(request)
        assert request.transport is not None
        sick = badness == "status" and request.transport.get_extra_info("sockname")[0] == bad.address
        return web.Response(status=503, body=b"x" * 300_000) if sick else response

    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=busy)
    bad = deployed.pods[0]
    if badness == "refused":
        await deployed.kill(bad)
    elif badness == "cut":
        handler.cut.add(bad.address)
    http = await scene.client(balancer=prefer(bad), outlier=None, retry=attrs.evolve(retry, budget=None))
    scene.pool()
    assert await cancel_at_every_turn(scene, http, deployed.url, method) > 5
    assert scene.said("call.retried")
    assert scene.nodes()[deployed.pods[1].address].failures == 0


async def test_a_request_cancelled_between_two_attempts_leaves_nothing_in_flight(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2)
    for pod in deployed.pods:
        await deployed.kill(pod)
    http = await scene.client(retry=RetryPolicy(attempts=1000))
    asking = asyncio.create_task(ask(http, deployed.url))
    await until(lambda: len(scene.said("call.retried")) >= 2)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert scene.in_flight() == 0


async def test_a_request_cancelled_while_it_connects_is_not_the_backends_failure(scene: Scene) -> None:
    with full(HUNG) as port:
        scene.service("web", slices=False)
        scene.endpoint("web", HUNG, port=port)
        http = await scene.client()
        asking = asyncio.create_task(ask(http, "http://web.default.svc/"))
        await until(lambda: scene.in_flight() == 1)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        (node,) = scene.nodes().values()
        assert (node.in_flight, node.failures, node.successes) == (0, 0, 0)


async def test_a_request_cancelled_while_it_waits_for_the_first_answer_leaves_nobody_waiting(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    scene.cluster.faults.stall()
    http = await scene.client()
    asking = asyncio.create_task(ask(http, deployed.url))
    members = scene.pool()._membership
    await until(lambda: members._waiters)
    asking.cancel()
    await asyncio.wait([asking])
    assert asking.cancelled()
    assert members._waiters == set()


async def test_a_client_that_is_closed_while_a_request_hangs_lets_go(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=Halves())
    http = await scene.client()
    response = await http.get(deployed.url)
    assert scene.in_flight() == 1
    await http.close()
    response.close()
    assert scene.in_flight() == 0


@pytest.mark.parametrize("way", WAYS)
async def test_many_at_once_end_with_nothing_in_flight(scene: Scene, way: str) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=4, handler=handler)
    dead, cut, *_ = deployed.pods
    await deployed.kill(dead)
    handler.cut.add(cut.address)
    http = await scene.client(limit=5, **WAYS[way])

    async def one(number: int) -> None:
        try:
            async with asyncio.timeout(0.005 * (number % 10) or None):
                await ask(http, deployed.url, ("GET", "POST", "PUT")[number % 3], data=b"x" if number % 3 else None)
        except (TimeoutError, aiohttp.ClientError):
            pass

    await asyncio.gather(*(one(number) for number in range(200)))
    assert [node.in_flight for node in scene.nodes().values()] == [0] * 4
    (ours,) = http._middlewares
    assert isinstance(ours, integration.Middleware)
    if way == "limited":
        assert [host.pool._held for host in ours.finding.directory.hosts.values()] == [0]
    assert not ours.reruns.ended


# Backends that left


async def test_a_kept_connection_to_a_backend_that_left_is_not_used_for_another_request(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    left, other = deployed.pods
    http = await scene.client(balancer=prefer(left))
    assert (await ask(http, deployed.url))["at"] == left.address
    assert isinstance(http.connector, aiohttp.TCPConnector)
    assert [key.host for key in http.connector._conns] == [left.address]
    deployed.set_ready(left, False)
    await until(lambda: left.address not in scene.nodes())
    for _ in range(5):
        assert (await ask(http, deployed.url))["at"] == other.address
    assert left.requests == 1


async def test_a_backend_that_leaves_during_a_request_is_let_finish_it(scene: Scene) -> None:
    handler = Halves()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    left = deployed.pods[0]
    http = await scene.client(balancer=prefer(left))
    async with http.get(deployed.url) as response:
        node = scene.nodes()[left.address]
        deployed.set_ready(left, False)
        await until(lambda: left.address not in scene.nodes())
        assert node.in_flight == 1
        handler.let.set()
        assert await response.read() == b"first second"
    assert node.in_flight == 0


# Bodies


async def test_a_body_is_streamed_up_while_it_is_made_and_down_while_it_is_read(scene: Scene) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for part in request.content.iter_any():
            await response.write(part)
        return response

    deployed = await scene.cluster.deploy("web", handler=echo)
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        assert await heard.get() == b"first"
        yield b"second"

    http = await scene.client()
    for _ in range(2):
        async with asyncio.timeout(10), http.post(deployed.url, data=parts()) as response:
            heard.put_nowait(await response.content.readany())
            assert scene.in_flight() == 1
            assert await response.read() == b"second"
        assert scene.in_flight() == 0


# Traces


async def test_traces_see_one_request_by_its_name_and_each_attempt_by_its_place(scene: Scene) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    cut, other = deployed.pods
    handler.cut.add(cut.address)
    seen: list[tuple[str, str | None]] = []
    trace = aiohttp.TraceConfig()

    async def started(_: object, __: object, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(("start", params.url.host))

    async def sent(_: object, __: object, params: aiohttp.TraceRequestHeadersSentParams) -> None:
        seen.append(("sent", params.url.host))

    async def ended(_: object, __: object, params: aiohttp.TraceRequestEndParams) -> None:
        seen.append(("end", params.url.host))

    trace.on_request_start.append(started)
    trace.on_request_headers_sent.append(sent)
    trace.on_request_end.append(ended)
    middleware = scene.disco.middleware(balancer=prefer(cut))
    async with aiohttp.ClientSession(middlewares=[middleware], trace_configs=[trace]) as http:
        await ask(http, deployed.url)
    name = "web.default.svc"
    assert seen == [("start", name), ("sent", cut.address), ("sent", other.address), ("end", name)]
