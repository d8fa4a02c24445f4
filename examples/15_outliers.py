"""A pod that is ready and answers 500: after five failures in a row it is left alone, until a probe finds it well."""

import asyncio

import aiohttp
from aiohttp import web

import discovery
from discovery.testing import FakeCluster

DETECTION = discovery.OutlierDetection(ejection=1)  # 30 s, if it is not said


async def ask(pool: discovery.Pool, http: aiohttp.ClientSession) -> bool:
    with pool.pick() as lease:
        async with http.get(f"http://{lease.backend.netloc}/") as response:
            if response.status >= 500:
                lease.fail()  # `disco.middleware()` does this by itself
            return response.ok


async def main(pool: discovery.Pool, broken: set[str]) -> None:
    async with aiohttp.ClientSession() as http:
        broken.add(pool.backends[0].netloc)
        answers = [await ask(pool, http) for _ in range(100)]
        print(len(answers), "requests,", answers.count(False), "of them failed")
        for candidate in pool.explain():
            print("in " if candidate.usable else "out", candidate.reason)
        broken.clear()
        while pool.status.ejected:
            await ask(pool, http)
        print("back:", len(pool.backends), "of 3")


async def in_a_simulated_cluster() -> None:
    broken: set[str] = set()

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500 if request.host in broken else 200)

    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        orders = await cluster.deploy("alpaca-prod", replicas=3, handler=answer)
        async with disco.pool(orders.target, outlier=DETECTION) as pool:
            await pool.ready(timeout=5)
            await main(pool, broken)


asyncio.run(in_a_simulated_cluster())
