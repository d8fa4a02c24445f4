"""Middleware: requests a second over 10 backends, beside plain aiohttp in turn over the same fixed addresses."""

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Iterator

import aiohttp

import discovery

from .figures import Figure, amount
from .programs import ours, say, wait_for_word

BACKENDS = 10
TASKS = 32
REQUESTS = 1000
"""In a row; then it is the other's turn."""
TURNS = 16
HOST = "backends.test"
URL = f"http://{HOST}/orders"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"


def measure(runs: int) -> Iterator[Figure]:
    said = []
    with ours("middleware") as servers:
        ports = [str(port) for port in servers.hear()["ports"]]
        for _ in range(runs):
            with ours("middleware", *ports) as program:
                said.append(program.hear())
    yield Figure(
        name="middleware",
        what=f"requests through the middleware over {BACKENDS} backends",
        unit="x",
        runs=tuple(one["ratio"] for one in said),
        at_least=0.95,
        ours=amount((one["ours"] for one in said), "requests/s"),
        anchor=f"plain aiohttp: {amount((one['plain'] for one in said), 'requests/s')}",
    )


class Backend(asyncio.Protocol):
    """Answers every request alike, as cheaply as can be: the clients are what is measured."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * data.count(b"\r\n\r\n"))


async def serve() -> None:
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Backend, "127.0.0.1", 0) for _ in range(BACKENDS)]
    say(ports=[server.sockets[0].getsockname()[1] for server in servers])
    await asyncio.to_thread(wait_for_word)


async def drive(ports: list[int]) -> None:
    target = discovery.Static([("127.0.0.1", port) for port in ports])
    plain_urls = itertools.cycle([f"http://127.0.0.1:{port}/orders" for port in ports])
    async with discovery.Discovery() as disco:
        middleware = disco.middleware(routes={HOST: target}, balancer=discovery.RoundRobin())
        async with aiohttp.ClientSession() as plain, aiohttp.ClientSession(middlewares=[middleware]) as through:
            rates: list[tuple[float, float]] = []
            for turn in range(TURNS + 2):
                sides = [(through, itertools.repeat(URL)), (plain, plain_urls)]
                found = [0.0, 0.0]
                for side in (0, 1) if turn % 2 else (1, 0):
                    found[side] = await _rate(*sides[side])
                rates.append((found[0], found[1]))
    rates = rates[2:]  # connections are made in the first two
    say(
        ratio=statistics.median(mine / theirs for mine, theirs in rates),
        ours=statistics.median(mine for mine, _ in rates),
        plain=statistics.median(theirs for _, theirs in rates),
    )


async def _rate(session: aiohttp.ClientSession, urls: Iterator[str]) -> float:
    """Requests a second, by all tasks."""
    left = iter(range(REQUESTS))

    async def work() -> None:
        for _ in left:
            async with session.get(next(urls)) as response:
                assert response.status == 200
                await response.read()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return REQUESTS / (time.perf_counter() - start)


if __name__ == "__main__":
    asyncio.run(drive([int(port) for port in sys.argv[1:]]) if sys.argv[1:] else serve())
