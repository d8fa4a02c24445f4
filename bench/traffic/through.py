"""A client session whose requests go through the middleware, as a user would make one."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp

import discovery

HOST = "backends.test"


@contextlib.asynccontextmanager
async def through(
    ports: Iterable[int], *, connector: aiohttp.BaseConnector | None = None, **options: Any
) -> AsyncIterator[aiohttp.ClientSession]:
    """One that sends what is for `HOST` to these ports on loopback, by a `Discovery` that knows nothing yet.

    Its connections are not limited: who waits for one in the client says nothing about the backends. `options` are
    those of `Discovery.middleware`.
    """
    target = discovery.Static([("127.0.0.1", port) for port in ports])
    async with discovery.Discovery() as disco:
        middleware = disco.middleware(routes={HOST: target}, **options)
        connector = connector or aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, middlewares=[middleware]) as session:
            yield session
