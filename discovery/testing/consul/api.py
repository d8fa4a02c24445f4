"""The simulated Consul server's HTTP side: what happens around every request.

What is simulated is held to the real server by one conformance suite that runs against both.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterator

import attrs
from aiohttp import web

from .acl import Tokens
from .faults import NO_LEADER, RETRY_ELSEWHERE, RETRY_LATER, Faults
from .http.answers import ACCESS, token
from .refusals import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_ALWAYS = ("/v1/status/", "/v1/agent/")
"""Paths that are answered without a leader, and whatever the rate."""


@attrs.frozen
class Asked:
    """A request that reached the server.

    Attributes:
        method: of HTTP.
        path: without the query.
        query: what came with it; of a parameter that is given twice, the last.
        token: the secret that came with it.
    """

    method: str
    path: str
    query: dict[str, str]
    token: str = attrs.field(repr=False)


class Api:
    """Answers requests by these routes, as `faults` and `tokens` allow.

    Attributes:
        asked: method and path of every request.
        writes: how many of them were to write to the catalog.
        listeners: called with each, before it is answered.
    """

    def __init__(self, routes: list[web.RouteDef], faults: Faults, tokens: Tokens, datacenter: str) -> None:
        self._routes = routes
        self._faults = faults
        self._tokens = tokens
        self._datacenter = datacenter
        self.asked: list[tuple[str, str]] = []
        self.writes = 0
        self.listeners: set[Callable[[Asked], None]] = set()

    def application(self) -> web.Application:
        """All of it, to be served."""
        app = web.Application(middlewares=[self._guard], client_max_size=64 * 2**20)
        app.add_routes(self._routes)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        method, path = request.method, request.path
        self._note(Asked(method, path, dict(request.query), token(request)))
        with self._cuttable(request):
            await self._faults.going()
            planned = self._faults.planned(method, path)
            if planned is not None:
                return web.Response(status=planned[0], text=planned[1])
            loses = self._faults.loses(method, path)
            response = await self._answer(request, handler)
            response.headers["X-Consul-Default-ACL-Policy"] = "deny" if self._tokens.enabled else "allow"
            if loses and request.transport is not None:
                request.transport.abort()
            return response

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._admit(request)
            request[ACCESS] = self._tokens.access(token(request))
            return await handler(request)
        except Refused as refused:
            return web.Response(status=refused.code, text=refused.what)
        except web.HTTPMethodNotAllowed as wrong:
            return web.Response(
                status=405, text=f"method {request.method} not allowed", headers={"Allow": wrong.headers["Allow"]}
            )
        except web.HTTPNotFound:
            return web.Response(status=404, text="Invalid URL path: not a recognized HTTP API endpoint\n")

    def _note(self, asked: Asked) -> None:
        self.asked.append((asked.method, asked.path))
        if asked.method == "PUT" and asked.path.startswith(("/v1/txn", "/v1/catalog/")):
            self.writes += 1
        for listener in tuple(self.listeners):
            listener(asked)

    @contextlib.contextmanager
    def _cuttable(self, request: web.Request) -> Iterator[None]:
        transport = request.transport
        if transport is None:
            yield
            return
        self._faults.connections.add(transport.abort)
        try:
            yield
        finally:
            self._faults.connections.discard(transport.abort)

    def _admit(self, request: web.Request) -> None:
        if request.query.get("dc", self._datacenter) != self._datacenter:
            raise Refused("No path to datacenter")
        if request.path.startswith(_ALWAYS):
            return
        if self._faults.leaderless and not (request.method == "GET" and "stale" in request.query):
            raise Refused(NO_LEADER)
        if self._faults.limited:
            reading = request.method == "GET"
            raise Refused(RETRY_ELSEWHERE if reading else RETRY_LATER, 429 if reading else 503)
