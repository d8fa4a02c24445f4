"""The middleware among others: middlewares around it and in it, proxies, servers, peers that mean ill."""

import asyncio
import copy
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import discovery
from discovery import RetryPolicy, RoundRobin

from ...until import until
from .scene import Cutting, Scene, ask, prefer, say

Handler = aiohttp.ClientHandlerType


async def test_what_an_outer_middleware_sends_again_is_balanced_again_and_its_url_stays_the_services(
    scene: Scene,
) -> None:
    seen: list[str] = []

    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=503)

    deployed = await scene.cluster.deploy("web", replicas=3, handler=busy)

    async def three_times(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        for _ in range(2):
            response = await handler(request)
            seen.append(str(request.url))
            await response.read()
        return await handler(request)

    retry = RetryPolicy(attempts=1)
    middlewares = [three_times, scene.disco.middleware(balancer=RoundRobin(), retry=retry)]
    async with aiohttp.ClientSession(middlewares=middlewares) as http, http.get(deployed.url) as response:
        assert response.status == 503
    assert [pod.requests for pod in deployed.pods] == [1, 1, 1]
    assert seen == [deployed.url] * 2


async def test_time_in_a_middleware_further_in_is_not_the_backends_fault(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")

    async def slow(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        await asyncio.sleep(1.2)
        return await handler(request)

    retry = RetryPolicy(attempts=1, connect_timeout=0.8, per_try_timeout=1.0)
    http = await scene.client(retry=retry, inner=(slow,))
    async with http.get(deployed.url) as response:
        assert response.status == 200


async def test_time_in_the_queue_of_a_second_middleware_of_ours_is_not_the_backends_fault(scene: Scene) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.5)
        return await say(request)

    deployed = await scene.cluster.deploy("web", handler=slow)
    retry = RetryPolicy(attempts=1, connect_timeout=0.2)
    http = await scene.client(retry=retry, limit=1, inner=(scene.disco.middleware(retry=retry),))
    answers = await asyncio.gather(*(http.get(deployed.url) for _ in range(3)))
    assert [answer.status for answer in answers] == [200] * 3
    for answer in answers:
        answer.close()


async def test_a_request_that_expects_to_be_told_to_continue_is_tried_again(scene: Scene) -> None:
    hits = 0

    async def first_cut(request: web.Request) -> web.StreamResponse:
        nonlocal hits
        hits += 1
        if hits == 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"body": (await request.read()).decode()})

    deployed = await scene.cluster.deploy("web", replicas=2, handler=first_cut)
    http = await scene.client()
    async with http.put(deployed.url, data=b"hello", expect100=True) as response:
        assert await response.json() == {"body": "hello"}


async def test_a_request_that_was_cut_before_it_was_told_to_continue_is_tried_again(scene: Scene) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    deployed = await scene.cluster.deploy("web", handler=say)
    (pod,) = deployed.pods
    async with await asyncio.start_server(cut, "127.205.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        routes = {"shop": f"static://127.205.0.1:{port},{pod.address}:{pod.port}"}
        http = await scene.client(routes=routes, balancer=prefer("127.205.0.1"))
        for _ in range(2):
            async with http.put("http://shop/", data=b"hello", expect100=True) as response:
                assert (await response.json())["body"] == "hello"


async def test_a_copy_that_a_middleware_further_in_has_sent_was_sent(scene: Scene) -> None:
    cutting, told = Cutting(), []

    async def cut(request: web.Request) -> web.Response:
        told.append(await request.read())
        return await cutting(request)

    deployed = await scene.cluster.deploy("web", replicas=2, handler=cut)
    cutting.cut.update(pod.address for pod in deployed.pods)

    async def copying(request: aiohttp.ClientRequest, handler: Handler) -> aiohttp.ClientResponse:
        return await handler(copy.copy(request))

    http = await scene.client(inner=(copying,))
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await http.post(deployed.url, data=b"pay once")
    assert told == [b"pay once"]
    assert scene.in_flight() == 0


async def test_credentials_that_belong_to_a_name_are_good_at_every_backend(scene: Scene) -> None:
    challenge = {"WWW-Authenticate": 'Digest realm="shop", nonce="once", qop="auth", algorithm=MD5'}

    async def guarded(request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers=challenge)
        return await say(request)

    deployed = await scene.cluster.deploy("web", replicas=3, handler=guarded)
    asks = aiohttp.DigestAuthMiddleware("anna", "secret")
    middlewares: list[aiohttp.ClientMiddlewareType] = [asks, scene.disco.middleware(balancer=RoundRobin())]
    async with aiohttp.ClientSession(middlewares=middlewares) as http:
        at = {(await ask(http, deployed.url))["at"] for _ in range(6)}
    assert at == {pod.address for pod in deployed.pods}
    assert sum(pod.requests for pod in deployed.pods) == 7, "challenged once, for all of them"


async def test_a_request_through_a_proxy_keeps_its_name_and_goes_to_the_proxy(scene: Scene) -> None:
    asked: list[str] = []

    async def forward(request: web.BaseRequest) -> web.Response:
        asked.append(request.raw_path)
        return web.Response(text="proxied")

    await scene.cluster.deploy("web")
    server = await asyncio.get_running_loop().create_server(web.Server(forward), "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    http = await scene.client()
    async with http.get("http://web.default.svc/orders", proxy=proxy) as response:
        assert await response.text() == "proxied"
    assert asked == ["http://web.default.svc/orders"]
    server.close()


async def test_a_client_middleware_given_to_a_server_says_where_it_belongs(scene: Scene) -> None:
    middleware: Any = scene.disco.middleware()
    with pytest.raises(
        TypeError,
        match=r"a server's is discovery\.integrations\.aiohttp\.server_middleware",
    ):
        await middleware(web.Application(), say)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 200 OK\r\nSet-Cookie: session=TOPSECRET\r\n", b""], ids=["headers cut", "nothing"]
)
async def test_no_header_of_a_peer_and_no_query_of_a_request_is_in_an_error_or_an_event(
    scene: Scene, answer: bytes
) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    http = await scene.client(routes={"shop.internal": f"static://127.0.0.1:{port}"})
    with pytest.raises(discovery.RetriesExhausted) as raised:
        await http.get("http://shop.internal/orders?token=QSECRET")
    told = str(raised.value) + repr(scene.events)
    assert "TOPSECRET" not in told
    assert "QSECRET" not in told
    server.close()


@pytest.mark.parametrize(("address", "port"), [("10.0.0.1", 99999999), ("10.0.0.1", -5), ("::1%@[evil.example", 80)])
async def test_a_place_that_none_can_be_is_none(scene: Scene, address: str, port: int) -> None:
    scene.service("web", slices=False)
    scene.endpoint("web", address, port=port)
    pool = scene.disco.pool("endpoints://default/web:http")
    await until(lambda: pool.status.synced)
    assert pool.backends == ()


async def test_a_pool_that_was_given_back_too_often_is_opened_anew(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    http = await scene.client()
    async with http.get(deployed.url) as response:
        assert response.status == 200
    pool = scene.disco.pool("endpoints://default/web:80")
    await pool.aclose()
    await pool.aclose()
    async with http.get(deployed.url) as response:
        assert response.status == 200
