"""An HTTP proxy before a real server, at which a test steps in: to hold, to count, to kill, to answer otherwise.

What is not touched passes as it is, streams too. `proxy` knows only bytes; this one knows requests.
"""

import asyncio
import contextlib
import json
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
import attrs
from aiohttp import web

from .cluster import API, Cluster

ONE_HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
"""Headers that are of one connection."""


@attrs.frozen
class Asked:
    """One request on its way."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def writes(self) -> bool:
        """Whether it is a transaction of Consul."""
        return self.method == "PUT" and self.path == "/v1/txn"

    def lists(self, resource: str) -> bool:
        """Whether it is a list of Kubernetes of this resource."""
        return self.method == "GET" and "watch" not in self.query and self.path.endswith(f"/{resource}")

    def watches(self, resource: str) -> bool:
        """Whether it is a watch of Kubernetes of this resource."""
        return "watch" in self.query and self.path.endswith(f"/{resource}")


@attrs.frozen
class Said:
    """A whole answer."""

    status: int
    body: bytes
    media: str = "application/json"


async def passes(_: Asked) -> Said | None:
    """What steps in nowhere."""
    return None


class Relay:
    """Listens on `url`, and asks `target`.

    Attributes:
        before: is told of each request before it is passed on: may wait, or give an answer of its own.
        said: how often which status answered which method.
        after: is told of it when it has been answered, before the answer is passed on.
    """

    def __init__(
        self,
        target: str,
        *,
        host: str = "127.0.0.1",
        serves: ssl.SSLContext | None = None,
        trusts: ssl.SSLContext | None = None,
    ) -> None:
        self.before: Callable[[Asked], Awaitable[Said | None]] = passes
        self.after: Callable[[Asked], Awaitable[Said | None]] = passes
        self.url = ""
        self.said: Counter[tuple[str, int]] = Counter()
        self._target, self._host, self._serves, self._trusts = target, host, serves, trusts
        self._streams: dict[asyncio.Task[Any], Asked] = {}

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, ssl=self._trusts or True)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=2)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=False)
        self._runner = web.ServerRunner(web.Server(self._serve, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, 0, ssl_context=self._serves)
        await site.start()
        scheme = "https" if self._serves else "http"
        self.url = f"{scheme}://{self._host}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut(lambda _: True)
        await self._runner.cleanup()
        await self._http.close()

    def cut(self, which: Callable[[Asked], bool]) -> None:
        """End those under way that are meant, in the middle."""
        for task, asked in list(self._streams.items()):
            if which(asked):
                task.cancel()

    async def fetch(self, asked: Asked, **headers: str) -> Said:
        """The whole answer of the target, asked as it was but for these headers."""
        async with self._ask(asked, headers) as response:
            return Said(response.status, await response.read(), response.content_type)

    def _ask(self, asked: Asked, headers: dict[str, str]) -> Any:
        kept = {name: value for name, value in asked.headers.items() if name.lower() not in ONE_HOP} | headers
        url = self._target + asked.path
        return self._http.request(asked.method, url, params=asked.query, headers=kept, data=asked.body or None)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = Asked(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        task = asyncio.current_task()
        assert task is not None
        self._streams[task] = asked
        try:
            if said := await self.before(asked):
                return _answer(said)
            return await self._pass(request, asked)
        except (aiohttp.ClientError, OSError):
            if request.transport is not None:
                request.transport.abort()  # the target is away: so are we
            raise asyncio.CancelledError from None
        finally:
            del self._streams[task]

    async def _pass(self, request: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        async with self._ask(asked, {}) as response:
            self.said[asked.method, response.status] += 1
            if said := await self.after(asked):
                return _answer(said)
            kept = {name: value for name, value in response.headers.items() if name.lower() not in ONE_HOP}
            answer = web.StreamResponse(status=response.status, headers=kept)
            await answer.prepare(request)
            async for chunk in response.content.iter_any():
                await answer.write(chunk)
            with contextlib.suppress(ConnectionError):
                await answer.write_eof()
            return answer


def _answer(said: Said) -> web.Response:
    return web.Response(status=said.status, body=said.body, content_type=said.media)


def before_api(cluster: Cluster) -> Relay:
    """One before the API server, on its address and with its certificate."""
    keys = cluster.directory / "pki/apiserver"
    serves = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serves.load_cert_chain(keys / "apiserver.crt", keys / "apiserver.key")
    return Relay(API, host=str(urlsplit(API).hostname), serves=serves, trusts=cluster.tls())


class Lists:
    """Steps in at lists of Kubernetes: cuts them short, or fails them.

    Args:
        relay: before the API server; `before` and `after` are taken.

    Attributes:
        touched: the resources whose lists it has cut short or failed, in that order.
        whole: how many lists of a resource were passed on as they are.
    """

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._short: dict[str, tuple[int, int]] = {}
        self._failing: set[str] = set()
        self._expired: set[str] = set()
        self.touched: list[str] = []
        self.whole: Counter[str] = Counter()
        relay.before, relay.after = self._step, self._note

    def shorten(self, resource: str, *, keep: int, times: int = 1_000_000) -> None:
        """The next lists of a resource have so many items only; watches go on as they are."""
        self._short[resource] = keep, times

    def fail(self, resource: str) -> None:
        """Answer 500 to its lists and its watches, and end those under way."""
        self._failing.add(resource)
        self._relay.cut(lambda asked: asked.watches(resource))

    def heal(self) -> None:
        """All is as the API server says again."""
        self._short.clear()
        self._failing.clear()

    def relist(self, resource: str) -> None:
        """End its watch, and let no version be good enough for another: so it is listed anew."""
        self._expired.add(resource)
        self._relay.cut(lambda asked: asked.watches(resource))

    async def _note(self, asked: Asked) -> None:
        resource = asked.path.rpartition("/")[2]
        self.whole[resource] += asked.lists(resource)

    async def _step(self, asked: Asked) -> Said | None:
        for resource in self._failing:
            if asked.lists(resource) or asked.watches(resource):
                self.touched.append(resource)
                return _status(500, "InternalError")
        for resource in tuple(self._expired):
            if asked.watches(resource):
                self._expired.discard(resource)
                return _status(410, "Expired")
        for resource, (keep, times) in tuple(self._short.items()):
            if times and asked.lists(resource):
                self._short[resource] = keep, times - 1
                self.touched.append(resource)
                return await self._shortened(asked, keep)
        return None

    async def _shortened(self, asked: Asked, keep: int) -> Said:
        listed = json.loads((await self._relay.fetch(asked, Accept="application/json")).body)
        listed["items"] = listed["items"][:keep]
        return Said(200, json.dumps(listed, separators=(",", ":")).encode())


def _status(code: int, reason: str) -> Said:
    said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": "x"}
    return Said(code, json.dumps(said).encode())
