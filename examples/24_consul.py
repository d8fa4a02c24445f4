"""A program that knows only Consul, no cluster: it finds what somebody has registered there, and follows it."""

import asyncio

from aiohttp import ClientSession, web

import discovery
from discovery.testing.consul import FakeConsul

ORDERS = "consul://orders?tag=http"


async def main(consul: FakeConsul) -> None:
    async with discovery.Discovery(consul=consul.url) as disco:  # without it, where CONSUL_HTTP_ADDR says
        pool = disco.pool(ORDERS)
        await pool.ready(timeout=5)
        for candidate in pool.explain():
            print(candidate.backend.node, "in" if candidate.usable else "out:", candidate.reason)

        middleware = disco.middleware(routes={"orders.internal": ORDERS})
        async with ClientSession(middlewares=[middleware]) as http, http.get("http://orders.internal/") as response:
            print(response.status, await response.text())

        consul.set_check("worker-2", "readiness", "passing", instance="orders-2")
        async for change in pool.changes():
            print("ready:", *sorted(backend.node for backend in change.snapshot.backends))
            if len(change.snapshot.backends) == 2:
                break


async def answer(_: web.BaseRequest) -> web.Response:
    return web.Response(text="an order")


async def with_a_simulated_consul() -> None:
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with FakeConsul() as consul:
        for node, address, number, status in (
            ("worker-1", "127.0.0.1", 1, "passing"),
            ("worker-2", "127.0.0.2", 2, "critical"),
        ):
            instance = f"orders-{number}"
            consul.register(node=node, address=address, service="orders", id=instance, port=port, tags=["http"])
            consul.set_check(node, "readiness", status, instance=instance)
        await main(consul)
    await runner.cleanup()


asyncio.run(with_a_simulated_consul())
