"""From outside the cluster, where pod addresses lead nowhere: through the nodes, or through a load balancer."""

import asyncio
from pathlib import Path

import aiohttp

import discovery
from discovery.testing import Deployment, FakeCluster

WAYS = {"nodes.internal": "node-port:///alpaca-prod:http", "balancer.internal": "load-balancer:///alpaca-prod:http"}


async def main(kubeconfig: Path, assigned: "asyncio.Event") -> None:
    async with discovery.Discovery(kubeconfig=kubeconfig) as disco:
        waiting = disco.load_balancer("alpaca-prod", timeout=30, on_progress=lambda _: assigned.set())
        print("assigned:", (await waiting).addresses)

        async with aiohttp.ClientSession(middlewares=[disco.middleware(routes=WAYS)]) as http:
            for host in WAYS:
                async with http.get(f"http://{host}/") as response:
                    print(host, response.status)

        async with disco.pool(WAYS["nodes.internal"]) as pool:
            await pool.ready(timeout=5)
            for candidate in pool.explain():
                print(candidate.backend.node, "in" if candidate.usable else "out:", candidate.reason)


async def assign(web: Deployment, asked: "asyncio.Event") -> None:
    """What a cloud does, a few minutes after it has been asked."""
    await asked.wait()
    await web.assign("127.0.0.1")


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        web = await cluster.deploy("alpaca-prod", kind="LoadBalancer", port=8080)
        cluster.patch(
            "nodes", "node-2", {"metadata": {"labels": {"node.kubernetes.io/exclude-from-external-load-balancers": ""}}}
        )
        asked = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(assign(web, asked))
            await main(cluster.kubeconfig, asked)


asyncio.run(in_a_simulated_cluster())
