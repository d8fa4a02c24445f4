"""Hedging: one answer in a hundred is slow, and a second copy of the request, at another pod, cuts the wait for it."""

import asyncio
import itertools
import time

import aiohttp
from aiohttp import web

import discovery
from discovery.testing import FakeCluster

SLOW = 0.5
"""Seconds that one answer in a hundred takes."""


async def main(disco: discovery.Discovery, served: "itertools.count[int]") -> None:
    before = next(served)
    without = await slow_ones(disco.middleware())
    asked = next(served) - before - 1
    print("without: some took as long as a slow answer:", without > 0)

    # Nothing is hedged before 100 answers are known.
    middleware = disco.middleware(hedging=discovery.Hedging())
    await slow_ones(middleware)
    before = next(served)
    hedged = await slow_ones(middleware)
    more = next(served) - before - 1 - asked
    print("with: fewer do:", hedged < without)
    print("at most one request in twenty more:", 0 < more <= asked / 20 + 1)


async def slow_ones(middleware: aiohttp.ClientMiddlewareType, requests: int = 300) -> int:
    times = []
    async with aiohttp.ClientSession(middlewares=[middleware]) as http:
        for _ in range(requests):
            began = time.perf_counter()
            async with http.get("http://alpaca-prod.default.svc/orders") as response:
                await response.read()
            times.append(time.perf_counter() - began)
    return sum(taken >= SLOW for taken in times)


async def in_a_simulated_cluster() -> None:
    served = itertools.count()

    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(SLOW if next(served) % 100 == 50 else 0.001)
        return web.Response(text="orders")

    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        await cluster.deploy("alpaca-prod", replicas=3, handler=answer)
        await main(disco, served)


asyncio.run(in_a_simulated_cluster())
