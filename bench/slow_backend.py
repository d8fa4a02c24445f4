"""A slow backend: the tail of 10 backends of which one is 20 times slower, beside HAProxy in turn over the same ones.

Requests take 5 ms in the mean, exponentially distributed, however many a backend has: 40 clients have one each.
"""

import asyncio
import itertools
import json
import statistics
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack

import aiohttp

import discovery

from .figures import Figure, amount, percentile
from .programs import ours, say
from .traffic.behaviour import Behaviour, Remote
from .traffic.haproxy import haproxy
from .traffic.load import closed_loop, latencies
from .traffic.through import HOST, through

BACKENDS = 10
MEAN = 0.005
SLOWER = 20
CLIENTS = 40
SECONDS = 1.0
"""In a row; then it is another's turn."""
TURNS = 8
POLICIES: dict[str, discovery.Balancer] = {
    "least_request": discovery.LeastRequest(),
    "peak_ewma": discovery.PeakEwma(),
}
BOUNDS = {"least_request": 1.05, "peak_ewma": 1.0}
ANCHORS = {"leastconn": "leastconn", "random_2": "random(2)", "roundrobin": "roundrobin"}


def measure(runs: int) -> Iterator[Figure]:
    said = []
    with ours("traffic.backends", str(BACKENDS)) as backends:
        places = backends.hear()
        with haproxy(places["ports"], ANCHORS) as proxy:
            for _ in range(runs):
                with ours("slow_backend", str(places["control"]), json.dumps(proxy.ports)) as program:
                    said.append(program.hear())
    beside = ", ".join(
        f"{algorithm} {amount((one[name] for one in said), 'ms', 1000)}" for name, algorithm in ANCHORS.items()
    )
    for name in POLICIES:
        yield Figure(
            name=f"slow_backend_{name}",
            what=f"p99 over {BACKENDS} backends, one {SLOWER} times slower, {name.replace('_', ' ')}",
            unit="x",
            runs=tuple(one["ratio"][name] for one in said),
            at_most=BOUNDS[name],
            ours=amount((one[name] for one in said), "ms", 1000),
            anchor=f"HAProxy: {beside}",
        )


async def drive(control: int, fronts: dict[str, int]) -> None:
    async with AsyncExitStack() as stack:
        backends = await Remote.connect(control)
        stack.push_async_callback(backends.aclose)
        await backends.become(Behaviour(mean=MEAN))
        await backends.become(Behaviour(mean=MEAN * SLOWER), [0])
        sides = {}
        for name, port in fronts.items():
            plain = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
            sides[name] = await stack.enter_async_context(plain), f"http://127.0.0.1:{port}/orders"
        for name, balancer in POLICIES.items():
            session = await stack.enter_async_context(through(backends.ports, balancer=balancer))
            sides[name] = session, f"http://{HOST}/orders"
        tails: dict[str, list[float]] = {name: [] for name in sides}
        for turn in range(TURNS + 1):
            for name in list(sides)[:: 1 if turn % 2 else -1]:
                session, url = sides[name]
                done = await closed_loop(session, itertools.repeat(url), clients=CLIENTS, seconds=SECONDS)
                assert all(one.well for one in done), [one for one in done if not one.well][:3]
                tails[name].append(percentile(latencies(done), 99))
    for found in tails.values():
        del found[0]  # connections are made in it
    say(
        **{name: statistics.median(found) for name, found in tails.items()},
        ratio={
            name: statistics.median(mine / theirs for mine, theirs in zip(tails[name], tails["leastconn"], strict=True))
            for name in POLICIES
        },
    )


if __name__ == "__main__":
    asyncio.run(drive(int(sys.argv[1]), json.loads(sys.argv[2])))
