"""HTTPS: the certificate must be the Service's, wherever the connection goes."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import trustme
from aiohttp import web

from discovery.integrations import httpx as integration

from ..aiohttp.scene import Scene, say
from .scene import ask, client

ADDRESSES = ("127.201.1.1", "127.201.1.2")


class Secure:
    """HTTPS backends of the Service `web` at port 443, with a certificate for one name. `asked` are names of SNI."""

    def __init__(self, authority: trustme.CA, name: str) -> None:
        self.hits = 0
        self.asked: list[str | None] = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.sni_callback = lambda _socket, asked, _context: self.asked.append(asked)
        authority.issue_cert(name).configure_cert(self.tls)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.hits += 1
        return await say(request)


@asynccontextmanager
async def serving(scene: Scene, authority: trustme.CA, name: str) -> AsyncIterator[Secure]:
    secure = Secure(authority, name)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", secure.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
    await runner.setup()
    scene.service("web", slices=False, ports=[{"name": "https", "port": 443}])
    try:
        for address in ADDRESSES:
            await web.TCPSite(runner, address, 0, ssl_context=secure.tls).start()
            scene.endpoint("web", address, port=runner.addresses[-1][1], port_name="https")
        yield secure
    finally:
        await runner.cleanup()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def trusting(scene: Scene, authority: trustme.CA) -> httpx.AsyncClient:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return await client(scene, transport=httpx.AsyncHTTPTransport(verify=context))


@pytest.mark.parametrize("host", ["web.default.svc", "WEB.Default.svc."])
async def test_the_certificate_is_verified_against_the_service_s_name(
    scene: Scene, authority: trustme.CA, host: str
) -> None:
    async with serving(scene, authority, "web.default.svc") as secure:
        http = await trusting(scene, authority)
        answers = [await ask(http, f"https://{host}/") for _ in range(4)]
        assert {answer["at"] for answer in answers} == set(ADDRESSES)
        assert secure.asked == ["web.default.svc"] * 2, "connections are kept"
        await http.aclose()


@pytest.mark.parametrize("name", ["other.default.svc", ADDRESSES[0]])
async def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(
    scene: Scene, authority: trustme.CA, name: str
) -> None:
    async with serving(scene, authority, name) as secure:
        http = await trusting(scene, authority)
        with pytest.raises(integration.RetriesExhausted, match="certificate") as caught:
            await http.post("https://web.default.svc/")
        assert isinstance(caught.value.__cause__, httpx.ConnectError)
        assert str(caught.value.__cause__).startswith("127.201.1.")
        assert "node-port://" not in str(caught.value), "it could be reached"
        assert secure.hits == 0


async def test_the_name_that_a_caller_asks_for_is_left_alone(scene: Scene, authority: trustme.CA) -> None:
    async with serving(scene, authority, "own.example") as secure:
        http = await trusting(scene, authority)
        await http.get("https://web.default.svc/", extensions={"sni_hostname": "own.example"})
        assert secure.asked == ["own.example"]
        await http.aclose()
