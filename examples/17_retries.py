"""Retries, their budget and a deadline: what a program sees of a pod that is broken, and of a service that is down."""

import asyncio
from collections import Counter

import aiohttp
from aiohttp import web

import discovery
from discovery.testing import FakeCluster

ORDERS = "http://alpaca-prod.default.svc"
RETRY = discovery.RetryPolicy(per_try_timeout=1.0)  # three attempts; 20 % more requests at most, or 10 a second


async def main(http: aiohttp.ClientSession, broken: set[str], pods: list[str], told: Counter[str]) -> None:
    broken.add(pods[0])
    print("one pod is broken:", await statuses(http, 20), "- retried:", told["call.retried"] > 0)

    told.clear()
    broken.update(pods)
    print("all are:", await statuses(http, 100))
    print("most retries are refused:", told["call.retried"] < 40 < told["call.refused"])

    broken.clear()
    try:
        with discovery.options(deadline=0.2):  # for all requests inside, their retries and pauses
            await http.get(f"{ORDERS}/slow")
    except discovery.DeadlineExceeded as error:
        print("too slow:", type(error).__name__)


async def statuses(http: aiohttp.ClientSession, requests: int) -> dict[int, int]:
    counts: Counter[int] = Counter()
    for _ in range(requests):
        async with http.get(f"{ORDERS}/orders") as response:
            counts[response.status] += 1
    return dict(counts)


async def in_a_simulated_cluster() -> None:
    broken: set[str] = set()
    told: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/slow":
            await asyncio.sleep(0.5)
        address, _ = request.get_extra_info("sockname")
        return web.Response(status=503 if address in broken else 200)

    def hear(event: discovery.Event) -> None:
        told[event.name] += 1

    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig, on_event=hear) as disco:
        alpaca = await cluster.deploy("alpaca-prod", replicas=3, handler=answer)
        middleware = disco.middleware(retry=RETRY, outlier=None)  # else the broken pod is soon left alone
        async with aiohttp.ClientSession(middlewares=[middleware]) as http:
            await main(http, broken, [pod.address for pod in alpaca.pods], told)


asyncio.run(in_a_simulated_cluster())
