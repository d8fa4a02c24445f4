"""How long a connection and an answer may take, and whose time does not count."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from discovery import Discovery, RetryPolicy
from discovery.integrations import aiohttp as integration
from discovery.integrations.aiohttp.exchange import QUEUE

from ...until import until
from ...virtual import run
from .scene import Cutting, Hanging, Prefer, Scene, ask, full, prefer, say

if TYPE_CHECKING:
    from discovery.balancing import Node

HUNG = "127.202.0.1"


# Connecting, against real sockets


@pytest.fixture
def hung_port() -> Iterator[int]:
    with full(HUNG) as port:
        yield port


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_hangs_is_tried_elsewhere(scene: Scene, hung_port: int, method: str) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    scene.endpoint("web", HUNG, port=hung_port)
    http = await scene.client(balancer=prefer(HUNG), retry=RetryPolicy(connect_timeout=0.2))
    async with asyncio.timeout(10):  # aiohttp itself would wait for 30 s
        answer = await ask(http, deployed.url, method, data=b"all of it")
    assert (answer["at"], answer["body"]) == (deployed.pods[0].address, "all of it")
    assert scene.nodes()[HUNG].failures == 1
    assert "ConnectionTimeoutError" in scene.said("call.retried")[0].data["error"]


async def test_a_connection_that_hangs_after_a_request_was_sent_elsewhere_is_ended_too(
    scene: Scene, hung_port: int
) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    cut, alive = deployed.pods
    handler.cut.add(cut.address)
    scene.endpoint("web", HUNG, port=hung_port, node="elsewhere")
    http = await scene.client(balancer=prefer(cut, HUNG, alive), retry=RetryPolicy(connect_timeout=0.2))
    async with asyncio.timeout(10):
        assert (await ask(http, deployed.url))["at"] == alive.address
    assert [scene.nodes()[address].failures for address in (cut.address, HUNG)] == [1, 1]


async def test_without_a_limit_of_ours_it_would_still_hang(scene: Scene, hung_port: int) -> None:
    async with aiohttp.ClientSession() as http:
        assert (http.timeout.sock_connect, http.timeout.total) == (30, 300)
    deployed = await scene.cluster.deploy("web", handler=say)
    scene.endpoint("web", HUNG, port=hung_port)
    http = await scene.client(balancer=prefer(HUNG), retry=RetryPolicy(connect_timeout=60))
    asking = asyncio.create_task(ask(http, deployed.url))
    await until(lambda: scene.in_flight() == 1)
    done, _ = await asyncio.wait([asking], timeout=0.5)
    assert not done
    asking.cancel()
    await asyncio.wait([asking])
    assert (scene.in_flight(), scene.nodes()[HUNG].failures) == (0, 0)


async def test_where_all_hang_the_error_says_how_long_and_names_the_ways_from_outside(
    scene: Scene, hung_port: int
) -> None:
    scene.service("web", slices=False)
    scene.endpoint("web", HUNG, port=hung_port)
    http = await scene.client(retry=RetryPolicy(connect_timeout=0.1, attempts=2))
    async with asyncio.timeout(10):
        with pytest.raises(integration.RetriesExhausted) as caught:
            await ask(http, "http://web.default.svc/")
    assert f"ConnectionTimeoutError: no connection to {HUNG}:{hung_port} within 0.1 s" in str(caught.value)
    assert "load-balancer://default/web:80" in caught.value.next_step
    assert isinstance(caught.value.__cause__, aiohttp.ConnectionTimeoutError)


async def test_waiting_for_a_free_connection_is_not_connecting(scene: Scene) -> None:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", handler=handler)
    (pod,) = deployed.pods
    handler.hung.add(pod.address)
    http = await scene.client(limit=1, retry=RetryPolicy(connect_timeout=0.05))
    first = asyncio.create_task(ask(http, deployed.url))
    await handler.reached.wait()
    second = asyncio.create_task(ask(http, deployed.url, "POST"))
    await until(lambda: scene.in_flight() == 2)
    done, _ = await asyncio.wait([second], timeout=0.3)
    assert not done
    handler.let.set()
    await asyncio.gather(first, second)
    assert scene.nodes()[pod.address].failures == 0
    assert scene.said("call.retried") == []


async def test_a_limit_that_was_met_ends_nothing_later(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web")
    http = await scene.client(retry=RetryPolicy(connect_timeout=0.05, per_try_timeout=0.2))
    await ask(http, deployed.url)
    await asyncio.sleep(0.3)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


# Connecting, to the moment: the connector is played, time is virtual

Connector = Callable[[aiohttp.ClientRequest], Awaitable[None]]


async def _wait_for_available_connection(seconds: float) -> None:
    await asyncio.sleep(seconds)


assert _wait_for_available_connection.__name__ == QUEUE


async def sent(request: aiohttp.ClientRequest) -> None:
    request.response = object()  # type: ignore[assignment]


class Played:
    """One request through a middleware to fixed places; `connect` is what becomes of it at each of them."""

    def __init__(self, connect: Connector, method: str = "GET", **policy: Any) -> None:
        self._connect = connect
        self._method = method
        self._policy = RetryPolicy(**{"attempts": 1, **policy})
        self.ended: list[float] = []
        self.nodes: list[Node] = []

    async def ask(self) -> None:
        loop = asyncio.get_running_loop()

        async def handler(request: aiohttp.ClientRequest) -> aiohttp.ClientResponse:
            try:
                await self._connect(request)
            finally:
                self.ended.append(loop.time())
            return Answered()  # type: ignore[return-value]

        async with Discovery(cluster_domain="cluster.local") as disco, aiohttp.ClientSession() as http:
            target = "static://10.0.0.1:80,10.0.0.2:80"
            middleware = disco.middleware(routes={"web": target}, retry=self._policy, balancer=Prefer(("10.0.0.1",)))
            request = aiohttp.ClientRequest(self._method, URL("http://web/"), loop=loop, session=http)
            self.nodes = disco.pool(target)._membership.nodes
            await middleware(request, handler)


class Answered:
    connection = None
    status = 200


def test_a_connection_has_the_whole_of_its_time_and_not_more() -> None:
    async def connect(_: aiohttp.ClientRequest) -> None:
        await asyncio.sleep(60)

    played = Played(connect, connect_timeout=2.0)
    with pytest.raises(integration.RetriesExhausted, match=r"no connection to 10\.0\.0\.1:80 within 2 s"):
        run(played.ask())
    assert played.ended == [2.0]
    assert [(node.failures, node.in_flight) for node in played.nodes] == [(1, 0), (0, 0)]


def test_a_second_attempt_has_its_own_time_to_connect_though_the_first_was_sent() -> None:
    async def connect(request: aiohttp.ClientRequest) -> None:
        if request.url.host == "10.0.0.1":
            await sent(request)
            raise aiohttp.ServerDisconnectedError
        await asyncio.sleep(60)

    played = Played(connect, attempts=2, connect_timeout=2.0)
    with pytest.raises(integration.RetriesExhausted, match=r"no connection to 10\.0\.0\.2:80 within 2 s"):
        run(played.ask())
    assert played.ended == [0.0, 2.0]


@pytest.mark.parametrize("seconds", [0.5, 1.9])
def test_a_connection_within_its_time_is_left_alone_however_long_the_answer_takes(seconds: float) -> None:
    async def slow(request: aiohttp.ClientRequest) -> None:
        await asyncio.sleep(seconds)
        await sent(request)
        await asyncio.sleep(60)

    played = Played(slow, connect_timeout=2.0)
    run(played.ask())
    assert played.ended == [seconds + 60]
    assert [node.failures for node in played.nodes] == [0, 0]


@pytest.mark.parametrize("queued", [0.1, 0.9, 1.4, 1.95, 2.1, 3.9, 60.0])
def test_whoever_comes_from_a_queue_has_three_quarters_of_the_time_at_least_and_all_of_it_at_most(
    queued: float,
) -> None:
    async def connect(request: aiohttp.ClientRequest, seconds: float) -> None:
        await _wait_for_available_connection(queued)
        await asyncio.sleep(seconds)
        await sent(request)

    in_time = Played(lambda request: connect(request, 1.49), connect_timeout=2.0)
    run(in_time.ask())
    assert [node.failures for node in in_time.nodes] == [0, 0]
    late = Played(lambda request: connect(request, 2.01), connect_timeout=2.0)
    with pytest.raises(integration.RetriesExhausted):
        run(late.ask())
    assert late.ended[0] - queued <= 2.0


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_try_whose_time_was_spent_on_connecting_was_never_sent(method: str) -> None:
    async def connect(request: aiohttp.ClientRequest) -> None:
        if request.url.host == "10.0.0.1":
            await asyncio.sleep(60)

    played = Played(connect, method, attempts=2, connect_timeout=5.0, per_try_timeout=1.0)
    run(played.ask())
    assert played.ended == [1.0, 1.0]
    assert [node.failures for node in played.nodes] == [1, 0]


def test_a_try_whose_time_was_spent_in_a_queue_goes_on() -> None:
    async def queue(_: aiohttp.ClientRequest) -> None:
        await _wait_for_available_connection(10)

    played = Played(queue, "POST", per_try_timeout=1.0)
    run(played.ask())
    assert played.ended == [10.0]
    assert [node.failures for node in played.nodes] == [0, 0]


def test_a_caller_that_cancels_at_the_moment_a_limit_ends_is_cancelled() -> None:
    async def scenario() -> None:
        async def hang(_: aiohttp.ClientRequest) -> None:
            await asyncio.sleep(60)

        played = Played(hang, connect_timeout=2.0)
        asking = asyncio.create_task(played.ask())
        await asyncio.sleep(2.0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()

    run(scenario())


# The answer


async def test_a_try_without_headers_in_its_time_is_ended_and_another_made(scene: Scene) -> None:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    hung, other = deployed.pods
    handler.hung.add(hung.address)
    http = await scene.client(balancer=prefer(hung), retry=RetryPolicy(per_try_timeout=0.3))
    answer = await ask(http, deployed.url, "PUT", data=b"all of it")
    assert (answer["at"], answer["body"]) == (other.address, "all of it")
    assert [pod.requests for pod in deployed.pods] == [1, 1]
    assert scene.nodes()[hung.address].failures == 1
    assert scene.in_flight() == 0


async def test_a_try_that_may_have_been_acted_on_is_ended_and_not_made_again(scene: Scene) -> None:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    hung, _ = deployed.pods
    handler.hung.add(hung.address)
    http = await scene.client(balancer=prefer(hung), retry=RetryPolicy(per_try_timeout=0.3))
    with pytest.raises(aiohttp.ServerTimeoutError, match=rf"no answer from {hung.address}:\d+ within 0\.3 s"):
        await ask(http, deployed.url, "POST", data=b"x")
    assert [pod.requests for pod in deployed.pods] == [1, 0]


async def test_tries_that_all_take_too_long_are_bounded(scene: Scene) -> None:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=3, handler=handler)
    handler.hung.update(pod.address for pod in deployed.pods)
    http = await scene.client(retry=RetryPolicy(per_try_timeout=0.2, attempts=2))
    with pytest.raises(integration.RetriesExhausted) as caught:
        await ask(http, deployed.url)
    assert isinstance(caught.value.__cause__, aiohttp.ServerTimeoutError)
    assert sum(pod.requests for pod in deployed.pods) == 2
    assert scene.in_flight() == 0


async def test_a_try_is_over_with_the_headers_and_the_body_may_take_its_time(scene: Scene) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await asyncio.sleep(0.6)
        await response.write(b"second")
        return response

    deployed = await scene.cluster.deploy("web", handler=slow)
    http = await scene.client(retry=RetryPolicy(per_try_timeout=0.3))
    async with http.get(deployed.url) as response:
        assert await response.read() == b"first second"
    assert deployed.pods[0].requests == 1


# The caller's own


@pytest.fixture(params=["connecting", "answering"])
async def silent(request: pytest.FixtureRequest, scene: Scene, hung_port: int) -> AsyncIterator[Hanging]:
    """The service `web`, whose backends never do."""
    handler = Hanging()
    if request.param == "connecting":
        scene.service("web", slices=False)
        scene.endpoint("web", HUNG, port=hung_port)
    else:
        deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
        handler.hung.update(pod.address for pod in deployed.pods)
    yield handler
    handler.let.set()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_callers_total_ends_it_all_and_counts_against_nobody(
    scene: Scene, silent: Hanging, method: str
) -> None:
    http = await scene.client(
        timeout=aiohttp.ClientTimeout(total=0.3), retry=RetryPolicy(connect_timeout=20, per_try_timeout=20)
    )
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await ask(http, "http://web.default.svc/", method)
    assert [(node.failures, node.in_flight) for node in scene.nodes().values()] == [(0, 0)] * len(scene.nodes())
    assert scene.said("call.retried") == []


async def test_the_callers_total_spans_all_attempts(scene: Scene, silent: Hanging) -> None:
    http = await scene.client(
        timeout=aiohttp.ClientTimeout(total=0.5),
        retry=RetryPolicy(connect_timeout=0.1, per_try_timeout=0.1, attempts=1000),
    )
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError):
            await ask(http, "http://web.default.svc/")
    assert len(scene.said("call.retried")) < 10
    assert scene.in_flight() == 0


async def test_a_timeout_around_a_request_is_the_callers_too(scene: Scene, silent: Hanging) -> None:
    http = await scene.client(retry=RetryPolicy(connect_timeout=20, per_try_timeout=20))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await ask(http, "http://web.default.svc/")
    assert [(node.failures, node.in_flight) for node in scene.nodes().values()] == [(0, 0)] * len(scene.nodes())


async def test_the_callers_limit_on_a_connection_tries_elsewhere(scene: Scene, hung_port: int) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    scene.endpoint("web", HUNG, port=hung_port)
    http = await scene.client(
        timeout=aiohttp.ClientTimeout(sock_connect=0.2), balancer=prefer(HUNG), retry=RetryPolicy(connect_timeout=20)
    )
    async with asyncio.timeout(10):
        assert (await ask(http, deployed.url, "POST"))["at"] == deployed.pods[0].address


async def test_the_callers_limit_on_a_connection_that_passes_in_the_queue_is_no_backends_fault(scene: Scene) -> None:
    hanging = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=2, handler=hanging)
    hanging.hung.update(pod.address for pod in deployed.pods)
    http = await scene.client(timeout=aiohttp.ClientTimeout(connect=0.1), limit=1)
    first = asyncio.create_task(ask(http, deployed.url))
    await hanging.reached.wait()
    with pytest.raises(aiohttp.ConnectionTimeoutError, match="no free connection"):
        await ask(http, deployed.url)
    hanging.let.set()
    await first
    nodes = scene.nodes().values()
    assert [node.failures for node in nodes] == [0, 0]
    assert sum(node.successes for node in nodes) == len(hanging.told) == 1
    assert scene.in_flight() == 0
