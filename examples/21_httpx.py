"""Plain httpx, plain Kubernetes names. Here a backend answers 503 to everything, and nobody sees it."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
from aiohttp import web

import discovery
from discovery.integrations.httpx import AsyncTransport
from discovery.testing import FakeCluster

broken: set[str] = set()


async def answer(request: web.Request) -> web.Response:
    assert request.transport is not None
    address = request.transport.get_extra_info("sockname")[0]
    return web.json_response({"at": address}, status=503 if address in broken else 200)


async def main(kubeconfig: Path) -> None:
    async with (
        discovery.Discovery(kubeconfig=kubeconfig) as disco,  # in a pod: Discovery()
        httpx.AsyncClient(transport=AsyncTransport(disco)) as http,
    ):
        statuses: Counter[int] = Counter()
        for _ in range(30):
            response = await http.get("http://alpaca-prod.default.svc/orders")
            statuses[response.status_code] += 1
        print("statuses:", dict(statuses))
        print("and the URL stays", response.url)
        with discovery.options(deadline=2.0):
            await http.post("http://alpaca-prod.default.svc/orders", headers={"Idempotency-Key": "4711"})


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        deployed = await cluster.deploy("alpaca-prod", replicas=3, handler=answer)
        broken.add(deployed.pods[0].address)
        await main(cluster.kubeconfig)


asyncio.run(in_a_simulated_cluster())
