"""Big service: what one event costs at a service of 5,000 endpoints, beside the same event at one of 100.

An event is counted in processor time of the whole process: it is sent, given time to arrive, and then a pick is made,
so that nothing can be put off. The same steps for a service that nobody follows are the cost of measuring.
"""

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import discovery

from .figures import Figure, amount, ratios
from .population import NAMESPACE
from .programs import ours, say
from .replay import orders
from .servers import replay_server

SERVICES = ("big:1x50x100", "small:1x1x100", "other:1x1x100")
ENDPOINTS = {"big": 5000, "small": 100}
EVENTS = 20
"""In a row; then it is another service's turn."""
TURNS = 10
SECONDS = 0.004
"""For an event to arrive."""
MICROSECOND = 1e-6


def measure(runs: int) -> Iterator[Figure]:
    big, small = [], []
    with replay_server(*SERVICES) as server:
        for _ in range(runs):
            server.reset()
            with ours("big_service", server.kubeconfig, server.url) as program:
                said = program.hear()
            big.append(said["big"] - said["other"])
            small.append(said["small"] - said["other"])
    yield Figure(
        name="big_service",
        what="one event at a service of 5,000 endpoints, slices of 100",
        unit="x",
        runs=ratios(big, small),
        at_most=1.5,
        ours=amount(big, "us", 1 / MICROSECOND),
        anchor=f"at a service of 100 endpoints: {amount(small, 'us', 1 / MICROSECOND)}",
    )


async def program(kubeconfig: str, url: str) -> None:
    costs: dict[str, list[float]] = {"big": [], "small": [], "other": []}
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        pools = {name: disco.pool(f"endpoints://{NAMESPACE}/{name}:http") for name in ENDPOINTS}
        await asyncio.gather(*(pool.ready(timeout=30) for pool in pools.values()))
        await asyncio.sleep(1)
        async with orders(url) as order:
            for turn in range(TURNS + 1):
                for name, taken in costs.items():
                    cost = await _turn(order, name, pools.get(name, pools["small"]))
                    if turn:  # the first is for warming up
                        taken.append(cost / EVENTS)
    say(**{name: statistics.median(taken) for name, taken in costs.items()})


async def _turn(order: Callable[[str], Awaitable[None]], name: str, pool: discovery.Pool) -> float:
    """Processor seconds of events and picks; the number of usable backends must follow each event."""
    all_of_them = ENDPOINTS.get(name)
    start = time.process_time()
    for event in range(EVENTS):
        await order(f"/bench/flip?service={name}")
        await asyncio.sleep(SECONDS)
        if all_of_them is not None:
            async with asyncio.timeout(5):
                while pool.status.backends != all_of_them - (event + 1) % 2:  # noqa: ASYNC110 - cheaper than changes()
                    await asyncio.sleep(SECONDS)
        with pool.pick():
            pass
    return time.process_time() - start


if __name__ == "__main__":
    asyncio.run(program(sys.argv[1], sys.argv[2]))
