"""How a Service is defined, all its ways in, and what becomes of it."""

import asyncio
from pathlib import Path

import discovery
from discovery.testing import Deployment, FakeCluster


async def main(kubeconfig: Path, web: Deployment) -> None:
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        service = await disco.service("alpaca-prod")
        print(service.type, [(port.name, port.port) for port in service.ports], dict(service.selector))
        for target in service.targets:
            print("  ", target)

        async with disco.pool(service.targets[0]) as pool:
            await pool.ready(timeout=5)
            print("the first of them has", len(pool.backends), "backends")

        async for now in disco.watch_service("alpaca-prod"):
            if now is None or now.load_balancer.addresses:
                break
            print("load balancer pending:", now.load_balancer.pending)
            await web.assign("127.0.0.1")
        print("and then:", now.load_balancer.addresses if now else "it is gone")


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        web = await cluster.deploy("alpaca-prod", replicas=2, kind="LoadBalancer", port=8080)
        await main(cluster.kubeconfig, web)


asyncio.run(in_a_simulated_cluster())
