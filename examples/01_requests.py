"""Plain aiohttp, plain Kubernetes names: each request goes to a ready backend that is chosen for it."""

import asyncio
from collections import Counter
from pathlib import Path

import aiohttp

import discovery
from discovery.testing import FakeCluster


async def main(kubeconfig: Path) -> None:
    async with (
        discovery.Discovery(kubeconfig=kubeconfig) as disco,  # in a pod: Discovery()
        aiohttp.ClientSession(middlewares=[disco.middleware()]) as http,
    ):
        pods: Counter[str] = Counter()
        for _ in range(9):
            async with http.get("http://alpaca-prod.default.svc/orders") as response:
                pods[(await response.json())["pod"]] += 1
        print("requests to each pod:", sorted(pods.values()))
        print("and the URL stays", response.url)


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        await cluster.deploy("alpaca-prod", replicas=3)
        await main(cluster.kubeconfig)


asyncio.run(in_a_simulated_cluster())
