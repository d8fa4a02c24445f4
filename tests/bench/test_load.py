"""Load of the benchmarks: every request is told once, and what is counted in a second is what lies within one."""

import itertools

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from bench.traffic.load import Exchange, closed_loop, latencies, most_in_a_second, open_loop


@pytest.mark.parametrize(
    ("times", "most"),
    [((), 0), ((5.0,), 1), ((0.0, 1.0), 1), ((0.0, 0.9, 1.8), 2), ((3.0, 0.2, 0.1, 0.0), 3)],
)
def test_a_second_ends_before_the_moment_that_begins_the_next(times: tuple[float, ...], most: int) -> None:
    assert most_in_a_second(times) == most


@given(st.lists(st.integers(0, 5000), max_size=60))
def test_the_most_in_a_second_begins_with_one_of_them(milliseconds: list[int]) -> None:
    most = max((sum(one <= other < one + 1000 for other in milliseconds) for one in milliseconds), default=0)
    # Eighths of a second are exact: no rounding decides.
    assert most_in_a_second(one / 1000 for one in milliseconds) in (most, most + 1, most - 1)
    eighths = [one // 125 for one in milliseconds]
    most = max((sum(one <= other < one + 8 for other in eighths) for one in eighths), default=0)
    assert most_in_a_second(one / 8 for one in eighths) == most


def test_latencies_are_of_requests_that_went_well() -> None:
    assert latencies([Exchange(0.0, 0.1, 200), Exchange(0.0, 0.2, 503), Exchange(0.0, 0.3, 0, "Broken")]) == [0.1]


@pytest.fixture
async def url(unused_tcp_port: int) -> object:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=int(request.query.get("status", 200)))

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    yield f"http://127.0.0.1:{unused_tcp_port}/"
    await runner.cleanup()


async def test_a_closed_loop_ends_with_its_urls(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        done = await closed_loop(session, itertools.repeat(url, 25), clients=4)
    assert [one.status for one in done] == [200] * 25


async def test_a_closed_loop_ends_with_its_time(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        done = await closed_loop(session, itertools.repeat(url), clients=3, seconds=0.0)
    assert len(done) == 3


async def test_an_open_loop_tells_each_request_in_order(url: str) -> None:
    async with aiohttp.ClientSession() as session:
        done = await open_loop(session, f"{url}?status=503", rate=200, seconds=0.1)
    assert [one.status for one in done] == [503] * 20
    assert not any(one.well for one in done)
    assert sorted(one.began for one in done) == [one.began for one in done]


async def test_a_request_without_an_answer_tells_its_error(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        (one,) = await open_loop(session, f"http://127.0.0.1:{unused_tcp_port}/", rate=10, seconds=0.1)
    assert (one.status, one.error) == (0, "ClientConnectorError")
