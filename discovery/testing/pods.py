"""A simulated pod: a real HTTP server on a loopback address of its own."""

import asyncio
import contextlib
import itertools
import uuid
from collections.abc import Awaitable, Callable

import attrs
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_addresses = (f"127.{64 + n // 62500 % 64}.{n // 250 % 250}.{n % 250 + 1}" for n in itertools.count())
"""No two pods of a process share an address. All of 127.0.0.0/8 can be bound on Linux without further ado."""

LINGER = 0.1
"""Seconds for which a pod that was told to end takes new connections still: not all have heard by then."""

DRAIN = 5.0
"""Seconds that requests under way have to finish."""


@attrs.define(eq=False)
class FakePod:
    """A pod and its server. `requests` counts those that reached it; `ready`, `terminating` are what the API says.

    `alive` is whether its process runs: the API need not have noticed.
    """

    namespace: str
    name: str
    node: str
    zone: str
    uid: str = attrs.field(factory=lambda: str(uuid.uuid4()))
    address: str = ""
    port: int = 0
    ready: bool = False
    terminating: bool = False
    alive: bool = False
    requests: int = 0
    _handler: Handler | None = None
    _draining: bool = False
    _runner: web.AppRunner | None = None
    _sites: list[web.TCPSite] = attrs.field(factory=list)

    async def start(self, port: int, handler: Handler | None) -> None:
        """Listen on an unused address, at `port` (0: any)."""
        self._handler = handler
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=DRAIN, handler_cancellation=True
        )
        await self._runner.setup()
        while not self._sites:
            self.address = next(_addresses)
            site = web.TCPSite(self._runner, self.address, port, backlog=1024)
            with contextlib.suppress(OSError):  # somebody else's
                await site.start()
                self._sites.append(site)
        self.port = int(self._runner.addresses[0][1])
        self.alive = True

    async def drain(self) -> None:
        """End as a good server does on SIGTERM: no more keep-alive, then no new connections, then finish the rest."""
        self._draining = True
        await asyncio.sleep(LINGER)
        await self.stop()

    async def stop(self) -> None:
        """End it now; what is under way may finish."""
        self.alive = False
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def kill(self) -> None:
        """The process is gone: connections are reset, new ones are refused."""
        self.alive = False
        runner = self._runner
        if runner is None:
            return
        for site in self._sites:
            await site.stop()
        if runner.server is not None:
            for connection in runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()
        await self.stop()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self._handler is not None:
            response = await self._handler(request)
        else:
            who = {"pod": self.name, "node": self.node, "method": request.method, "path": request.path}
            response = web.json_response({**who, "host": request.host, "headers": dict(request.headers)})
        if self._draining:
            response.force_close()
        return response
