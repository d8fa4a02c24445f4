"""The bridge to Consul: a cluster's Services are found by who knows nothing but Consul."""

import asyncio

import discovery
from discovery.testing import Deployment, FakeCluster
from discovery.testing.consul import FakeConsul


async def main(disco: discovery.Discovery, web: Deployment) -> None:
    bridge = discovery.ConsulBridge(disco, owner="demo", address_types=("InternalIP",))

    plan = await bridge.once(dry_run=True)
    print("it would register", [(change.instance.service, change.instance.status) for change in plan.register])

    running = asyncio.create_task(bridge.run())
    async with disco.pool("consul://alpaca-prod") as pool:  # as anybody would who is outside the cluster
        await pool.ready(timeout=10)
        print("Consul knows", len(pool.backends), "node ports")
        await web.scale(1)
        async for change in pool.changes():
            if len(change.snapshot.backends) == 1:
                break
        print("a pod has left its node, which passes no more:", len(pool.backends), "left")
    running.cancel()
    await asyncio.wait([running])


async def in_a_simulation() -> None:
    told: list[discovery.Event] = []
    async with FakeCluster() as cluster, FakeConsul() as consul:
        web = await cluster.deploy("alpaca-prod", replicas=2, kind="NodePort")
        async with discovery.Discovery(kubeconfig=cluster.kubeconfig, consul=consul.url, on_event=told.append) as disco:
            await main(disco, web)
        print("the bridge has ended, its entries stay:", "alpaca-prod" in consul.services())
    print("it told of:", *sorted({event.name for event in told if event.name.startswith("bridge.")}))


asyncio.run(in_a_simulation())
