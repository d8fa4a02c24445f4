"""What an answer's status means: for the backend, and for the request."""

import asyncio
import io
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest
from aiohttp import web

import discovery
from discovery import RetryPolicy
from discovery.testing import Deployment

from ...until import until
from .scene import Scene, ask, prefer, say

POST = "POST"


class Answering:
    """A handler for `deploy`: whose address is in `sick` answers so. `attempts` came in `x-attempt-count`."""

    def __init__(self, status: int, **headers: str) -> None:
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.sick: set[str] = set()
        self.attempts: list[str | None] = []
        self.bodies: list[bytes] = []

    async def __call__(self, request: web.Request) -> web.Response:
        self.attempts.append(request.headers.get("x-attempt-count"))
        self.bodies.append(await request.read())
        assert request.transport is not None
        if request.transport.get_extra_info("sockname")[0] in self.sick:
            return web.Response(status=self.status, headers=self.headers, body=b"sick" * 10_000)
        return await say(request)


async def answering(scene: Scene, handler: Answering, replicas: int = 2, sick: int = 1) -> Deployment:
    deployed = await scene.cluster.deploy("web", replicas=replicas, handler=handler)
    handler.sick.update(pod.address for pod in deployed.pods[:sick])
    return deployed


def hits(deployed: Deployment) -> list[int]:
    return [pod.requests for pod in deployed.pods]


# For the backend


@pytest.mark.parametrize(
    ("status", "failures", "in_a_row"),
    [
        (200, 0, 0),
        (302, 0, 0),
        (400, 0, 0),
        (404, 0, 0),
        (408, 0, 0),
        (429, 1, 0),
        (500, 1, 1),
        (503, 1, 1),
        (599, 1, 1),
    ],
)
async def test_a_failure_of_the_server_counts_against_the_backend_and_one_of_the_client_does_not(
    scene: Scene, status: int, failures: int, in_a_row: int
) -> None:
    deployed = await answering(scene, Answering(status), replicas=1)
    http = await scene.client(retry=RetryPolicy(attempts=1))
    for method in ("GET", "GET", POST):  # the first goes another way than those after it
        async with http.request(method, deployed.url, allow_redirects=False) as response:
            assert response.status == status
    (node,) = scene.nodes().values()
    assert (node.failures, node.consecutive_failures, node.in_flight) == (3 * failures, 3 * in_a_row, 0)


async def test_a_backend_that_fails_is_at_work_until_its_answer_has_been_let_go(scene: Scene) -> None:
    async def explain(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=500)
        await response.prepare(request)
        await asyncio.Event().wait()
        return response

    deployed = await scene.cluster.deploy("web", handler=explain)
    http = await scene.client()
    for failures in (1, 2):
        async with http.get(deployed.url) as response:
            assert response.status == 500
            (node,) = scene.nodes().values()
            assert (node.failures, node.in_flight) == (failures, 1), "it counts as soon as it is known"
        assert scene.in_flight() == 0


async def test_a_backend_whose_body_breaks_off_has_failed(scene: Scene) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"first ")
        assert request.transport is not None
        request.transport.abort()
        return response

    deployed = await scene.cluster.deploy("web", replicas=2, handler=cut)
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    for _ in range(2):
        async with http.get(deployed.url) as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
    node = scene.nodes()[deployed.pods[0].address]
    assert (node.failures, node.successes, node.in_flight) == (2, 0, 0)
    assert hits(deployed) == [2, 0], "the headers were the program's already"


async def test_a_backend_whose_body_stands_still_for_longer_than_the_caller_allows_has_failed(scene: Scene) -> None:
    async def stand_still(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"first ")
        await asyncio.Event().wait()
        return response

    deployed = await scene.cluster.deploy("web", handler=stand_still)
    http = await scene.client(timeout=aiohttp.ClientTimeout(sock_read=0.1))
    async with http.get(deployed.url) as response:
        with pytest.raises(aiohttp.SocketTimeoutError):
            await response.read()
    (node,) = scene.nodes().values()
    assert (node.failures, node.successes, node.in_flight) == (1, 0, 0)


async def test_a_caller_that_lets_go_of_a_body_says_nothing_against_the_backend(scene: Scene) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await asyncio.Event().wait()
        return response

    deployed = await scene.cluster.deploy("web", handler=endless)
    http = await scene.client()
    for _ in range(2):
        response = await http.get(deployed.url)
        assert await response.content.readany() == b"first "
        response.close()
    (node,) = scene.nodes().values()
    assert (node.failures, node.in_flight) == (0, 0)


