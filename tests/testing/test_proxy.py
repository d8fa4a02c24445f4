"""What goes through a Service's own address arrives as it was sent, in both directions, also half closed."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from discovery.testing import FakePod
from discovery.testing.proxy import Proxy

SIZE = 5_000_000


def pod(port: int) -> FakePod:
    return FakePod("default", "web", "node-1", "zone-a", address="127.0.0.1", port=port)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    yield made
    await made.aclose()


async def test_what_a_peer_says_after_the_other_has_said_all_arrives_to_its_end(proxy: Proxy) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.read()  # to its end
        writer.write(asked[:1] * SIZE)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        behind = pod(server.sockets[0].getsockname()[1])
        assert await proxy.listen("127.77.0.1", 8080, lambda: behind)
        reader, writer = await asyncio.open_connection("127.77.0.1", 8080)
        writer.write(b"x" * SIZE)
        writer.write_eof()
        assert len(await reader.read()) == SIZE
        writer.close()


async def test_where_there_is_no_pod_or_none_that_listens_the_connection_breaks(proxy: Proxy) -> None:
    pods = iter([None, pod(1)])
    assert await proxy.listen("127.77.0.1", 8080, lambda: next(pods))
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.77.0.1", 8080)
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()


async def test_a_place_that_is_taken_is_an_error_and_one_that_is_not_ours_is_told(proxy: Proxy) -> None:
    assert await proxy.listen("127.77.0.1", 8080, lambda: None)
    with pytest.raises(OSError, match="in use"):
        await proxy.listen("127.77.0.1", 8080, lambda: None)
    assert not await proxy.listen("203.0.113.7", 8080, lambda: None)
    await proxy.close("127.77.0.1", 8080)
    assert await proxy.listen("127.77.0.1", 8080, lambda: None)
