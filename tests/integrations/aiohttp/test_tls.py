"""HTTPS: the certificate must be the Service's, wherever the connection goes."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
import trustme
from aiohttp import web

from discovery.integrations import aiohttp as integration

from .scene import Scene, ask, say

ADDRESSES = ("127.201.0.1", "127.201.0.2")


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
        if request.headers.get("Upgrade") == "websocket":
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            return socket
        return await say(request)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


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
            site = web.TCPSite(runner, address, 0, ssl_context=secure.tls)
            await site.start()
            port = runner.addresses[-1][1]
            scene.endpoint("web", address, port=port, port_name="https")
        yield secure
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("host", ["web.default.svc", "WEB.Default.svc."])
async def test_the_certificate_is_verified_against_the_services_name(
    scene: Scene, authority: trustme.CA, trusting: ssl.SSLContext, host: str
) -> None:
    async with serving(scene, authority, "web.default.svc") as secure:
        http = await scene.client()
        answers = [await ask(http, f"https://{host}/", ssl=trusting) for _ in range(4)]
        assert {answer["at"] for answer in answers} == set(ADDRESSES)
        assert secure.asked == ["web.default.svc"] * 2, "connections are kept"
        await http.close()


async def test_a_certificate_for_another_name_is_refused_before_anything_is_sent(
    scene: Scene, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with serving(scene, authority, "other.default.svc") as secure:
        http = await scene.client()
        with pytest.raises(integration.RetriesExhausted, match="certificate") as caught:
            await ask(http, "https://web.default.svc/", "POST", ssl=trusting)
        assert isinstance(caught.value.__cause__, aiohttp.ClientConnectorCertificateError)
        assert "node-port://" not in str(caught.value), "it could be reached"
        assert secure.hits == 0


async def test_a_certificate_for_the_backends_address_alone_is_refused(
    scene: Scene, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with serving(scene, authority, ADDRESSES[0]) as secure:
        http = await scene.client()
        with pytest.raises(integration.RetriesExhausted):
            await ask(http, "https://web.default.svc/", ssl=trusting)
        assert secure.hits == 0


async def test_the_name_that_a_caller_asks_for_is_left_alone(
    scene: Scene, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with serving(scene, authority, "own.example") as secure:
        http = await scene.client()
        await ask(http, "https://web.default.svc/", ssl=trusting, server_hostname="own.example")
        assert secure.asked == ["own.example"]
        await http.close()


async def test_a_secure_websocket_is_verified_too(
    scene: Scene, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with serving(scene, authority, "web.default.svc") as secure:
        http = await scene.client()
        socket = await http.ws_connect("wss://web.default.svc/", ssl=trusting)
        assert secure.asked == ["web.default.svc"]
        await socket.close()
        await http.close()
