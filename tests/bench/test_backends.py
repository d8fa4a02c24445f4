"""Backends of the benchmarks: they behave as they are told, at the same port, and know what came to them."""

import asyncio
import random
from collections.abc import AsyncIterator

import aiohttp
import pytest

from bench.programs import ours
from bench.traffic.behaviour import Behaviour, Remote


@pytest.fixture(scope="module")
def control() -> object:
    with ours("traffic.backends", "3") as backends:
        yield backends.hear()["control"]


@pytest.fixture
async def backends(control: int) -> AsyncIterator[Remote]:
    remote = await Remote.connect(control)
    await remote.become(Behaviour())
    await remote.arrivals()
    yield remote
    await remote.aclose()


async def _status(session: aiohttp.ClientSession, port: int) -> int:
    async with session.get(f"http://127.0.0.1:{port}/") as response:
        await response.read()
        return response.status


async def test_each_answers_and_counts_its_own_requests(backends: Remote) -> None:
    async with aiohttp.ClientSession() as session:
        for port in backends.ports[:2] * 2:
            assert await _status(session, port) == 200
    assert [len(came) for came in await backends.arrivals()] == [2, 2, 0]
    assert [len(came) for came in await backends.arrivals()] == [0, 0, 0]


async def test_a_connection_that_is_kept_is_counted_once(backends: Remote) -> None:
    before = await backends.connections()
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            await _status(session, backends.ports[0])
    assert await backends.connections() == before + 1


async def test_only_those_that_are_told_change(backends: Remote) -> None:
    await backends.become(Behaviour(status=503), [1])
    async with aiohttp.ClientSession() as session:
        assert [await _status(session, port) for port in backends.ports] == [200, 503, 200]


async def test_one_that_hangs_takes_requests_and_answers_none(backends: Remote) -> None:
    await backends.become(Behaviour(hangs=True), [0])
    came = 0
    async with aiohttp.ClientSession() as session:
        asking = asyncio.create_task(_status(session, backends.ports[0]))
        while not came:
            came += len((await backends.arrivals())[0])
        assert not asking.done()
        asking.cancel()
        await asyncio.wait([asking])


async def test_one_that_is_gone_cuts_and_refuses_and_comes_back_where_it_was(backends: Remote) -> None:
    port = backends.ports[2]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await backends.become(Behaviour(gone=True), [2])
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await _status(session, port)
        await backends.become(Behaviour(), [2])
        assert await _status(session, port) == 200


async def test_a_request_in_pieces_is_one_request(backends: Remote) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", backends.ports[0])
    for piece in b"GET / HTTP/1.1\r\nHost: a\r\n\r", b"\nGET / HTTP/1.1\r\n\r\n":
        writer.write(piece)
        await asyncio.sleep(0)
    answers = b""
    while answers.count(b"ok\n") < 2:
        answers += await reader.read(1000)
    assert [len(came) for came in await backends.arrivals()] == [2, 0, 0]
    writer.close()
    await writer.wait_closed()


def test_times_are_exponential_and_some_are_longer() -> None:
    rng = random.Random(1)
    plain = [Behaviour(mean=0.005).seconds(rng) for _ in range(20_000)]
    mixed = [Behaviour(mean=0.005, slow=0.01, times=100).seconds(rng) for _ in range(20_000)]
    assert sum(plain) / len(plain) == pytest.approx(0.005, rel=0.05)
    assert sum(mixed) / len(mixed) == pytest.approx(0.005 * (0.99 + 0.01 * 100), rel=0.15)
    assert Behaviour().seconds(rng) == 0
