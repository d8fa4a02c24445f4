"""The cleanup context: a Discovery and a session for as long as an application runs, and not a moment longer."""

from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from discovery import Discovery
from discovery.integrations.aiohttp import CLIENT, DISCOVERY, discovery_context
from discovery.testing import FakeCluster


async def ask(server: BaseTestServer) -> dict[str, Any]:
    async with aiohttp.ClientSession() as http, http.get(server.make_url("/")) as response:
        answer: dict[str, Any] = await response.json()
        return answer


async def test_handlers_find_both_and_both_end_with_the_application(fake_cluster: FakeCluster) -> None:
    deployed = await fake_cluster.deploy("orders", replicas=2)

    async def handle(request: web.Request) -> web.Response:
        async with request.app[CLIENT].get("http://orders.default.svc/") as response:
            return web.json_response(await response.json())

    app = web.Application()
    app.cleanup_ctx.append(discovery_context(kubeconfig=fake_cluster.kubeconfig, cluster_domain="cluster.local"))
    app.router.add_get("/", handle)
    async with TestServer(app) as server:
        assert (await ask(server))["pod"] in {pod.name for pod in deployed.pods}
        disco, client = app[DISCOVERY], app[CLIENT]
        assert (disco._closed, client.closed) == (False, False)
    assert (disco._closed, client.closed) == (True, True)


async def test_a_session_of_one_s_own_is_made_of_the_discovery(fake_cluster: FakeCluster) -> None:
    deployed = await fake_cluster.deploy("orders")

    def session(disco: Discovery) -> aiohttp.ClientSession:
        middleware = disco.middleware(routes={"orders": deployed.target})
        return aiohttp.ClientSession("http://orders/", middlewares=[middleware])

    async def handle(request: web.Request) -> web.Response:
        async with request.app[CLIENT].get("/x") as response:
            return web.json_response(await response.json())

    app = web.Application()
    app.cleanup_ctx.append(discovery_context(session=session, kubeconfig=fake_cluster.kubeconfig))
    app.router.add_get("/", handle)
    async with TestServer(app) as server:
        answer = await ask(server)
        assert (answer["pod"], answer["path"]) == (deployed.pods[0].name, "/x")


async def test_what_is_wrong_with_the_options_is_raised_when_the_application_starts() -> None:
    app = web.Application()
    app.cleanup_ctx.append(discovery_context(kubeconfg="typo"))
    runner = web.AppRunner(app)
    with pytest.raises(TypeError, match="kubeconfg"):
        await runner.setup()
    await runner.cleanup()


async def test_a_session_that_cannot_be_made_leaves_no_discovery_open() -> None:
    made: list[Discovery] = []

    def session(disco: Discovery) -> aiohttp.ClientSession:
        made.append(disco)
        raise ValueError("no session")

    app = web.Application()
    app.cleanup_ctx.append(discovery_context(session=session))
    runner = web.AppRunner(app)
    with pytest.raises(ValueError, match="no session"):
        await runner.setup()
    await runner.cleanup()
    assert [disco._closed for disco in made] == [True]
