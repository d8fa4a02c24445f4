"""Hosts that are no Service's name, each with a target and a policy of its own; and the error where there is none."""

import asyncio

import aiohttp

import discovery
from discovery.testing import FakeCluster


async def main(disco: discovery.Discovery, fixed: str) -> None:
    routes: dict[str, discovery.Route | str] = {
        "orders.internal": "endpoints://default/alpaca-prod:http",
        "legacy.internal": discovery.Route(
            f"static://{fixed}",
            balancer=discovery.RoundRobin(),
            retry=discovery.RetryPolicy(attempts=2, per_try_timeout=1.0),
        ),
    }
    middleware = disco.middleware(routes=routes, fallback=None, ready_timeout=2.0)
    async with aiohttp.ClientSession(middlewares=[middleware]) as http:
        for host in routes:
            async with http.get(f"http://{host}/") as response:
                print(host, response.status, "from", (await response.json())["pod"].rsplit("-", 2)[0])
        try:
            await http.get("http://nowhere.default.svc/")
        except aiohttp.ClientError as error:  # every error of ours is one of aiohttp's here
            print(f"nowhere: {type(error).__name__}: {str(error).partition(':')[0]}")


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        await cluster.deploy("alpaca-prod", replicas=2)
        legacy = await cluster.deploy("legacy", replicas=1)
        await main(disco, f"{legacy.pods[0].address}:{legacy.pods[0].port}")


asyncio.run(in_a_simulated_cluster())
