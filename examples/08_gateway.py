"""A gateway calls most of what there is: hold a whole namespace in two watches, and every pool is ready at once."""

import asyncio

import discovery
from discovery.testing import FakeCluster

SERVICES = 20


async def main(cluster: FakeCluster) -> None:
    async with discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        await disco.prefetch("default")
        asked = len([one for one in cluster.requests if one.verb == "list"])
        for number in range(SERVICES):
            async with disco.pool(f"endpoints://default/service-{number}:http") as pool:
                await pool.ready(timeout=5)
        lists = len([one for one in cluster.requests if one.verb == "list"])
        print(SERVICES, "pools ready;", asked, "lists before,", lists, "after")


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        await asyncio.gather(*(cluster.deploy(f"service-{number}") for number in range(SERVICES)))
        await main(cluster)


asyncio.run(in_a_simulated_cluster())
