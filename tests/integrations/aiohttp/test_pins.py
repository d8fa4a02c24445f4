"""What the middleware leans on inside aiohttp. A new aiohttp that breaks one of these breaks the middleware."""

import asyncio
import types
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client import IDEMPOTENT_METHODS
from yarl import URL

from discovery import Backend, Node
from discovery.integrations.aiohttp.exchange import QUEUE, SEND, _frames, _waits_in
from discovery.integrations.aiohttp.places import Places
from discovery.integrations.http import IDEMPOTENT
from discovery.integrations.places import MOST_PLACES
from discovery.testing import FakeCluster, FakePod

from ...until import until
from .scene import Cutting, full, say, steps

Request = aiohttp.ClientRequest
Handler = aiohttp.ClientHandlerType


class Seen:
    """A middleware that does nothing but look."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.coroutine: object = None

    async def __call__(self, request: Request, handler: Handler) -> aiohttp.ClientResponse:
        self.requests.append(request)
        self.coroutine = handler(request)
        return await self.coroutine


class Holding:
    """A handler for `deploy` that answers when it is let."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.let = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        self.reached.set()
        await self.let.wait()
        return await say(request)


def response_of(request: Request) -> object:
    return request.response


async def read(http: aiohttp.ClientSession, url: str) -> None:
    async with http.get(url) as response:
        await response.read()


def at(pod: FakePod) -> str:
    return f"http://{pod.address}:{pod.port}/"


async def test_a_request_has_no_response_until_it_is_sent_and_one_from_then_on(fake_cluster: FakeCluster) -> None:
    holding, seen = Holding(), Seen()
    (pod,) = (await fake_cluster.deploy("web", handler=holding)).pods
    connecting: list[object] = []
    trace = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        connecting.append(response_of(seen.requests[0]))

    trace.on_connection_create_start.append(note)
    trace.on_connection_create_end.append(note)
    trace.on_request_headers_sent.append(note)
    async with aiohttp.ClientSession(middlewares=[seen], trace_configs=[trace]) as http:
        reading = asyncio.create_task(read(http, at(pod)))
        await holding.reached.wait()
        assert connecting == [None, None, None]
        assert response_of(seen.requests[0]) is not None
        holding.let.set()
        await reading


async def test_an_error_of_a_request_tells_which_one_was_sent(fake_cluster: FakeCluster) -> None:
    seen, cutting = Seen(), Cutting()
    (pod,) = (await fake_cluster.deploy("web", handler=cutting)).pods
    cutting.cut.add(pod.address)
    async with aiohttp.ClientSession(middlewares=[seen]) as http:
        with pytest.raises(aiohttp.ServerDisconnectedError) as cut:
            await http.post(at(pod))
    sending = [frame for frame in _frames(cut.value) if frame.f_code.co_name == SEND]
    assert [frame.f_locals["req"] for frame in sending] == seen.requests


async def test_a_request_that_is_connecting_has_no_response(fake_cluster: FakeCluster) -> None:
    seen, connecting = Seen(), asyncio.Event()
    trace = aiohttp.TraceConfig()

    async def note(*_: object) -> None:
        connecting.set()

    trace.on_connection_create_start.append(note)
    with full("127.200.0.1") as port:
        async with aiohttp.ClientSession(middlewares=[seen], trace_configs=[trace]) as http:
            reading = asyncio.create_task(read(http, f"http://127.200.0.1:{port}/"))
            await connecting.wait()
            await steps(10)
            assert response_of(seen.requests[0]) is None
            assert not _waits_in(seen.coroutine, QUEUE)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


@pytest.mark.parametrize("limits", [{"limit": 1}, {"limit_per_host": 1}], ids=["in all", "per host"])
async def test_who_waits_for_a_free_connection_waits_in_the_coroutine_of_that_name(
    fake_cluster: FakeCluster, limits: dict[str, int]
) -> None:
    holding, seen = Holding(), Seen()
    (pod,) = (await fake_cluster.deploy("web", handler=holding)).pods
    connector = aiohttp.TCPConnector(**limits)  # type: ignore[arg-type]
    async with aiohttp.ClientSession(connector=connector, middlewares=[seen]) as http:
        first = asyncio.create_task(read(http, at(pod)))
        await holding.reached.wait()
        assert not _waits_in(seen.coroutine, QUEUE)
        second = asyncio.create_task(read(http, at(pod)))
        await until(lambda: connector._waiters)
        assert _waits_in(seen.coroutine, QUEUE)
        holding.let.set()
        await asyncio.gather(first, second)


def test_only_one_that_is_suspended_there_waits_there() -> None:
    @types.coroutine
    def suspend() -> Iterator[None]:
        yield

    async def queue() -> None:
        await suspend()

    async def outer() -> None:
        await queue()
        await suspend()

    coroutine = outer()
    assert not _waits_in(None, "queue")
    assert not _waits_in(object(), "queue")
    assert not _waits_in(coroutine, "queue"), "not begun"
    coroutine.send(None)
    assert _waits_in(coroutine, "queue")
    assert not _waits_in(coroutine, "other")
    coroutine.send(None)
    assert not _waits_in(coroutine, "queue"), "it has left"
    coroutine.close()
    assert not _waits_in(coroutine, "queue")


