"""aiohttp, with what a sidecar would do: another backend for what fails, deadlines, one backend for each customer."""

import asyncio

import aiohttp
from aiohttp import web

import discovery
from discovery.testing import FakeCluster

sick: set[str] = set()


async def answer(request: web.Request) -> web.Response:
    """A pod: it says which attempt it sees and how long it is waited for; a sick one is overloaded."""
    pod = request.transport.get_extra_info("sockname")[0] if request.transport else ""
    if pod in sick:
        return web.Response(status=503)
    told = request.headers.get("x-attempt-count", "1"), "x-envoy-expected-rq-timeout-ms" in request.headers
    return web.json_response({"pod": pod, "attempt": told[0], "deadline": told[1]})


async def main(http: aiohttp.ClientSession) -> None:
    url = "http://alpaca-prod.default.svc/orders"
    answers = [await (await http.get(url)).json() for _ in range(20)]
    print("20 answers, none of them 503; second attempts:", any(one["attempt"] == "2" for one in answers))

    async with http.post(url, data=b"pay once") as response:
        print("a POST is sent once, whatever comes of it:", response.status in (200, 503))
    with discovery.options(idempotent=True, deadline=2.0):
        async with http.post(url, data=b"pay once") as response:
            print("unless its caller vouches for it:", response.status, "in time:", (await response.json())["deadline"])

    pods = set()
    for _ in range(5):
        with discovery.options(key="customer-17"):
            async with http.get("http://carts.internal/") as response:
                pods.add((await response.json())["pod"])
    print("one customer's requests reach", len(pods), "pod")


async def in_a_simulated_cluster() -> None:
    async with FakeCluster() as cluster, discovery.Discovery(kubeconfig=cluster.kubeconfig) as disco:
        await cluster.deploy("carts", replicas=4, handler=answer)
        shop = await cluster.deploy("alpaca-prod", replicas=3, handler=answer)
        sick.add(shop.pods[0].address)
        carts = discovery.Route("endpoints://default/carts:http", balancer=discovery.RendezvousHash())
        async with aiohttp.ClientSession(middlewares=[disco.middleware(routes={"carts.internal": carts})]) as http:
            await main(http)


asyncio.run(in_a_simulated_cluster())
