"""Writes to the API server as a cluster's controllers do, several at a time."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

import aiohttp

from ..servers import TOKEN, ApiServer
from .world import Json, World

AT_ONCE = 16
"""Requests at a time."""


class Api:
    """Writes objects. See `writing`."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def create(self, path: str, thing: Json) -> None:
        """Make an object."""
        await self._ask("POST", path, json=thing)

    async def patch(self, path: str, change: Json) -> None:
        """Change some of an object."""
        await self._ask("PATCH", path, json=change, headers={"Content-Type": "application/merge-patch+json"})

    async def delete(self, path: str) -> None:
        """Delete an object."""
        await self._ask("DELETE", path)

    async def load(self, world: World) -> None:
        """Make all there is: the namespace first, the rest in any order."""
        (namespace, *things) = world.objects()
        await self.create(*namespace)
        await at_once(lambda thing: self.create(*thing), things)

    async def _ask(self, method: str, path: str, **more: Any) -> None:
        async with self._http.request(method, path, **more) as response:
            if response.status >= 300:
                raise RuntimeError(f"{method} {path}: {response.status} {(await response.text())[:500]}")
            await response.read()


async def at_once(do: Callable[[Any], Any], things: Iterable[Any], workers: int = AT_ONCE) -> None:
    """Do it with each of these things, so many at a time, begun in their order."""
    left = iter(things)

    async def work() -> None:
        for thing in left:
            await do(thing)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


@contextlib.asynccontextmanager
async def writing(server: ApiServer) -> AsyncIterator[Api]:
    """For the length of a block."""
    trust = ssl.create_default_context(cafile=str(server.certificate))
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with aiohttp.ClientSession(server.url, connector=connector, headers=headers) as http:
        yield Api(http)
