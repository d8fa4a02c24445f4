"""`pool.call`: any protocol, with the pool's retries. Here a backend dies, and nobody has noticed yet."""

import asyncio

import discovery
from discovery.testing import FakeCluster


async def greet(backend: discovery.Backend) -> str:
    reader, writer = await asyncio.open_connection(backend.address, backend.port)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


async def main(pool: discovery.Pool) -> None:
    answers = [await pool.call(greet, idempotent=True) for _ in range(20)]
    print(len(answers), "calls, all answered:", set(answers))


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        web = await cluster.deploy("alpaca-prod", replicas=3)
        async with disco.pool(web.target) as pool:
            await pool.ready(timeout=5)
            await web.kill(web.pods[0])  # its endpoint stays ready
            await main(pool)


asyncio.run(in_a_simulated_cluster())
