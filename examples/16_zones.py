"""Stay in the own zone while it has backends, leave it when it has none; a subset of many; a gentle start."""

import asyncio
from collections import Counter
from pathlib import Path

import discovery
from discovery.testing import Deployment, FakeCluster


def zones(pool: discovery.Pool, requests: int = 90) -> dict[str, int]:
    """Where so many requests go."""
    found: Counter[str] = Counter()
    for _ in range(requests):
        with pool.pick() as lease:
            found[lease.backend.zone] += 1
    return dict(sorted(found.items()))


async def until_ready(pool: discovery.Pool, count: int) -> None:
    async for change in pool.changes():
        if len(change.snapshot.backends) == count:
            break


async def main(kubeconfig: Path, web: Deployment) -> None:
    async with discovery.Discovery(kubeconfig=kubeconfig, zone="zone-a") as disco:
        target = "endpoints://default/alpaca-prod:http"
        everywhere = disco.pool(target)
        at_home = disco.pool(target, locality=discovery.LocalityAware(), slow_start=discovery.SlowStart(window=5.0))
        few = disco.pool(target, subset=discovery.Subset(size=2, client="worker-1"))
        for pool in everywhere, at_home, few:
            await pool.ready(timeout=5)
        print("everywhere:", zones(everywhere))
        print("at home:", zones(at_home))
        print("a subset of", len(few.backends), "of", len(everywhere.backends))

        for pod in web.pods:
            if pod.zone == "zone-a":
                web.set_ready(pod, False)
        await until_ready(everywhere, 4)
        print("nobody at home:", zones(at_home))


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        web = await cluster.deploy("alpaca-prod", replicas=6)
        await main(cluster.kubeconfig, web)


asyncio.run(in_a_simulated_cluster())
