"""The way back: a service of Consul is a headless Service in the cluster, found as all others are."""

import asyncio
import random

import discovery
from discovery.testing import FakeCluster
from discovery.testing.consul import FakeConsul


async def main(disco: discovery.Discovery) -> None:
    options = discovery.ImportOptions(owner="demo", namespace="default", services=("db-*",))
    imported = discovery.ConsulImport(
        disco.consul_client(), disco.kubernetes().access, options, emit=disco.emit, rng=random.Random()
    )
    plan = await imported.once()
    print("made", len(plan.as_json()["create"]), "objects: a Service and its EndpointSlice")
    async with disco.pool("endpoints://default/db-main") as pool:
        await pool.ready(timeout=10)
        print("found at", *sorted(backend.netloc for backend in pool.backends))


async def in_a_simulation() -> None:
    async with FakeCluster() as cluster, FakeConsul() as consul:
        consul.register(node="vm-1", address="10.0.0.7", service="db-main", id="a", port=5432, status="passing")
        consul.register(node="vm-2", address="10.0.0.8", service="db-main", id="b", port=5432, status="passing")
        consul.register(node="vm-3", address="10.0.0.9", service="billing", id="c", port=80, status="passing")
        async with discovery.Discovery(kubeconfig=cluster.kubeconfig, consul=consul.url) as disco:
            await main(disco)


asyncio.run(in_a_simulation())
