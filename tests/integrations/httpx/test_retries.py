"""Another backend is tried where that is safe, within the budget and the time; how often is counted at the servers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

import discovery
from discovery import Hedging, RetriesExhausted, RetryBudget, RetryPolicy
from discovery.integrations import httpx as integration
from discovery.testing import Deployment, FakePod

from ...until import until
from ..aiohttp.scene import Cutting, Scene, full, prefer, say
from .scene import ask, client

URL = "http://web.default.svc/"
HUNG = "127.203.0.3"
IDEMPOTENT = ["GET", "OPTIONS", "PUT", "DELETE"]
OTHER = ["POST", "PATCH"]


def hits(deployed: Deployment) -> list[int]:
    return [pod.requests for pod in deployed.pods]


async def cutting(scene: Scene, replicas: int = 2) -> tuple[Deployment, Cutting]:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=replicas, handler=handler)
    handler.cut.add(deployed.pods[0].address)
    return deployed, handler


class Answering:
    """A handler for `deploy`: `status` and `headers` at the backend of this address, 200 at the others."""

    def __init__(self, status: int, **headers: str) -> None:
        self.bad = ""
        self.attempts: list[tuple[str, str | None]] = []
        self._status, self._headers = status, headers

    async def __call__(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        at = request.transport.get_extra_info("sockname")[0]
        self.attempts.append((await request.text(), request.headers.get("x-attempt-count")))
        if at == self.bad or self.bad == "all":
            return web.json_response({"at": at}, status=self._status, headers=self._headers)
        return web.json_response({"at": at})


async def answering(scene: Scene, status: int, **headers: str) -> tuple[FakePod, FakePod, Answering]:
    handler = Answering(status, **headers)
    deployed = await scene.cluster.deploy("web", replicas=2, handler=handler)
    handler.bad = deployed.pods[0].address
    return *deployed.pods, handler  # type: ignore[return-value]


class Hanging:
    """A handler for `deploy`: at the backends of `hung` nothing is answered until it is released."""

    def __init__(self) -> None:
        self.hung: set[str] = set()
        self.released = asyncio.Event()

    async def __call__(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        if request.transport.get_extra_info("sockname")[0] in self.hung:
            await self.released.wait()
        return await say(request)


async def hanging(scene: Scene, replicas: int = 2) -> tuple[Deployment, Hanging]:
    handler = Hanging()
    deployed = await scene.cluster.deploy("web", replicas=replicas, handler=handler)
    handler.hung.add(deployed.pods[0].address)
    return deployed, handler


async def halves() -> AsyncIterator[bytes]:
    yield b"first "
    yield b"second"


# Never sent


@pytest.mark.parametrize("method", IDEMPOTENT + OTHER)
async def test_a_refused_connection_is_tried_at_another_backend_whatever_the_request(scene: Scene, method: str) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    dead, alive = deployed.pods
    await deployed.kill(dead)
    http = await client(scene, balancer=prefer(dead))
    answer = await ask(http, f"{URL}a?b=c", method, content=b"all of it")
    assert (answer["at"], answer["path"], answer["body"]) == (alive.address, "/a?b=c", "all of it")
    nodes = scene.nodes()
    assert (nodes[dead.address].failures, nodes[dead.address].in_flight) == (1, 0)
    assert (nodes[alive.address].failures, nodes[alive.address].successes) == (0, 1)


async def test_a_connection_that_is_not_made_in_time_is_tried_at_another_backend(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", handler=say)
    with full(HUNG) as port:
        scene.endpoint("web", HUNG, port=port)
        http = await client(scene, balancer=prefer(HUNG), retry=RetryPolicy(connect_timeout=0.4))
        assert (await ask(http, URL, "POST"))["at"] == deployed.pods[0].address
        assert scene.nodes()[HUNG].failures == 1


async def test_a_stricter_limit_of_the_client_s_own_on_connecting_holds(scene: Scene) -> None:
    with full(HUNG) as port:
        scene.service("web", slices=False)
        scene.endpoint("web", HUNG, port=port)
        http = await client(
            scene, timeout=httpx.Timeout(30, connect=0.05), retry=RetryPolicy(connect_timeout=600, attempts=1)
        )
        with pytest.raises(integration.RetriesExhausted, match="ConnectTimeout") as caught:
            await http.get(URL)
        assert f"{HUNG}:{port}" in str(caught.value)


async def test_a_body_that_is_made_while_it_is_sent_goes_elsewhere_if_none_of_it_was(scene: Scene) -> None:
    deployed = await scene.cluster.deploy("web", replicas=2, handler=say)
    await deployed.kill(deployed.pods[0])
    http = await client(scene, balancer=prefer(deployed.pods[0]))
    answer = await ask(http, URL, "POST", content=halves())
    assert (answer["at"], answer["body"]) == (deployed.pods[1].address, "first second")


# Cut before the headers


@pytest.mark.parametrize("method", [*IDEMPOTENT, "HEAD"])
async def test_a_cut_is_tried_again_if_twice_is_the_same_as_once(scene: Scene, method: str) -> None:
    deployed, _ = await cutting(scene)
    http = await client(scene, balancer=prefer(deployed.pods[0]))
    response = await http.request(method, URL, content=b"all of it")
    assert response.status_code == 200
    if method != "HEAD":
        assert response.json()["body"] == "all of it"
    assert hits(deployed) == [1, 1]
    assert scene.nodes()[deployed.pods[0].address].failures == 1


@pytest.mark.parametrize("method", OTHER)
async def test_a_cut_is_never_tried_again_if_twice_is_not_the_same_as_once(scene: Scene, method: str) -> None:
    deployed, _ = await cutting(scene)
    http = await client(scene, balancer=prefer(deployed.pods[0]))
    with pytest.raises(httpx.RemoteProtocolError, match=deployed.pods[0].address) as caught:
        await http.request(method, URL, content=b"all of it")
    assert str(caught.value.request.url) == URL
    assert hits(deployed) == [1, 0]
    assert scene.in_flight() == 0


@pytest.mark.parametrize("how", ["header", "options"])
async def test_who_says_that_twice_is_the_same_as_once_has_it_tried_again(scene: Scene, how: str) -> None:
    deployed, _ = await cutting(scene)
    http = await client(scene, balancer=prefer(deployed.pods[0]))
    headers = {"idempotency-key": "4711"} if how == "header" else {}
    with discovery.options(idempotent=True if how == "options" else None):
        assert (await ask(http, URL, "POST", content=b"x", headers=headers))["body"] == "x"
    assert hits(deployed) == [1, 1]


async def test_who_says_that_it_is_not_is_believed_too(scene: Scene) -> None:
    deployed, _ = await cutting(scene)
    http = await client(scene, balancer=prefer(deployed.pods[0]))
    with discovery.options(idempotent=False), pytest.raises(httpx.RemoteProtocolError):
        await http.get(URL)
    assert hits(deployed) == [1, 0]


@pytest.mark.parametrize("kind", ["generator", "file"])
async def test_a_body_that_is_not_in_memory_is_never_sent_again(scene: Scene, kind: str) -> None:
    deployed, _ = await cutting(scene)
    http = await client(scene, balancer=prefer(deployed.pods[0]))
    body: dict[str, Any] = {"content": halves()} if kind == "generator" else {"files": {"file": b"all of it"}}
    with pytest.raises(httpx.RemoteProtocolError):
        await http.put(URL, **body)
    assert hits(deployed) == [1, 0]


# Answers that ask for another attempt


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_answer_of_a_gateway_is_asked_for_at_another_backend(scene: Scene, status: int) -> None:
    bad, good, handler = await answering(scene, status)
    http = await client(scene, balancer=prefer(bad))
    assert (await ask(http, URL, "PUT", content=b"x"))["at"] == good.address
    assert handler.attempts == [("x", None), ("x", "2")]
    assert (scene.nodes()[bad.address].failures, scene.in_flight()) == (1, 0)


@pytest.mark.parametrize(("status", "failures"), [(400, 0), (404, 0), (429, 1), (500, 1), (501, 1)])
async def test_another_answer_is_taken_as_it_is(scene: Scene, status: int, failures: int) -> None:
    bad, _, handler = await answering(scene, status)
    http = await client(scene, balancer=prefer(bad))
    response = await http.get(URL)
    assert (response.status_code, response.json()) == (status, {"at": bad.address})
    assert len(handler.attempts) == 1
    node = scene.nodes()[bad.address]
    assert (node.failures, node.in_flight) == (failures, 0)


async def test_429_is_tried_again_where_it_says_when(scene: Scene) -> None:
    bad, good, _ = await answering(scene, 429, **{"Retry-After": "0"})
    http = await client(scene, balancer=prefer(bad))
    assert (await ask(http, URL))["at"] == good.address
    assert scene.nodes()[bad.address].consecutive_failures == 0, "it only asked for fewer"


@pytest.mark.parametrize("body", ["not idempotent", "not in memory"])
async def test_what_cannot_be_sent_again_gets_the_answer_there_is(scene: Scene, body: str) -> None:
    bad, _, handler = await answering(scene, 503)
    http = await client(scene, balancer=prefer(bad))
    response = await (http.post(URL) if body == "not idempotent" else http.put(URL, content=halves()))
    assert (response.status_code, len(handler.attempts)) == (503, 1)


async def test_when_all_answer_so_the_last_answer_is_returned_whole(scene: Scene) -> None:
    handler = Answering(503)
    handler.bad = "all"
    await scene.cluster.deploy("web", replicas=3, handler=handler)
    http = await client(scene)
    async with http.stream("GET", URL) as response:
        assert (response.status_code, scene.in_flight()) == (503, 1)
        assert "at" in (await response.aread()).decode()
    assert [number for _, number in handler.attempts] == [None, "2", "3"]
    assert scene.in_flight() == 0


async def test_the_discarded_answer_has_let_go_before_the_wait_for_the_next(scene: Scene) -> None:
    bad, _, handler = await answering(scene, 503, **{"Retry-After": "30"})
    http = await client(scene, balancer=prefer(bad))
    asking = asyncio.create_task(ask(http, URL))
    await until(lambda: scene.said("call.retried"))
    await until(lambda: scene.in_flight() == 0)
    assert not asking.done()
    asking.cancel()
    await asyncio.wait([asking])
    assert len(handler.attempts) == 1


async def test_a_wait_that_the_deadline_does_not_allow_is_not_begun(scene: Scene) -> None:
    bad, _, handler = await answering(scene, 503, **{"Retry-After": "30"})
    http = await client(scene, balancer=prefer(bad))
    with discovery.options(deadline=5):
        assert (await http.get(URL)).status_code == 503
    assert len(handler.attempts) == 1


# How often


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_attempts_are_bounded_and_the_last_cause_is_told(scene: Scene, attempts: int) -> None:
    handler = Cutting()
    deployed = await scene.cluster.deploy("web", replicas=4, handler=handler)
    handler.cut.update(pod.address for pod in deployed.pods)
    http = await client(scene, retry=RetryPolicy(attempts=attempts))
    with pytest.raises(integration.RetriesExhausted) as caught:
        await http.get(URL)
    error = caught.value
    assert isinstance(error, RetriesExhausted)
    assert isinstance(error, httpx.TransportError)
    assert isinstance(error.__cause__, httpx.RemoteProtocolError)
    assert sum(hits(deployed)) == error.attempts == attempts
    assert scene.in_flight() == 0


async def test_what_the_budget_does_not_bear_comes_to_its_own_error(scene: Scene) -> None:
    deployed, _ = await cutting(scene)
    budget = RetryBudget(ratio=0.0, minimum_per_second=1, ttl=1)
    http = await client(scene, balancer=prefer(deployed.pods[0]), outlier=None, retry=RetryPolicy(budget=budget))
    refused = 0
    for _ in range(10):
        try:
            await http.get(URL)
        except httpx.RemoteProtocolError:
            refused += 1
    assert refused >= 5
    assert len(scene.said("call.refused")) == refused
    assert hits(deployed)[1] == 10 - refused


# Time


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_backend_that_does_not_answer_in_time_has_failed(scene: Scene, method: str) -> None:
    deployed, _ = await hanging(scene)
    slow, good = deployed.pods
    http = await client(scene, balancer=prefer(slow), retry=RetryPolicy(per_try_timeout=0.4))
    if method == "GET":
        assert (await ask(http, URL))["at"] == good.address
    else:
        with pytest.raises(httpx.ReadTimeout, match=f"no answer from {slow.address}"):
            await http.post(URL)
    assert scene.nodes()[slow.address].failures == 1
    assert scene.in_flight() == 0


async def test_a_body_may_take_longer_than_a_try(scene: Scene) -> None:
    async def slowly(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(0.15)
        await response.write(b"at last")
        return response

    await scene.cluster.deploy("web", handler=slowly)
    http = await client(scene, retry=RetryPolicy(per_try_timeout=0.1))
    assert (await http.get(URL)).text == "at last"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("who", ["policy", "options"])
async def test_the_deadline_ends_all_of_it(scene: Scene, method: str, who: str) -> None:
    deployed, _ = await hanging(scene)
    http = await client(
        scene, balancer=prefer(deployed.pods[0]), retry=RetryPolicy(deadline=0.05 if who == "policy" else None)
    )
    said = discovery.options(deadline=0.05 if who == "options" else None)
    with said, pytest.raises(integration.DeadlineExceeded) as caught:
        await http.request(method, URL)
    error = caught.value
    assert isinstance(error, discovery.DeadlineExceeded)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, httpx.TimeoutException)
    assert scene.in_flight() == 0


async def test_the_server_is_told_what_is_left_of_the_time(scene: Scene) -> None:
    async def tell(request: web.Request) -> web.Response:
        return web.json_response({"left": request.headers.get("x-envoy-expected-rq-timeout-ms")})

    await scene.cluster.deploy("web", handler=tell)
    http = await client(scene)
    with discovery.options(deadline=60):
        assert 50_000 < int((await ask(http, URL))["left"]) <= 60_000
    assert (await ask(http, URL))["left"] is None


@pytest.mark.parametrize("limit", ["try", "deadline"])
async def test_a_wait_for_a_free_connection_of_the_client_s_own_is_no_backend_s_fault(scene: Scene, limit: str) -> None:
    deployed, handler = await hanging(scene, replicas=1)
    narrow = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=1))
    first = await client(scene, transport=narrow)
    held = asyncio.create_task(first.get(URL))
    await until(lambda: deployed.pods[0].requests == 1)
    retry = RetryPolicy(per_try_timeout=0.05 if limit == "try" else None)
    second = await client(scene, transport=narrow, timeout=httpx.Timeout(30, pool=1), retry=retry)
    if limit == "try":
        with pytest.raises(httpx.PoolTimeout):
            await second.get(URL)
    else:
        with discovery.options(deadline=0.3), pytest.raises(integration.DeadlineExceeded, match="no free connection"):
            await second.get(URL)
    handler.released.set()
    assert (await held).status_code == 200
    (node,) = scene.nodes().values()
    assert (node.failures, node.in_flight) == (0, 0)


async def test_the_program_s_own_trace_is_told_of_every_step(scene: Scene) -> None:
    await scene.cluster.deploy("web")
    steps: list[str] = []

    async def trace(name: str, _: object) -> None:
        steps.append(name)

    http = await client(scene, retry=RetryPolicy(per_try_timeout=30))
    await http.get(URL, extensions={"trace": trace})
    assert steps[0] == "connection.connect_tcp.started"
    assert "http11.response_closed.complete" in steps


async def test_a_transport_that_tells_nothing_is_bounded_too(scene: Scene) -> None:
    await scene.cluster.deploy("web")

    class Silent(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            raise AssertionError

    http = await client(scene, transport=Silent(), retry=RetryPolicy(per_try_timeout=0.03, attempts=2))
    with pytest.raises(integration.RetriesExhausted, match="no answer from"):
        await http.get(URL)
    with pytest.raises(httpx.ReadTimeout):
        await http.post(URL)


# Hedging


async def test_a_slow_answer_is_overtaken_by_a_copy_elsewhere(scene: Scene) -> None:
    deployed, handler = await hanging(scene)
    handler.hung.clear()
    slow, good = deployed.pods
    http = await client(
        scene, balancer=prefer(slow), hedging=Hedging(minimum_delay=0.25), retry=RetryPolicy(budget=None)
    )
    for _ in range(120):
        assert (await ask(http, URL, "PUT", content=b"x"))["at"] == slow.address
    handler.hung.add(slow.address)
    answer = await ask(http, URL, "PUT", content=b"all of it")
    assert (answer["at"], answer["body"]) == (good.address, "all of it")
    assert (len(scene.said("hedge.sent")), len(scene.said("hedge.won"))) == (1, 1)
    assert (scene.in_flight(), scene.nodes()[slow.address].failures) == (0, 0)
    for body in (b"x", halves()):
        lone = asyncio.create_task(http.request("POST" if body == b"x" else "PUT", URL, content=body))
        await until(lambda: scene.nodes()[slow.address].in_flight == 1)
        handler.released.set()
        assert (await lone).json()["at"] == slow.address
        handler.released.clear()
    assert len(scene.said("hedge.sent")) == 1, "what cannot be sent twice is not"