async def test_a_backend_that_only_fails_is_soon_left_out(scene: Scene) -> None:
    deployed = await answering(scene, Answering(500), replicas=3)
    http = await scene.client(retry=RetryPolicy(statuses=(500,)))
    for _ in range(60):
        await ask(http, deployed.url)
    assert deployed.pods[0].requests <= 5
    assert scene.said("backend.ejected")


# For the request


@pytest.mark.parametrize("status", [502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_what_gateways_answer_for_a_backend_is_asked_of_another_one(
    scene: Scene, status: int, method: str
) -> None:
    handler = Answering(status)
    deployed = await answering(scene, handler)
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    for _ in range(2):
        answer = await ask(http, deployed.url, method, data=b"all of it")
        assert (answer["at"], answer["body"]) == (deployed.pods[1].address, "all of it")
    assert hits(deployed) == [2, 2]
    assert handler.bodies == [b"all of it"] * 4
    assert [event.data["status"] for event in scene.said("call.retried")] == [status] * 2


@pytest.mark.parametrize("status", [400, 404, 429, 500, 501])
async def test_any_other_status_is_the_answer(scene: Scene, status: int) -> None:
    deployed = await answering(scene, Answering(status), sick=2)
    http = await scene.client()
    for _ in range(2):
        async with http.get(deployed.url) as response:
            assert response.status == status
    assert sum(hits(deployed)) == 2


@pytest.mark.parametrize("status", [418, 425, 500])
async def test_the_statuses_are_what_the_policy_says(scene: Scene, status: int) -> None:
    deployed = await answering(scene, Answering(status))
    http = await scene.client(balancer=prefer(deployed.pods[0]), retry=RetryPolicy(statuses=(status,)))
    for _ in range(2):
        assert (await ask(http, deployed.url))["at"] == deployed.pods[1].address


async def test_the_attempts_that_came_to_nothing_end_with_the_last_answer(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503), replicas=4, sick=4)
    http = await scene.client(retry=RetryPolicy(attempts=3))
    async with http.get(deployed.url) as response:
        assert response.status == 503
        assert await response.read() == b"sick" * 10_000
    assert sum(hits(deployed)) == 3
    assert scene.in_flight() == 0


async def test_attempts_that_end_in_errors_and_in_answers_are_counted_together(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503), replicas=3, sick=2)
    await deployed.kill(deployed.pods[0])
    http = await scene.client(balancer=prefer(*deployed.pods), retry=RetryPolicy(attempts=2))
    async with http.get(deployed.url) as response:
        assert response.status == 503
    assert hits(deployed) == [0, 1, 0]


# Whether it may be sent twice


async def test_an_answer_to_what_must_not_be_sent_twice_is_the_answer(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503), sick=2)
    http = await scene.client()
    for _ in range(2):
        async with http.post(deployed.url, data=b"x") as response:
            assert response.status == 503
    assert sum(hits(deployed)) == 2


@pytest.mark.parametrize("header", ["Idempotency-Key", "idempotency-key"])
async def test_a_request_that_the_server_knows_by_a_key_may_be_sent_twice(scene: Scene, header: str) -> None:
    deployed = await answering(scene, Answering(503))
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    for _ in range(2):
        answer = await ask(http, deployed.url, POST, data=b"x", headers={header: "7f3a"})
        assert (answer["at"], answer["body"]) == (deployed.pods[1].address, "x")


async def test_a_request_that_its_caller_vouches_for_may_be_sent_twice(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503))
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    with discovery.options(idempotent=True):
        for _ in range(2):
            assert (await ask(http, deployed.url, POST, data=b"x"))["at"] == deployed.pods[1].address
    async with http.post(deployed.url, data=b"x") as response:
        assert response.status == 503


async def test_a_request_that_its_caller_warns_of_is_sent_once(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503), sick=2)
    http = await scene.client()
    with discovery.options(idempotent=False):
        async with http.get(deployed.url) as response:
            assert response.status == 503
    assert sum(hits(deployed)) == 1


async def test_a_body_that_can_be_read_once_is_not_sent_empty(scene: Scene) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first "
        yield b"second"

    handler = Answering(503)
    deployed = await answering(scene, handler, sick=2)
    http = await scene.client()
    for _ in range(2):
        async with http.put(deployed.url, data=parts()) as response:
            assert response.status == 503
    with discovery.options(idempotent=True):
        async with http.post(deployed.url, data=parts()) as response:
            assert response.status == 503
    assert handler.bodies == [b"first second"] * 3


