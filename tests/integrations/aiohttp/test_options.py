"""What a program says of its requests, its hosts and its load."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import discovery
from discovery import PeakEwma, RetryPolicy, Route
from discovery.errors import ConfigurationError
from discovery.integrations import aiohttp as integration
from discovery.testing import Deployment

from ...until import until
from .scene import Hanging, Prefer, Scene, ask, prefer, say


async def hanging(scene: Scene, replicas: int = 1) -> tuple[Deployment, Hanging]:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=replicas, handler=handler)
    handler.hung.update(pod.address for pod in deployed.pods)
    await scene.pool().ready(10)
    return deployed, handler


# The key


async def test_the_key_is_the_callers_else_the_routes_else_the_middlewares(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    balancer = Prefer()
    routes = {"own.internal": Route(deployed.target, key=lambda _: b"route")}
    http = await scene.client(balancer=balancer, routes=routes, key=lambda _: b"middleware")
    for _ in range(2):
        await ask(http, "http://own.internal/")
        await ask(http, deployed.url)
        with discovery.options(key=b"caller"):
            await ask(http, "http://own.internal/")
            await ask(http, deployed.url)
    assert balancer.keys == [b"route", b"middleware", b"caller", b"caller"] * 2


async def test_what_is_said_in_a_task_holds_for_its_requests_alone(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    balancer = Prefer()
    http = await scene.client(balancer=balancer)

    async def one(key: bytes) -> None:
        with discovery.options(key=key):
            await asyncio.sleep(0)
            await ask(http, deployed.url)

    keys = [b"%d" % number for number in range(10)]
    await asyncio.gather(*(one(key) for key in keys))
    await ask(http, deployed.url)
    assert sorted(key for key in balancer.keys if key) == keys
    assert balancer.keys[-1] is None


# Limits on what is in flight


@pytest.mark.parametrize("limit", ["max_in_flight", "max_in_flight_per_backend"])
async def test_a_request_beyond_the_limit_fails_at_once_and_is_not_sent(scene: Scene, limit: str) -> None:
    deployed, handler = await hanging(scene)
    options: dict[str, Any] = {limit: 2}
    http = await scene.client(**options)
    held = [asyncio.create_task(ask(http, deployed.url)) for _ in range(2)]
    await until(lambda: deployed.pods[0].requests == 2)
    for kind in (integration.Overloaded, discovery.Overloaded, aiohttp.ClientError):
        with pytest.raises(kind):
            await ask(http, deployed.url)
    assert deployed.pods[0].requests == 2
    handler.let.set()
    await asyncio.gather(*held)
    await ask(http, deployed.url)
    assert scene.in_flight() == 0


async def test_a_backend_at_its_limit_leaves_requests_to_others(scene: Scene) -> None:
    deployed, handler = await hanging(scene, replicas=2)
    http = await scene.client(balancer=prefer(deployed.pods[0]), max_in_flight_per_backend=1)
    held = [asyncio.create_task(ask(http, deployed.url)) for _ in range(2)]
    await until(lambda: [pod.requests for pod in deployed.pods] == [1, 1])
    handler.let.set()
    await asyncio.gather(*held)


async def test_a_place_is_free_again_when_the_body_has_been_read(scene: Scene) -> None:
    async def halves(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await asyncio.Event().wait()
        return response

    deployed = await scene.cluster.deploy("web", handler=halves)
    http = await scene.client(max_in_flight=1)
    for _ in range(3):
        async with http.get(deployed.url):
            with pytest.raises(integration.Overloaded):
                await http.get(deployed.url)


# Routes


async def test_a_routes_options_stand_in_the_place_of_the_middlewares_and_the_rest_is_as_it_has_it(
    scene: Scene,
) -> None:
    deployed, handler = await hanging(scene)
    routes = {"narrow": Route(deployed.target, max_in_flight=1), "wide": Route(deployed.target, max_in_flight=None)}
    http = await scene.client(routes=routes, max_in_flight=2, retry=RetryPolicy(attempts=2), outlier=None)
    held: list[asyncio.Task[dict[str, Any]]] = []

    def arrived() -> bool:
        return deployed.pods[0].requests == len(held)

    for host, most in (("narrow", 1), ("web.default.svc", 2)):
        held += [asyncio.create_task(ask(http, f"http://{host}/")) for _ in range(most)]
        await until(arrived)
        with pytest.raises(integration.Overloaded):
            await ask(http, f"http://{host}/")
    held += [asyncio.create_task(ask(http, "http://wide/")) for _ in range(5)]
    await until(arrived)
    handler.let.set()
    await asyncio.gather(*held)
    (ours,) = http._middlewares
    assert isinstance(ours, integration.Middleware)
    options = [host.options for host in ours.finding.directory.hosts.values()]
    assert {one.max_in_flight for one in options} == {None, 1, 2}
    assert {(one.retry.attempts, one.outlier) for one in options} == {(2, None)}


@pytest.mark.parametrize("option", [{"balancer": "fast"}, {"max_in_flight": 0}, {"retry": 3}, {"key": 5}])
def test_an_option_of_a_route_that_cannot_be_used_is_refused_where_it_is_written(option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        Route("static://127.0.0.1:1", **option)


def test_an_option_that_there_is_none_of_is_a_slip_of_the_pen() -> None:
    options: Any = {"balancr": None}
    with pytest.raises(TypeError, match="balancr"):
        Route("static://127.0.0.1:1", **options)


def test_routes_that_say_the_same_are_equal_and_hash_alike() -> None:
    one, same = (Route("static://127.0.0.1:1", retry=RetryPolicy(attempts=2)) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Route("static://127.0.0.1:1")


# What is learnt


async def test_a_backend_is_known_by_the_time_to_its_headers_and_not_to_the_end_of_its_body(scene: Scene) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await asyncio.sleep(0.5)
        await response.write(b"second")
        return response

    deployed = await scene.cluster.deploy("web", handler=slow)
    http = await scene.client(balancer=PeakEwma())
    before = 0.0
    for _ in range(3):
        async with http.get(deployed.url) as response:
            (node,) = scene.nodes().values()
            assert 0 < node.latency < 0.5
            assert node.measured > before
            before = node.measured
            known = node.latency, node.measured
            await response.read()
        assert (node.latency, node.measured, node.in_flight) == (*known, 0)


async def test_a_backend_that_fails_is_known_as_slow(scene: Scene) -> None:
    async def fail(_: web.Request) -> web.Response:
        return web.Response(status=500 if failing else 200)

    failing: list[int] = []
    deployed = await scene.cluster.deploy("web", handler=fail)
    http = await scene.client(balancer=PeakEwma(penalty=7.0), outlier=None)
    for _ in range(2):
        await http.get(deployed.url)
    (node,) = scene.nodes().values()
    assert node.latency < 1
    failing.append(1)
    await http.get(deployed.url)
    assert node.latency == 7.0
    assert node.in_flight == 0


# On the wrong side


async def test_a_server_that_is_given_it_does_not_start_and_is_told_which_one_is_its_own(scene: Scene) -> None:
    middleware: Any = scene.disco.middleware()
    runner = web.AppRunner(web.Application(middlewares=[middleware]))
    with pytest.raises(TypeError, match=r"discovery\.integrations\.aiohttp\.server_middleware"):
        await runner.setup()
    await runner.cleanup()