async def test_a_request_whose_url_is_changed_goes_there_and_keeps_its_name(fake_cluster: FakeCluster) -> None:
    (pod,) = (await fake_cluster.deploy("web", handler=say)).pods
    node = Node(Backend(address=pod.address, port=pod.port))

    async def move(request: Request, handler: Handler) -> aiohttp.ClientResponse:
        request.url = Places("http")[node, request.url.raw_path_qs]
        assert (request.connection_key.host, request.connection_key.port) == (pod.address, pod.port)
        return await handler(request)

    async with (
        aiohttp.ClientSession(middlewares=[move]) as http,
        http.get("http://shop.example/a%2Fb?x=%20y") as response,
    ):
        answer = await response.json()
        assert (answer["host"], answer["path"]) == ("shop.example", "/a%2Fb?x=%20y")
        assert response.url == response.real_url == URL("http://shop.example/a%2Fb?x=%20y", encoded=True)


async def test_the_name_in_a_certificate_can_be_set_on_the_request_and_is_part_of_the_connections_key() -> None:
    async with aiohttp.ClientSession() as http:
        request = Request("GET", URL("https://10.0.0.1/"), loop=asyncio.get_running_loop(), session=http)
        assert request.server_hostname is None
        request.server_hostname = "shop.example"
        assert request.connection_key.server_hostname == "shop.example"


@pytest.mark.parametrize(
    "url",
    [
        "http://a/",
        "https://a:8443/x/y?z=1",
        "http://a/%2F?q=%26&r=+",
        "ws://a/ü?ü",
        "http://a/?",
        "http://a//b",
        "http://a",
    ],
)
@pytest.mark.parametrize("netloc", ["10.0.0.1:80", "[fd00::1]:8080"])
def test_a_url_that_is_moved_differs_in_nothing_but_the_place(url: str, netloc: str) -> None:
    before, places = URL(url), Places(URL(url).scheme)
    host, _, port = netloc.rpartition(":")
    node = Node(Backend(address=host.strip("[]"), port=int(port)))
    after = places[node, before.raw_path_qs]
    assert places[node, before.raw_path_qs] is after
    assert after.raw_path_qs == before.raw_path_qs
    assert after.scheme == before.scheme
    assert f"{after.host_subcomponent}:{after.port}" == netloc


def test_urls_of_places_are_kept_up_to_a_bound() -> None:
    node, places = Node(Backend(address="10.0.0.1", port=80)), Places("http")
    for number in range(3 * MOST_PLACES):
        assert places[node, f"/{number}?q={number}"].path_qs == f"/{number}?q={number}"
        assert len(places) <= MOST_PLACES


def test_what_may_be_sent_twice_is_what_aiohttp_thinks_may_be() -> None:
    assert IDEMPOTENT == IDEMPOTENT_METHODS


@pytest.mark.parametrize(
    ("error", "runs"),
    [
        (aiohttp.ServerDisconnectedError(), 2),
        (aiohttp.ClientOSError(104, "reset"), 2),
        (aiohttp.ClientConnectionError("any"), 1),
        (aiohttp.ServerTimeoutError(), 1),
    ],
    ids=["disconnected", "oserror", "connection", "timeout"],
)
async def test_aiohttp_runs_the_chain_again_only_for_these(error: Exception, runs: int) -> None:
    ran = 0

    async def fail(request: Request, handler: Handler) -> aiohttp.ClientResponse:
        nonlocal ran
        ran += 1
        raise error

    async with aiohttp.ClientSession(middlewares=[fail]) as http:
        with pytest.raises(type(error)):
            await http.get("http://shop.example/")
    assert ran == runs


async def test_a_body_that_can_be_read_once_says_so_as_soon_as_it_is_begun(fake_cluster: FakeCluster) -> None:
    seen, cutting = Seen(), Cutting(read=False)
    (pod,) = (await fake_cluster.deploy("web", handler=cutting)).pods
    cutting.cut.add(pod.address)
    begun = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        assert getattr(seen.requests[0].body, "consumed", None) is True
        begun.set()
        yield b"one"
        await asyncio.Event().wait()

    async with aiohttp.ClientSession(middlewares=[seen]) as http:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await http.post(at(pod), data=chunks())
    assert begun.is_set()


@pytest.mark.parametrize("end", ["read", "close"])
async def test_a_connection_tells_when_the_response_is_over(fake_cluster: FakeCluster, end: str) -> None:
    async def halves(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"one")
        await asyncio.sleep(0.01)
        await response.write(b"two")
        return response

    (pod,) = (await fake_cluster.deploy("web", handler=halves)).pods
    told: list[int] = []
    async with aiohttp.ClientSession() as http:
        response = await http.get(at(pod))
        assert response.connection is not None
        response.connection.add_callback(lambda: told.append(1))
        assert told == []
        if end == "read":
            await response.read()
        else:
            response.close()
        assert told == [1]


async def test_a_response_whose_body_came_with_the_headers_has_no_connection(fake_cluster: FakeCluster) -> None:
    (pod,) = (await fake_cluster.deploy("web")).pods
    async with aiohttp.ClientSession() as http, http.head(at(pod)) as response:
        assert response.connection is None