async def test_a_body_that_is_refused_before_all_of_it_has_arrived_is_sent_anew_from_its_beginning(
    scene: Scene,
) -> None:
    whole = bytes(range(256)) * 2**15  # 8 MiB: more than sockets hold
    arrived: list[bytes] = []

    async def refuse_early(request: web.Request) -> web.Response:
        assert request.transport is not None
        if request.transport.get_extra_info("sockname")[0] == deployed.pods[0].address:
            return web.Response(status=503)
        arrived.append(b"".join([part async for part in request.content.iter_any()]))
        return web.Response()

    deployed = await scene.cluster.deploy("web", replicas=2, handler=refuse_early)
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    for _ in range(2):
        async with http.put(deployed.url, data=io.BytesIO(whole)) as response:
            assert response.status == 200
    assert [part == whole for part in arrived] == [True, True]
    assert scene.in_flight() == 0


# Retry-After


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_server_that_says_when_is_asked_again_then(scene: Scene, status: int, form: str) -> None:
    wait = "0" if form == "seconds" else formatdate(0, usegmt=True)
    deployed = await answering(scene, Answering(status, Retry_After=wait))
    http = await scene.client(balancer=prefer(deployed.pods[0]))
    for _ in range(2):
        assert (await ask(http, deployed.url))["at"] == deployed.pods[1].address
    assert [event.data["delay"] for event in scene.said("call.retried")] == [0, 0]


@pytest.mark.parametrize("wait", ["soon", "-1", "1.5", "1e3", "", "9" * 400, "inf", "٣"])
async def test_a_wait_that_cannot_be_read_is_none(scene: Scene, wait: str) -> None:
    handler = Answering(429, Retry_After=wait)
    deployed = await answering(scene, handler, sick=2)
    http = await scene.client()
    async with http.get(deployed.url) as response:
        assert response.status == 429
    handler.status = 503
    handler.sick = {deployed.pods[0].address}
    for _ in range(3):
        await ask(http, deployed.url)
    assert all(event.data["delay"] < 1 for event in scene.said("call.retried"))


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_ends_after_the_deadline_is_not_waited_for(scene: Scene, status: int) -> None:
    deployed = await answering(scene, Answering(status, Retry_After="30"), sick=2)
    http = await scene.client(retry=RetryPolicy(deadline=20))
    async with asyncio.timeout(10), http.get(deployed.url) as response:
        assert response.status == status
    assert sum(hits(deployed)) == 1


async def test_a_wait_longer_than_any_that_is_waited_for_ends_with_the_answer(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503, Retry_After="3600"), sick=2)
    http = await scene.client()
    async with asyncio.timeout(10), http.get(deployed.url) as response:
        assert response.status == 503


async def test_an_answer_that_is_not_wanted_has_let_go_before_the_wait(scene: Scene) -> None:
    deployed = await answering(scene, Answering(503, Retry_After="1"), replicas=1)
    http = await scene.client()
    asking = asyncio.create_task(ask(http, deployed.url))
    await until(lambda: scene.said("call.retried"))
    await until(lambda: scene.in_flight() == 0)
    assert isinstance(http.connector, aiohttp.TCPConnector)
    assert not http.connector._acquired
    asking.cancel()
    await asyncio.wait([asking])


# What the server is told


@pytest.mark.parametrize("attempts", [1, 2, 4])
async def test_a_server_is_told_which_attempt_it_sees_from_the_second_on(scene: Scene, attempts: int) -> None:
    handler = Answering(503)
    deployed = await answering(scene, handler, replicas=3, sick=3)
    http = await scene.client(retry=RetryPolicy(attempts=attempts))
    for _ in range(2):
        handler.attempts.clear()
        async with http.get(deployed.url, headers={"x-own": "kept"}) as response:
            assert response.request_info.headers["x-own"] == "kept"
        assert handler.attempts == [None, "2", "3", "4"][:attempts]


async def test_the_number_of_an_attempt_is_not_in_what_another_middleware_sends_again(scene: Scene) -> None:
    handler = Answering(503)
    deployed = await answering(scene, handler, sick=2)

    async def twice(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        (await send(request)).release()
        return await send(request)

    ours: Any = scene.disco.middleware(retry=RetryPolicy(attempts=2))
    async with aiohttp.ClientSession(middlewares=[twice, ours]) as http, http.get(deployed.url):
        assert handler.attempts == [None, "2", None, "2"]
