"""The server's middleware: no work for a caller that has gone, no more work than was said, and exact counts of both."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from discovery import ConfigurationError, Discovery, Event
from discovery.integrations.aiohttp import server_middleware
from discovery.integrations.aiohttp.server import time_left

from ...until import until

HEADER = "x-envoy-expected-rq-timeout-ms"
SOON = {HEADER: "30"}


@asynccontextmanager
async def served(handle: Any, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a server with the middleware, whose every path is answered by one handler."""
    app = web.Application(middlewares=[server_middleware(**options)])

    async def answer(request: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = await handle(request)
        return response

    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession(server.make_url("/")) as http:
        yield http


async def status(http: aiohttp.ClientSession, path: str = "/", **options: Any) -> int:
    async with http.get(path, **options) as response:
        await response.read()
        return response.status


class Holding:
    """A handler that holds its requests until they are let, and knows what became of each."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.begun = self.ended = 0

    async def __call__(self, _: web.Request) -> web.Response:
        self.begun += 1
        try:
            await self.let.wait()
        finally:
            self.ended += 1
        return web.Response(text="let")


# The caller's deadline


async def test_a_handler_that_is_late_is_cancelled_has_ended_and_the_answer_is_504() -> None:
    ended: list[str] = []

    async def handle(_: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # what it has to clear away takes a turn of the loop
            ended.append("handler")
        return web.Response()

    events: list[Event] = []
    async with served(handle, on_event=events.append) as http, http.get("/slow?secret=1", headers=SOON) as response:
        assert (response.status, ended) == (504, ["handler"])
    assert [(event.name, event.subject, event.data) for event in events] == [
        ("server.late", "GET /slow", {"seconds": 0.03})
    ]


async def test_a_handler_that_is_in_time_is_not_touched() -> None:
    async def handle(_: web.Request) -> web.Response:
        return web.Response(text="in time")

    async with served(handle) as http:
        for _ in range(3):  # on one connection, so one that was left behind would end the next
            async with http.get("/", headers={HEADER: "60000"}) as response:
                assert await response.text() == "in time"


async def test_what_a_handler_asks_of_others_ends_with_the_caller_s_deadline() -> None:
    ended: list[BaseException] = []

    async def handle(_: web.Request) -> web.Response:
        async def hang(_: object) -> None:
            await asyncio.Event().wait()

        try:
            await pool.call(hang)
        except BaseException as error:
            ended.append(error)
            raise
        return web.Response()

    async with Discovery() as disco, disco.pool("static://127.0.0.1:1") as pool, served(handle) as http:
        await pool.ready(timeout=5)
        assert await status(http, headers=SOON) == 504
        assert sum(node.in_flight for node in pool.nodes) == 0
    assert len(ended) == 1


async def test_tasks_that_a_handler_starts_have_the_deadline_too() -> None:
    from discovery.caller import current

    seen: list[bool] = []

    async def look() -> None:
        given = current()
        seen.append(given is not None and given.deadline is not None)

    async def handle(_: web.Request) -> web.Response:
        await asyncio.create_task(look())
        return web.Response()

    async with served(handle) as http:
        await status(http, headers={HEADER: "60000"})
        await status(http)
    assert seen == [True, False]


async def test_a_response_that_has_begun_is_not_cut_off() -> None:
    late = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        asyncio.get_running_loop().call_later(0.06, late.set)
        await late.wait()
        await response.write(b"second")
        return response

    events: list[Event] = []
    async with served(handle, on_event=events.append) as http, http.get("/", headers=SOON) as response:
        assert (response.status, await response.text()) == (200, "first second")
    assert events == []


async def test_a_time_limit_of_the_handler_s_own_is_its_own_affair() -> None:
    async def handle(_: web.Request) -> web.Response:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            raise web.HTTPBadGateway from None
        return web.Response()

    events: list[Event] = []
    async with served(handle, on_event=events.append) as http:
        assert await status(http, headers={HEADER: "60000"}) == 502
    assert events == []


@pytest.mark.parametrize(
    ("said", "left"), [("1", 0.001), ("30", 0.03), ("002500", 2.5), ("3600000", 3600.0)], ids=lambda value: str(value)
)
def test_the_time_that_is_left_is_read_in_milliseconds(said: str, left: float) -> None:
    assert time_left(make_mocked_request("GET", "/", headers={HEADER: said})) == left


@pytest.mark.parametrize(
    "said",
    ["", "0", "-5", "+5", "1.5", "1e3", " ", "5 s", "NaN", "inf", "٣", "²", "0x10", "3600001", "9" * 5000],
    ids=lambda value: ascii(value[:8]),
)
def test_garbage_says_nothing(said: str) -> None:
    assert time_left(make_mocked_request("GET", "/", headers={HEADER: said})) is None


def test_two_deadlines_say_nothing() -> None:
    twice = CIMultiDict([(HEADER, "30"), (HEADER, "40")])
    assert time_left(make_mocked_request("GET", "/", headers=twice)) is None


@given(st.text())
def test_whatever_a_caller_says_is_a_sane_time_or_nothing(said: str) -> None:
    left = time_left(make_mocked_request("GET", "/", headers={HEADER: said}))
    assert left is None or 0 < left <= 3600


# The load


async def test_what_is_too_much_is_turned_away_at_once_with_the_time_to_wait() -> None:
    handle, events = Holding(), list[Event]()
    async with served(handle, max_in_flight=2, retry_after=1.5, on_event=events.append) as http:
        held = [asyncio.create_task(status(http)) for _ in range(2)]
        await until(lambda: handle.begun == 2)
        async with http.get("/more") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "2")
        assert handle.begun == 2
        handle.let.set()
        assert await asyncio.gather(*held) == [200, 200]
        assert await status(http) == 200
    assert [(event.name, event.subject, event.data) for event in events] == [
        ("server.shed", "GET /more", {"in_flight": 2})
    ]


async def test_those_who_look_after_the_server_are_always_let_in_and_count_for_nothing() -> None:
    handle = Holding()
    async with served(handle, max_in_flight=1, health={"/alive"}) as http:
        probes = [asyncio.create_task(status(http, "/alive?verbose")) for _ in range(3)]
        await until(lambda: handle.begun == 3)
        working = asyncio.create_task(status(http))
        await until(lambda: handle.begun == 4)
        assert await status(http, "/healthz") == 503
        handle.let.set()
        assert await asyncio.gather(*probes, working) == [200, 200, 200, 200]


@pytest.mark.parametrize("path", ["/health", "/healthz", "/livez", "/metrics", "/ready", "/readyz"])
async def test_the_usual_paths_of_probes_are_let_in(path: str) -> None:
    handle = Holding()
    async with served(handle, max_in_flight=1) as http:
        working = asyncio.create_task(status(http))
        await until(lambda: handle.begun == 1)
        probe = asyncio.create_task(status(http, path))
        await until(lambda: handle.begun == 2)
        handle.let.set()
        assert set(await asyncio.gather(working, probe)) == {200}


async def test_a_client_that_goes_away_gives_its_place_back() -> None:
    handle = Holding()
    async with served(handle, max_in_flight=1) as http:
        for number in range(1, 6):
            gone = asyncio.create_task(status(http))
            await until(lambda number=number: handle.begun == number)  # type: ignore[misc]
            gone.cancel()
            await until(lambda number=number: handle.ended == number)  # type: ignore[misc]
        handle.let.set()
        assert await status(http) == 200


async def test_a_handler_that_is_late_gives_its_place_back() -> None:
    handle = Holding()
    async with served(handle, max_in_flight=1) as http:
        for _ in range(3):
            assert await status(http, headers=SOON) == 504
        handle.let.set()
        assert await status(http) == 200


async def test_without_a_limit_none_is_turned_away() -> None:
    handle = Holding()
    async with served(handle) as http:
        held = [asyncio.create_task(status(http)) for _ in range(50)]
        await until(lambda: handle.begun == 50)
        handle.let.set()
        assert set(await asyncio.gather(*held)) == {200}


class Crowd:
    """Requests that a middleware with a limit has let in, each with the fate that its handler waits for."""

    def __init__(self, most: int) -> None:
        self._serve: Any = server_middleware(max_in_flight=most)
        self._most = most
        self._inside: list[tuple[asyncio.Future[str], asyncio.Task[web.StreamResponse]]] = []

    async def come(self, headers: dict[str, str]) -> None:
        """One more, that must be let in just where there is room."""
        fate: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def handle(_: web.Request) -> web.StreamResponse:
            if await fate == "fail":
                raise ValueError
            return web.Response()

        task = asyncio.create_task(self._serve(make_mocked_request("GET", "/", headers=headers), handle))
        for _ in range(3):
            await asyncio.sleep(0)
        assert task.done() is (len(self._inside) == self._most)
        if task.done():
            assert (await task).status == 503
        else:
            self._inside.append((fate, task))

    async def go(self, how: str) -> None:
        """The first that is inside ends, if any is."""
        if self._inside:
            fate, task = self._inside.pop(0)
            task.cancel() if how == "cancel" else fate.set_result(how)
            with suppress(ValueError, asyncio.CancelledError):
                await task


@given(st.lists(st.sampled_from(["come", "hurry", "answer", "fail", "cancel"]), max_size=40), st.integers(1, 4))
def test_whatever_becomes_of_requests_the_limit_holds_exactly(steps: list[str], most: int) -> None:
    async def play() -> None:
        crowd = Crowd(most)
        for step in (*steps, *["come"] * (most + 1), *["cancel"] * most):
            if step in ("come", "hurry"):
                await crowd.come({HEADER: "60000"} if step == "hurry" else {})
            else:
                await crowd.go(step)

    asyncio.run(play())


# What cannot be used


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_in_flight": 0}, "max_in_flight='0' is not a whole number of at least 1"),
        ({"max_in_flight": True}, "max_in_flight='True' is not a whole number"),
        ({"retry_after": 0}, "retry_after='0' is not a number of seconds above 0"),
        ({"retry_after": float("nan")}, "retry_after='nan' is not a number"),
        ({"health": "/healthz"}, "health='/healthz' are no paths"),
        ({"health": ["healthz"]}, "are no paths"),
        ({"health": None}, "health='None' are no paths"),
    ],
    ids=lambda value: str(value),
)
def test_an_option_that_cannot_be_used_is_said_where_it_is_written(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        server_middleware(**options)
