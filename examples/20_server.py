"""A server that calls others: it keeps its callers' deadlines, has a limit, and ends in good order on SIGTERM."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
from aiohttp import web

from discovery.integrations.aiohttp import CLIENT, Drain, discovery_context, server_middleware
from discovery.testing import FakeCluster


async def orders(request: web.Request) -> web.Response:
    async with request.app[CLIENT].get("http://alpaca-prod.default.svc/orders") as response:
        return web.json_response(await response.json())


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(10)
    return web.Response()


def application(kubeconfig: Path, stopped: asyncio.Event) -> web.Application:
    app = web.Application(middlewares=[server_middleware(max_in_flight=100)])
    app.cleanup_ctx.append(discovery_context(kubeconfig=kubeconfig))  # in a pod: discovery_context()
    app.router.add_get("/orders", orders)
    app.router.add_get("/slow", slow)
    Drain(app, quiet=0.2, stop=stopped.set)  # with web.run_app(app): Drain(app)
    return app


async def ask(http: aiohttp.ClientSession, path: str, **headers: str) -> int:
    async with http.get(path, headers=headers) as response:
        return response.status


async def main(kubeconfig: Path) -> None:
    stopped = asyncio.Event()
    runner = web.AppRunner(application(kubeconfig, stopped))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    async with aiohttp.ClientSession(f"http://{host}:{port}") as http:
        print("served:", await ask(http, "/orders"), "ready:", await ask(http, "/ready"))
        print("the caller waits for 50 ms:", await ask(http, "/slow", **{"x-envoy-expected-rq-timeout-ms": "50"}))
        os.kill(os.getpid(), signal.SIGTERM)  # what Kubernetes sends
        await asyncio.sleep(0.05)
        print("draining, served still:", await ask(http, "/orders"), "ready:", await ask(http, "/ready"))
    await stopped.wait()
    await runner.cleanup()
    print("stopped")


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster:
        await cluster.deploy("alpaca-prod", replicas=3)
        await main(cluster.kubeconfig)


asyncio.run(in_a_simulated_cluster())
