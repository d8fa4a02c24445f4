"""Tests of your own service: a simulated cluster with real backends. Run it with pytest, or as it is."""

import subprocess
import sys

import aiohttp
import pytest
from aiohttp import web

import discovery
from discovery.testing import FakeCluster


async def count_orders(http: aiohttp.ClientSession) -> int:
    """The code under test."""
    async with http.get("http://alpaca-prod.default.svc/orders") as response:
        return len((await response.json())["orders"])


async def two_orders(_request: web.Request) -> web.Response:
    return web.json_response({"orders": [1, 2]})


@pytest.mark.asyncio
async def test_orders_are_counted_also_while_a_pod_is_dead(fake_cluster: FakeCluster) -> None:
    alpaca = await fake_cluster.deploy("alpaca-prod", replicas=2, handler=two_orders)
    async with (
        discovery.Discovery(kubeconfig=fake_cluster.kubeconfig) as disco,
        aiohttp.ClientSession(middlewares=[disco.middleware()]) as http,
    ):
        assert await count_orders(http) == 2
        await alpaca.kill(alpaca.pods[0])
        for _ in range(5):
            assert await count_orders(http) == 2


if __name__ == "__main__":
    sys.exit(subprocess.call([sys.executable, "-m", "pytest", "-q", __file__]))
