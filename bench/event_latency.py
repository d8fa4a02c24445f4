"""Event latency: from a write to a pool's change, beside a client-go informer that sees the same events."""

import asyncio
import sys
import time
from collections.abc import Iterator

import discovery

from .figures import Figure, amount, percentile
from .population import NAMESPACE, service
from .programs import anchor, ours, say, wait_for_word
from .servers import ApiServer, api_server

SERVICES = 10
ENDPOINTS = 10
RATE = 100
SECONDS = 20
MILLISECOND = 1e6
SEEN_AT_LEAST = 0.99
"""Of the events; one more write may come to a slice before the one before it has been read, and stand for both."""


def measure(runs: int) -> Iterator[Figure]:
    with api_server() as server:
        server.load(SERVICES, ENDPOINTS)
        pairs = [_watch_both(server) for _ in range(runs)]
    mine, theirs = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    for percent, bound in (50, None), (99, 2.0):
        one = [percentile(run, percent) for run in mine]
        other = [percentile(run, percent) for run in theirs]
        yield Figure(
            name=f"event_latency_p{percent}",
            what=f"event to pool at {RATE} events/s, p{percent}, more than client-go",
            unit="ms",
            runs=tuple(a - b for a, b in zip(one, other, strict=True)),
            at_most=bound,
            ours=amount(one, "ms"),
            anchor=f"client-go: {amount(other, 'ms')}",
        )


def _watch_both(server: ApiServer) -> tuple[list[float], list[float]]:
    """Milliseconds of each event, at us and at client-go."""
    access = "-kubeconfig", server.kubeconfig
    with ours("event_latency", server.kubeconfig) as mine, anchor("latency", *access) as theirs:
        assert mine.hear()["ready"] == theirs.hear()["ready"] == SERVICES
        time.sleep(1)
        with anchor("write", *access, "-rate", str(RATE), "-seconds", str(SECONDS)) as writer:
            written = writer.hear()
        assert not written["failed"], written
        time.sleep(1)
        mine.finish()
        theirs.finish()
        one, other = mine.hear()["latencies"], theirs.hear()["latencies"]
    both = one.keys() & other.keys()
    assert len(both) >= SEEN_AT_LEAST * written["writes"], (len(one), len(other), written)
    return [one[key] / MILLISECOND for key in both], [other[key] / MILLISECOND for key in both]


async def program(kubeconfig: str) -> None:
    seen: dict[str, int] = {}
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        pools = [disco.pool(f"endpoints://{NAMESPACE}/{service(index)}:http") for index in range(SERVICES)]
        await asyncio.gather(*(pool.ready(timeout=10) for pool in pools))
        following = [asyncio.create_task(_follow(pool, seen)) for pool in pools]
        say(ready=len(pools))
        await asyncio.to_thread(wait_for_word)
        for task in following:
            task.cancel()
    say(latencies=seen)


async def _follow(pool: discovery.Pool, seen: dict[str, int]) -> None:
    async for change in pool.changes():
        now = time.monotonic_ns()
        for backend in change.updated:
            if backend.hostname.startswith("t"):
                seen.setdefault(backend.hostname, now - int(backend.hostname[1:]))


if __name__ == "__main__":
    asyncio.run(program(sys.argv[1]))
