"""Middleware: requests a second over 10 backends with each policy, beside plain aiohttp and HAProxy as a sidecar.

All take turns over the same fixed addresses. Plain aiohttp goes round them by itself; HAProxy takes what it is sent at
one port, round robin. Outlier detection, retries and their budget are on, as they are by default.

The client has one core, and HAProxy the same one, as a program and its sidecar share the processor time of their pod;
the backends have another. Beside it a HAProxy on that other core tells what its work amounts to: there it is free.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack

import aiohttp

import discovery

from .figures import Figure, amount
from .programs import ours, say
from .traffic.cores import cores, on_core
from .traffic.haproxy import haproxy
from .traffic.through import HOST, through

BACKENDS = 10
TASKS = 32
REQUESTS = 1000
"""In a row; then it is another's turn."""
TURNS = 16
POLICIES: dict[str, discovery.Balancer] = {
    "round_robin": discovery.RoundRobin(),
    "least_request": discovery.LeastRequest(),
}
TO_PLAIN = {"round_robin": 0.95}
"""At least so much of plain aiohttp's; 0.93 of the others."""


def measure(runs: int) -> Iterator[Figure]:
    said = []
    here, elsewhere = cores()
    with ExitStack() as stack:
        with on_core(elsewhere):
            ports = stack.enter_context(ours("traffic.backends", str(BACKENDS))).hear()["ports"]
            apart = stack.enter_context(haproxy(ports, {"apart": "roundrobin"}))
        with on_core(here):
            sidecars = {**stack.enter_context(haproxy(ports, {"sidecar": "roundrobin"})), **apart}
            for _ in range(runs):
                with ours("middleware", json.dumps(sidecars), json.dumps(ports)) as program:
                    said.append(program.hear())
    rates = {side: amount((one["rates"][side] for one in said), "requests/s") for side in said[0]["rates"]}
    for name in POLICIES:
        title = name.replace("_", " ")
        yield Figure(
            name=f"middleware_{name}",
            what=f"requests through the middleware over {BACKENDS} backends, {title}",
            unit="x",
            runs=tuple(one["to_plain"][name] for one in said),
            at_least=TO_PLAIN.get(name, 0.93),
            ours=rates[name],
            anchor=f"plain aiohttp: {rates['plain']}",
        )
        yield Figure(
            name=f"sidecar_{name}",
            what=f"the same beside a sidecar, {title}",
            unit="x",
            runs=tuple(one["to_sidecar"][name] for one in said),
            at_least=1.2,
            ours=rates[name],
            anchor=f"HAProxy as a sidecar: {rates['sidecar']}; on the backends' core {rates['apart']}",
        )


async def drive(sidecars: dict[str, int], ports: list[int]) -> None:
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(aiohttp.ClientSession())
        sides = {
            "plain": (plain, itertools.cycle([_orders(f"127.0.0.1:{port}") for port in ports])),
            **{name: (plain, itertools.repeat(_orders(f"127.0.0.1:{port}"))) for name, port in sidecars.items()},
        }
        for name, balancer in POLICIES.items():
            session = await stack.enter_async_context(through(ports, balancer=balancer))
            sides[name] = session, itertools.repeat(_orders(HOST))
        rates: list[dict[str, float]] = []
        for turn in range(TURNS + 2):
            order = list(sides)[:: 1 if turn % 2 else -1]
            rates.append({name: await _rate(*sides[name]) for name in order})
    rates = rates[2:]  # connections are made in the first two
    say(
        rates={name: statistics.median(turn[name] for turn in rates) for name in sides},
        to_plain={name: statistics.median(turn[name] / turn["plain"] for turn in rates) for name in POLICIES},
        to_sidecar={name: statistics.median(turn[name] / turn["sidecar"] for turn in rates) for name in POLICIES},
    )


def _orders(host: str) -> str:
    return f"http://{host}/orders"


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
    asyncio.run(drive(json.loads(sys.argv[1]), json.loads(sys.argv[2])))
