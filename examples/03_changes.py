"""Follow what comes and goes. First the current set, then each change; a slow reader misses nothing."""

import asyncio

import discovery
from discovery.testing import Deployment, FakeCluster


async def main(pool: discovery.Pool, web: Deployment) -> None:
    async for change in pool.changes():
        print(f"+{len(change.added)} -{len(change.removed)} ~{len(change.updated)}:", len(pool.backends), "ready")
        if len(pool.backends) == 2:
            await web.scale(3)
        elif len(pool.backends) == 3:
            web.set_ready(web.pods[0], False)
            web.set_ready(web.pods[1], False)
        else:
            break
    for candidate in pool.explain():
        print("in " if candidate.usable else "out", candidate.reason)


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        web = await cluster.deploy("alpaca-prod", replicas=2)
        async with disco.pool(web.target) as pool:
            await main(pool, web)


asyncio.run(in_a_simulated_cluster())
