"""What happens, as events: for a log line, a metric, an alert. Here the API server goes away and comes back."""

import asyncio

import discovery
from discovery.testing import FakeCluster


async def main() -> None:
    told: asyncio.Queue[discovery.Event] = asyncio.Queue()
    async with (
        FakeCluster() as cluster,
        discovery.Discovery(kubeconfig=cluster.kubeconfig, on_event=told.put_nowait) as disco,
    ):
        web = await cluster.deploy("alpaca-prod", replicas=2)
        async with disco.pool(web.target) as pool:
            await pool.ready(timeout=5)
            await cluster.stop_api()
            await hear(told, "watch.failed")
            print("the API server is away:", len(pool.backends), "backends are still offered")
            await cluster.start_api()
            await hear(told, "watch.recovered")
            print("and back:", len(pool.backends), "backends, and what changed meanwhile is known")


async def hear(told: "asyncio.Queue[discovery.Event]", name: str) -> None:
    while (event := await told.get()).name != name:
        pass
    print(event.name, "-", event.subject)


asyncio.run(main())
