"""A pool and a lease, for any protocol: wait until it is ready, pick a backend, hold the lease for the exchange."""

import asyncio
from pathlib import Path

import discovery
from discovery.testing import FakeCluster


async def main(kubeconfig: Path) -> None:
    async with (
        discovery.Discovery(kubeconfig=kubeconfig) as disco,
        disco.pool("endpoints://default/alpaca-prod:http") as pool,
    ):
        await pool.ready(timeout=5)  # else NotReady, which says why
        with pool.pick() as lease:  # counts as load, and says how it went, when the block ends
            reader, writer = await asyncio.open_connection(lease.backend.address, lease.backend.port)
            writer.write(b"GET / HTTP/1.0\r\n\r\n")
            print("answer:", (await reader.readline()).decode().strip())
            writer.close()
            await writer.wait_closed()
            print("from a pod in", lease.backend.zone, "on", lease.backend.node)
        print("picks from", len(pool.backends), "backends; synced:", pool.status.synced)


async def in_a_simulated_cluster() -> None:
    async with FakeCluster(nodes=[("node-1", "zone-a")]) as cluster:
        await cluster.deploy("alpaca-prod", replicas=2)
        await main(cluster.kubeconfig)


asyncio.run(in_a_simulated_cluster())
