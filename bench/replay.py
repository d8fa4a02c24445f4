"""Replay: 50,000 recorded events as fast as they are taken, beside a client-go informer that reads the same JSON."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from urllib.parse import urlsplit

import discovery

from .figures import Figure, amount, ratios
from .population import NAMESPACE, service
from .programs import anchor, ours, say
from .servers import ReplayServer, replay_server

SERVICES = 100
ENDPOINTS = 10
ROUNDS = 500
EVENTS = SERVICES * ROUNDS
LAST_ADDRESS = "10.255.0.{}"
"""Of the first endpoint of each slice, after its last event."""


def measure(runs: int) -> Iterator[Figure]:
    mine, theirs = [], []
    with replay_server(f"svc:{SERVICES}x1x{ENDPOINTS}", rounds=ROUNDS) as server:
        assert server.events == EVENTS
        for _ in range(runs):
            theirs.append(EVENTS / _replay_anchor(server))
            mine.append(EVENTS / _replay_ours(server))
    one, other = amount(mine, "events/s"), f"client-go, JSON: {amount(theirs, 'events/s')}"
    what = f"{EVENTS:,} slice events of {ENDPOINTS} endpoints, replayed"
    yield Figure(name="replay", what=what, unit="x", runs=ratios(mine, theirs), at_least=5, ours=one, anchor=other)
    yield Figure(
        name="replay_rate",
        what="the same",
        unit="events/s",
        runs=tuple(mine),
        at_least=15_000,
        ours=one,
        anchor=other,
    )


def _replay_anchor(server: ReplayServer) -> float:
    server.reset()
    access = "-kubeconfig", server.kubeconfig, "-server", server.url
    with anchor("replay", *access, "-last", server.last) as program:
        said = program.hear()
    assert (said["events"], said["services"]) == (EVENTS, SERVICES), said
    return float(said["seconds"])


def _replay_ours(server: ReplayServer) -> float:
    server.reset()
    with ours("replay", server.kubeconfig, server.url) as program:
        return float(program.hear()["seconds"])


async def program(kubeconfig: str, url: str) -> None:
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        pools = [disco.pool(f"endpoints://{NAMESPACE}/{service(index)}:http") for index in range(SERVICES)]
        await asyncio.gather(*(pool.ready(timeout=30) for pool in pools))
        await asyncio.sleep(1)  # the one watch of all hundred stands
        last = asyncio.create_task(_appeared(pools[-1], LAST_ADDRESS.format(SERVICES - 1)))
        await asyncio.sleep(0)
        start = time.perf_counter()
        async with orders(url) as order:
            await order("/bench/replay")
            await last
        seconds = time.perf_counter() - start
        for index, pool in enumerate(pools):
            assert LAST_ADDRESS.format(index) in {backend.address for backend in pool.backends}, pool
        say(seconds=seconds)


async def _appeared(pool: discovery.Pool, address: str) -> None:
    """Returns once the pool has a backend of this address."""
    async for change in pool.changes():
        if any(backend.address == address for backend in change.added):
            return


@contextlib.asynccontextmanager
async def orders(url: str) -> AsyncIterator[Callable[[str], Awaitable[None]]]:
    """A connection on which POSTs without a body go to a server, at little cost."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    async def order(path: str) -> None:
        writer.write(f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: 0\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert b" 200 OK\r\n" in head, head
        assert b"\r\nContent-Length: 0\r\n" in head, head

    yield order
    writer.close()


if __name__ == "__main__":
    asyncio.run(program(sys.argv[1], sys.argv[2]))
