"""A server on loopback that answers as a test tells it to, and keeps what it was asked."""

import asyncio
import json
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import attrs
from aiohttp import web

from discovery.consul.api import Consul
from discovery.consul.settings import Settings
from discovery.events import Event

TOKEN = "s3cr3t-0f-th1s-t3st"


@attrs.frozen
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def token(self) -> str | None:
        return self.headers.get("X-Consul-Token")


@attrs.frozen
class Said:
    """An answer."""

    body: bytes = b"null"
    status: int = 200
    headers: Mapping[str, str] = {}


def said(value: Any = None, *, index: int | None = 7, status: int = 200, **headers: str) -> Said:
    """What a Consul answers: JSON, and its index."""
    more = {name.replace("_", "-"): text for name, text in headers.items()}
    head = {"Content-Type": "application/json", **({} if index is None else {"X-Consul-Index": str(index)}), **more}
    return Said(json.dumps(value).encode(), status, head)


def refused(status: int, text: str = "", media: str = "text/plain; charset=utf-8", **headers: str) -> Said:
    """What it says when it does not do what was asked."""
    return Said(text.encode(), status, {"Content-Type": media, **headers})


Answer = Said | Callable[[Asked], Said | Awaitable[Said]]


class Server:
    """Gives its answers in turn, the last one again and again."""

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None, path: Path | None = None) -> None:
        self.answers = list(answers or [said()])
        self.asked: list[Asked] = []
        self.cut = 0
        self.url = ""
        self._tls = tls
        self._path = path

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        if self._path is not None:
            await web.UnixSite(self._runner, self._path).start()
            self.url = f"unix://{self._path}"
            return self
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http{'s' if self._tls else ''}://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def where(self) -> str:
        return self.url.partition("://")[2]

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = Asked(
            request.method,
            request.raw_path.partition("?")[0],
            tuple(request.query.items()),
            dict(request.headers),
            await request.read(),
        )
        self.asked.append(asked)
        given = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            made = given(asked) if callable(given) else given
            answer = made if isinstance(made, Said) else await made
        except asyncio.CancelledError:
            self.cut += 1
            raise
        return web.Response(body=answer.body, status=answer.status, headers=answer.headers)


async def for_ever(asked: Asked) -> Said:
    """Consul while nothing changes."""
    await asyncio.Event().wait()
    raise AssertionError


def closed_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Told(list[Event]):
    """A hook that keeps what it is told."""

    def __call__(self, event: Event) -> None:
        self.append(event)

    @property
    def names(self) -> list[str]:
        return [event.name for event in self]


class Same(random.Random):
    """Chance that always takes the first."""

    def randrange(self, *_: Any) -> int:
        return 0


@asynccontextmanager
async def reaching(*servers: Server | str, told: Told | None = None, **settings: Any) -> AsyncIterator[Consul]:
    """A client of these servers, first to last."""
    address = ",".join(one.url if isinstance(one, Server) else one for one in servers)
    consul = Consul(Settings(address=address, **settings), emit=Told() if told is None else told, rng=Same())
    try:
        yield consul
    finally:
        await consul.aclose()
