"""Pods by a label selector, where no Service has the set that you want: two versions side by side, and not a third."""

import asyncio
from pathlib import Path

import discovery
from discovery.testing import FakeCluster


async def main(kubeconfig: Path) -> None:
    async with (
        discovery.Discovery(kubeconfig=kubeconfig) as disco,
        disco.pool("pods://default/app in (orders-v1,orders-v2):http") as pool,
    ):
        await pool.ready(timeout=5)
        print("pods of", sorted(dict(backend.labels)["app"] for backend in pool.backends))
        with pool.pick() as lease:
            reader, writer = await asyncio.open_connection(lease.backend.address, lease.backend.port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            print("answer:", (await reader.readline()).decode().strip())
            writer.close()
            await writer.wait_closed()


async def in_a_simulated_cluster() -> None:
    async with FakeCluster(nodes=[("node-1", "zone-a")]) as cluster:
        for version in ("v1", "v2", "v3"):
            await cluster.deploy(f"orders-{version}", replicas=1)
        await main(cluster.kubeconfig)


asyncio.run(in_a_simulated_cluster())
