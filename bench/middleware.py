"""Middleware: requests over 10 backends with each policy, beside plain aiohttp and HAProxy as a sidecar.

All take turns over the same fixed addresses. Plain aiohttp goes round them by itself; HAProxy takes what it is sent at
one port, round robin. Outlier detection, retries and their budget are on, as they are by default.

The client has one core, and HAProxy the same one, as a program and its sidecar share the processor time of their pod;
the backends have another. That core is all that limits the requests: so what is told is requests for each second of it,
of the client and of what shares its pod, and what else the machine does is left out. Beside it, a HAProxy on the other
core tells what its work amounts to: there it is free.
"""

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack

import aiohttp

import discovery
from discovery.balancing import is_keyed

from .figures import Figure, amount
from .programs import ours, say
from .traffic.cores import cores, on_core, seconds_run
from .traffic.haproxy import haproxy
from .traffic.load import closed_loop
from .traffic.through import HOST, through

BACKENDS = 10
TASKS = 32
REQUESTS = 1000
"""In a row; then it is another's turn."""
TURNS = 12
POLICIES: dict[str, discovery.Balancer] = {
    "round_robin": discovery.RoundRobin(),
    "random": discovery.Random(),
    "least_request": discovery.LeastRequest(),
    "peak_ewma": discovery.PeakEwma(),
    "rendezvous": discovery.RendezvousHash(),
    "maglev": discovery.Maglev(),
}
TO_PLAIN = 0.93
"""At least so much of plain aiohttp's."""


def measure(runs: int) -> Iterator[Figure]:
    said = []
    here, elsewhere = cores()
    with ExitStack() as stack:
        with on_core(elsewhere):
            ports = stack.enter_context(ours("traffic.backends", str(BACKENDS))).hear()["ports"]
            apart = stack.enter_context(haproxy(ports, {"apart": "roundrobin"}))
        with on_core(here):
            sidecar = stack.enter_context(haproxy(ports, {"sidecar": "roundrobin"}))
            arguments = json.dumps({**sidecar.ports, **apart.ports}), json.dumps(ports), str(sidecar.pid)
            for _ in range(runs):
                with ours("middleware", *arguments) as program:
                    said.append(program.hear())
    rates = {side: amount((one["rates"][side] for one in said), "requests/s of a core") for side in said[0]["rates"]}
    for name in POLICIES:
        title = name.replace("_", " ")
        yield Figure(
            name=f"middleware_{name}",
            what=f"requests through the middleware over {BACKENDS} backends, {title}",
            unit="x",
            runs=tuple(one["to_plain"][name] for one in said),
            at_least=TO_PLAIN,
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


async def drive(proxies: dict[str, int], ports: list[int], sidecar: int) -> None:
    async with AsyncExitStack() as stack:
        plain = await stack.enter_async_context(aiohttp.ClientSession())
        sides = {"plain": (plain, _orders(f"127.0.0.1:{port}" for port in ports))}
        for name, port in proxies.items():
            sides[name] = plain, _orders([f"127.0.0.1:{port}"] * BACKENDS)
        for name, balancer in POLICIES.items():
            key = _path if is_keyed(balancer) else None
            session = await stack.enter_async_context(through(ports, balancer=balancer, key=key))
            sides[name] = session, _orders([HOST] * BACKENDS)
        rates: list[dict[str, float]] = []
        for turn in range(TURNS + 2):
            order = list(sides)[:: 1 if turn % 2 else -1]
            rates.append({name: await _rate(*sides[name], sidecar if name == "sidecar" else None) for name in order})
    rates = rates[2:]  # connections are made in the first two
    say(
        rates={name: statistics.median(turn[name] for turn in rates) for name in sides},
        to_plain={name: statistics.median(turn[name] / turn["plain"] for turn in rates) for name in POLICIES},
        to_sidecar={name: statistics.median(turn[name] / turn["sidecar"] for turn in rates) for name in POLICIES},
    )


def _orders(hosts: Iterable[str]) -> Iterator[str]:
    """The same paths for all, in turn: as many URLs for each side."""
    return itertools.cycle([f"http://{host}/orders/{number}" for number, host in enumerate(hosts)])


def _path(request: aiohttp.ClientRequest) -> str:
    """A key for hash policies."""
    return request.url.raw_path


async def _rate(session: aiohttp.ClientSession, urls: Iterator[str], sidecar: int | None) -> float:
    """Requests for each processor second, of this process and of its sidecar."""
    start = _spent(sidecar)
    done = await closed_loop(session, itertools.islice(urls, REQUESTS), clients=TASKS)
    spent = _spent(sidecar) - start
    assert len(done) == REQUESTS
    assert all(one.well for one in done)
    return REQUESTS / spent


def _spent(sidecar: int | None) -> float:
    return time.process_time() + (0.0 if sidecar is None else seconds_run(sidecar))


if __name__ == "__main__":
    asyncio.run(drive(json.loads(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])))
